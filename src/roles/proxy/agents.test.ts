import { describe, expect, it } from 'bun:test'
import { TeleportError } from '../../errors.ts'
import { Agents, chooseCluster, type ServedEntry } from './agents.ts'

const refusal = (action: () => unknown): string => {
  try {
    action()
  } catch (error) {
    if (error instanceof TeleportError) return `${error.kind}: ${error.message}`
    throw error
  }
  return 'allowed'
}

describe('chooseCluster', () => {
  const four = ['k8s-1', 'k8s-2', 'k8s-3', 'k8s-4']

  it('takes the cluster that was named', () => {
    expect(chooseCluster('k8s-4', four, 'zzz-tele-cluster')).toBe('k8s-4')
  })

  it('refuses an unknown one', () => {
    expect(refusal(() => chooseCluster('k8s-5', four, 'zzz'))).toBe(
      'not-found: Kubernetes cluster "k8s-5" not found',
    )
  })

  it('refuses when none is registered, named or not', () => {
    expect(refusal(() => chooseCluster('k8s-1', [], 'zzz'))).toBe(
      'not-found: Kubernetes cluster "k8s-1" not found',
    )
    expect(refusal(() => chooseCluster('', [], 'zzz'))).toBe(
      'not-found: no Kubernetes clusters are registered',
    )
  })

  it('defaults to the first by name', () => {
    expect(chooseCluster('', ['k8s-2', 'k8s-1'], 'zzz-tele-cluster')).toBe('k8s-1')
  })

  it('prefers the one named like the Teleport cluster', () => {
    expect(chooseCluster('', [...four, 'zzz-tele-cluster'], 'zzz-tele-cluster')).toBe('zzz-tele-cluster')
  })
})

describe('Agents', () => {
  const entry = (hostId: string, health: ServedEntry['health']): ServedEntry => ({
    hostId,
    kubernetesCluster: 'prod',
    health,
  })

  it('tries healthy agents before unknown and unhealthy ones', () => {
    const agents = new Agents({
      servers: () => [entry('bad', 'unhealthy'), entry('new', 'unknown'), entry('good', 'healthy')],
    })
    const reached: string[] = []
    for (const id of ['bad', 'new', 'good']) agents.add(id, () => reached.push(id))
    for (let round = 0; round < 20; round++) agents.pick('prod')({} as never, 'prod')
    expect(new Set(reached)).toEqual(new Set(['good']))
  })

  it('passes over an announced agent that cannot be reached', () => {
    const agents = new Agents({ servers: () => [entry('gone', 'healthy'), entry('here', 'unhealthy')] })
    const here = () => {}
    agents.add('here', here)
    expect(agents.pick('prod')).toBe(here)
  })

  it('says not found when nobody serves the cluster, or the agent has left', () => {
    const agents = new Agents({ servers: () => [entry('one', 'healthy')] })
    const leave = agents.add('one', () => {})
    expect(refusal(() => agents.pick('other'))).toBe('not-found: Kubernetes cluster "other" not found')
    leave()
    expect(refusal(() => agents.pick('prod'))).toBe('not-found: Kubernetes cluster "prod" not found')
  })
})
