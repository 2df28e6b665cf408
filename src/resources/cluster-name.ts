// What a cluster is called, for ever.

import { parseEnvelope, resourceOf } from './envelope.ts'
import type { Resource } from './resource.ts'

export interface ClusterNameSpec {
  readonly cluster_name: string
  readonly cluster_id: string
}

export type ClusterName = Resource<'cluster_name', ClusterNameSpec>
export const clusterNameName = 'cluster-name'

export function parseClusterName(value: unknown): ClusterName {
  const envelope = parseEnvelope(value, { kind: 'cluster_name', versions: ['v2'], name: clusterNameName })
  const spec = envelope.fields.nested('spec', (fields) => ({
    cluster_name: fields.text('cluster_name'),
    cluster_id: fields.text('cluster_id'),
  }))
  return resourceOf(envelope, spec)
}
