// The table of kinds: how each is called, parsed, stored and shown. A new kind is one file and one row.

import { badParameter } from '../errors.ts'
import { parseCertAuthority } from './cert-authority.ts'
import { authPreferenceName, parseClusterAuthPreference } from './cluster-auth-preference.ts'
import {
  networkingConfigName,
  parseClusterNetworkingConfig,
  parseSessionRecordingConfig,
  recordingConfigName,
} from './cluster-configs.ts'
import { clusterNameName, parseClusterName } from './cluster-name.ts'
import { parseKubeCluster } from './kube-cluster.ts'
import { parseKubeServer } from './kube-server.ts'
import { parseLock } from './lock.ts'
import { parseProxy } from './proxy.ts'
import type { Resource } from './resource.ts'
import { formatRole, parseRole } from './role.ts'
import { formatToken, parseToken } from './token.ts'
import { parseUser } from './user.ts'

export interface KindEntry {
  readonly kind: string
  /** Other names, lower case. */
  readonly aliases: readonly string[]
  /** The fixed name, when there is one of the kind. */
  readonly singleton?: string
  /** Reads and checks a resource of this kind; gives it back in its stored shape. */
  readonly normalise: (value: unknown) => Resource
  /** Without what gives access to something. @default the resource itself */
  readonly withoutSecrets?: (resource: Resource) => Resource
  /** What a missing one is answered with. */
  readonly notFound: (name: string) => string
  /** Announced by hosts, never written by people. */
  readonly announced?: true
}

const isNotFound = (kind: string) => (name: string) => `${kind} ${JSON.stringify(name)} is not found`

const entries: readonly KindEntry[] = [
  {
    kind: 'role',
    aliases: ['roles'],
    normalise: (value) => formatRole(parseRole(value)),
    notFound: isNotFound('role'),
  },
  {
    kind: 'user',
    aliases: ['users'],
    normalise: parseUser,
    notFound: (name) => `user ${JSON.stringify(name)} not found`,
  },
  {
    kind: 'token',
    aliases: ['tokens'],
    normalise: (value) => formatToken(parseToken(value)),
    notFound: (name) => `token ${JSON.stringify(name)} not found`,
  },
  {
    kind: 'kube_cluster',
    aliases: ['kube_clusters'],
    normalise: parseKubeCluster,
    withoutSecrets: (resource) => {
      const cluster = parseKubeCluster(resource)
      return { ...cluster, spec: { ...cluster.spec, kubeconfig: '' } }
    },
    notFound: (name) => `Kubernetes cluster ${JSON.stringify(name)} not found`,
  },
  {
    kind: 'kube_server',
    aliases: ['kube_servers'],
    normalise: parseKubeServer,
    notFound: (name) => `Kubernetes server ${JSON.stringify(name)} not found`,
    announced: true,
  },
  {
    kind: 'proxy',
    aliases: ['proxies'],
    normalise: parseProxy,
    notFound: isNotFound('proxy'),
    announced: true,
  },
  { kind: 'lock', aliases: ['locks'], normalise: parseLock, notFound: isNotFound('lock') },
  {
    kind: 'cluster_auth_preference',
    aliases: ['cap', 'auth_preference'],
    singleton: authPreferenceName,
    normalise: parseClusterAuthPreference,
    notFound: isNotFound('cluster_auth_preference'),
  },
  {
    kind: 'cluster_networking_config',
    aliases: ['netconfig', 'networking_config'],
    singleton: networkingConfigName,
    normalise: parseClusterNetworkingConfig,
    notFound: isNotFound('cluster_networking_config'),
  },
  {
    kind: 'session_recording_config',
    aliases: ['recconfig', 'recording_config'],
    singleton: recordingConfigName,
    normalise: parseSessionRecordingConfig,
    notFound: isNotFound('session_recording_config'),
  },
  {
    kind: 'cluster_name',
    aliases: [],
    singleton: clusterNameName,
    normalise: parseClusterName,
    notFound: isNotFound('cluster_name'),
  },
  {
    kind: 'cert_authority',
    aliases: ['cert_authorities', 'cas', 'ca'],
    normalise: parseCertAuthority,
    withoutSecrets: (resource) => {
      const authority = parseCertAuthority(resource)
      const tls = authority.spec.active_keys.tls.map(({ cert }) => ({ cert }))
      return { ...authority, spec: { ...authority.spec, active_keys: { tls } } }
    },
    notFound: isNotFound('cert_authority'),
  },
]

const byName = new Map(
  entries.flatMap((entry) => [entry.kind, ...entry.aliases].map((name) => [name, entry] as const)),
)

/** The kind somebody means, whatever the case and number they use. */
export function findKind(text: string): KindEntry | undefined {
  return byName.get(text.toLowerCase())
}

/** The same, for text that must be a kind. Throws `bad-parameter`. */
export function requireKind(text: string): KindEntry {
  const entry = findKind(text)
  if (!entry) throw badParameter(`resources of type ${JSON.stringify(text)} are not supported`)
  return entry
}

/** Reads and checks a resource of whatever kind it says it is. */
export function parseResource(value: unknown): Resource {
  const kind = typeof value === 'object' && value !== null && 'kind' in value ? value.kind : undefined
  if (typeof kind !== 'string') throw badParameter('missing resource kind')
  const entry = requireKind(kind)
  return entry.normalise({ ...(value as object), kind: entry.kind })
}
