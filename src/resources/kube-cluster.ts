// Kubernetes clusters: `kube_cluster` is what an admin registers, `kube_server` what an agent announces it serves.

import { badParameter } from '../errors.ts'
import { parseEnvelope, resourceOf } from './envelope.ts'
import type { Fields } from './fields.ts'
import type { Resource } from './resource.ts'

export interface KubeClusterSpec {
  /** Base64; line breaks and spaces inside it are left out. */
  readonly kubeconfig: string
  readonly dynamic_labels?: unknown
  readonly aws: Readonly<Record<string, unknown>>
  readonly azure: Readonly<Record<string, unknown>>
  readonly gcp?: Readonly<Record<string, unknown>>
}

export type KubeCluster = Resource<'kube_cluster', KubeClusterSpec>

const clusterName = /^[a-zA-Z0-9._-]+$/

export function parseKubeCluster(value: unknown): KubeCluster {
  const envelope = parseEnvelope(value, { kind: 'kube_cluster', versions: ['v3'] })
  checkClusterName(envelope.metadata.name)
  const spec = envelope.fields.nested('spec', (fields): KubeClusterSpec => {
    const labels = fields.raw('dynamic_labels')
    const gcp = mapping(fields, 'gcp')
    return {
      aws: mapping(fields, 'aws'),
      azure: mapping(fields, 'azure'),
      ...(labels === undefined ? {} : { dynamic_labels: labels }),
      ...(Object.keys(gcp).length > 0 ? { gcp } : {}),
      kubeconfig: fields.text('kubeconfig').replace(/\s+/g, ''),
    }
  })
  return resourceOf(envelope, spec)
}

export function checkClusterName(name: string): void {
  if (clusterName.test(name)) return
  throw badParameter(
    `invalid kube cluster name: ${JSON.stringify(name)}, kube cluster names can only contain letters, numbers, ., -, _`,
  )
}

function mapping(fields: Fields, name: string): Record<string, unknown> {
  const value = fields.raw(name)
  if (value === undefined) return {}
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw badParameter(`${fields.at(name)} must be a mapping`)
  return { ...value }
}
