import { describe, expect, it } from 'bun:test'
import type { Resource } from '../../resources/resource.ts'
import { Heartbeat } from './heartbeat.ts'

const source = {
  hostId: 'host-1',
  hostname: 'node-1',
  clusters: () => [
    { name: 'a', labels: { env: 'dev' } },
    { name: 'b', labels: {} },
  ],
}

describe('Heartbeat', () => {
  it('announces each cluster with its labels and an expiry ten minutes ahead', async () => {
    const sent: Resource[] = []
    using heartbeat = new Heartbeat(source, {
      send: async (resource) => void sent.push(resource),
      clock: () => Date.parse('2026-01-01T00:00:00Z'),
    })
    await heartbeat.announce()
    expect(
      sent.map((resource) => [resource.kind, resource.metadata.name, resource.metadata.expires]),
    ).toEqual([
      ['kube_server', 'a', '2026-01-01T00:10:00.000Z'],
      ['kube_server', 'b', '2026-01-01T00:10:00.000Z'],
    ])
    expect(sent[0]?.spec).toMatchObject({
      host_id: 'host-1',
      cluster: { metadata: { labels: { env: 'dev' } } },
    })
  })

  it('goes on with the other clusters when one announcement fails, and reports the round as failed', async () => {
    const sent: string[] = []
    const rounds: boolean[] = []
    using heartbeat = new Heartbeat(source, {
      send: async (resource) => {
        if (resource.metadata.name === 'a') throw new Error('auth is away')
        sent.push(resource.metadata.name)
      },
      onRound: (ok) => rounds.push(ok),
    })
    await heartbeat.announce()
    expect([sent, rounds]).toEqual([['b'], [false]])
  })
})
