import { describe, expect, it } from 'bun:test'
import type { Resource } from '../../resources/resource.ts'
import { kubeList, status } from './status.ts'
import { fakeContext } from './testing/context.ts'

describe('tctl status', () => {
  const shown = async (ca_pins: string[]) => {
    const context = fakeContext({
      clusterInfo: async () => ({
        cluster_name: 'teleport.example.com',
        cluster_id: 'id',
        server_version: '17.0.0',
        ca_pins,
        proxies: [],
      }),
    })
    expect(await status({}, context)).toBe(0)
    return context.stdout()
  }

  it('prints name, version and pin', async () => {
    expect(await shown(['sha256:abdc'])).toBe(
      'Cluster  teleport.example.com\nVersion  17.0.0\nCA pin   sha256:abdc\n',
    )
  })

  it('prints every pin while authorities change', async () => {
    expect(await shown(['sha256:one', 'sha256:two'])).toContain('CA pin   sha256:one\n         sha256:two\n')
  })
})

describe('tctl kube ls', () => {
  const server = (name: string, labels: Record<string, string>): Resource => ({
    kind: 'kube_server',
    version: 'v3',
    metadata: { name },
    spec: {
      version: '17.0.0',
      hostname: 'agent',
      host_id: 'host-1',
      cluster: { kind: 'kube_cluster', version: 'v3', metadata: { name, labels }, spec: {} },
    },
  })
  const servers = [
    server('dev', { env: 'dev' }),
    server('mycluster', { 'teleport.internal/x': 'y', 'teleport.dev/origin': 'dynamic', env: 'test' }),
  ]
  const list = async (more: Partial<Parameters<typeof kubeList>[0]>) => {
    const context = fakeContext({ listResources: async () => servers })
    expect(await kubeList({ search: [], labels: {}, verbose: false, format: 'text', ...more }, context)).toBe(
      0,
    )
    return context.stdout()
  }
  const names = async (more: Partial<Parameters<typeof kubeList>[0]>) =>
    (JSON.parse(await list({ ...more, format: 'json' })) as Resource[]).map((one) => one.metadata.name)

  it('prints a table, without labels that are the product’s own', async () => {
    expect(await list({})).toBe(
      'Kube Cluster Name Labels                              \n' +
        '----------------- ------------------------------------\n' +
        'dev               env=dev                             \n' +
        'mycluster         env=test teleport.dev/origin=dynamic\n',
    )
    const verbose = await list({ verbose: true })
    expect(verbose).toContain('env=test teleport.dev/origin=dynamic teleport.internal/x=y host-1    17.0.0')
  })

  it('finds by label and by word', async () => {
    expect(await names({})).toEqual(['dev', 'mycluster'])
    expect(await names({ labels: { env: 'test' } })).toEqual(['mycluster'])
    expect(await names({ search: ['MYCLU'] })).toEqual(['mycluster'])
    expect(await names({ search: ['dynamic', 'dev'] })).toEqual(['mycluster'])
    expect(await names({ search: ['nothing'] })).toEqual([])
  })
})
