// `tctl status` and `tctl kube ls`: what the cluster is, and what it serves.

import { parseKubeServer } from '../../resources/kube-server.ts'
import { columns, headless, json, yaml } from '../output.ts'
import type { TctlContext } from './context.ts'

export async function status(_: object, { client, out }: TctlContext): Promise<number> {
  const info = await client.clusterInfo()
  const pins = info.ca_pins.map((pin, index) => [index === 0 ? 'CA pin' : '', pin])
  out(headless([['Cluster', info.cluster_name], ['Version', info.server_version], ...pins]))
  return 0
}

export async function kubeList(
  input: {
    search: readonly string[]
    labels: Readonly<Record<string, string>>
    verbose: boolean
    format: 'text' | 'json' | 'yaml'
  },
  { client, out }: TctlContext,
): Promise<number> {
  const servers = (await client.listResources('kube_server')).map(parseKubeServer).filter((server) => {
    const { labels } = server.spec.cluster.metadata
    const words = [server.metadata.name, ...Object.entries(labels).flat()]
    return (
      Object.entries(input.labels).every(([key, value]) => labels[key] === value) &&
      input.search.every((word) => words.some((text) => text.toLowerCase().includes(word.toLowerCase())))
    )
  })
  if (input.format === 'json') out(json(servers))
  else if (input.format === 'yaml') out(yaml(servers))
  else {
    const rows = servers.map((server) => [
      server.metadata.name,
      labelsText(server.spec.cluster.metadata.labels, input.verbose),
      ...(input.verbose ? [server.spec.host_id, server.spec.version] : []),
    ])
    out(columns(['Kube Cluster Name', 'Labels', ...(input.verbose ? ['Host UUID', 'Version'] : [])], rows))
  }
  return 0
}

/** Labels that are there for the product itself. */
const hiddenLabels = ['teleport.hidden/', 'teleport.internal/']

function labelsText(labels: Readonly<Record<string, string>>, all: boolean): string {
  return Object.entries(labels)
    .filter(([key]) => all || !hiddenLabels.some((prefix) => key.startsWith(prefix)))
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(' ')
}
