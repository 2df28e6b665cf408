// What an agent announces: it serves this Kubernetes cluster. Expires by itself when the agent falls silent.

import { parseEnvelope, resourceOf } from './envelope.ts'
import type { Fields } from './fields.ts'
import type { Resource } from './resource.ts'

export interface KubeServerSpec {
  readonly version: string
  readonly hostname: string
  readonly host_id: string
  /** The cluster without what gives access to it. */
  readonly cluster: {
    readonly kind: 'kube_cluster'
    readonly version: 'v3'
    readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> }
    readonly spec: Readonly<Record<string, never>>
  }
}

export type KubeServer = Resource<'kube_server', KubeServerSpec>

export function parseKubeServer(value: unknown): KubeServer {
  const envelope = parseEnvelope(value, { kind: 'kube_server', versions: ['v3'] })
  const spec = envelope.fields.nested('spec', (fields): KubeServerSpec => {
    fields.ignore('rotation', 'proxy_ids')
    return {
      version: fields.text('version'),
      hostname: fields.text('hostname'),
      host_id: fields.text('host_id'),
      cluster: fields.nested('cluster', parseCluster),
    }
  })
  return resourceOf(envelope, spec)
}

function parseCluster(fields: Fields): KubeServerSpec['cluster'] {
  fields.ignore('kind', 'version', 'spec')
  const metadata = fields.nested('metadata', (inner) => ({
    name: inner.text('name'),
    labels: inner.textMap('labels'),
  }))
  return { kind: 'kube_cluster', version: 'v3', metadata, spec: {} }
}
