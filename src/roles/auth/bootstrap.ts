// The first start makes a cluster: its name, authorities, singletons and preset roles. Later starts bring presets and
// what the configuration file says up to date, and leave everything else alone.

import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { badParameter, isKind } from '../../errors.ts'
import { createAuthority } from '../../identity/authority.ts'
import { createLogger } from '../../log.ts'
import type { AuthConfig } from '../../config/config.ts'
import { parseYamlDocuments } from '../../config/yaml.ts'
import { type AuthorityType, authorityTypes } from '../../resources/cert-authority.ts'
import { clusterNameName, parseClusterName } from '../../resources/cluster-name.ts'
import { parseResource } from '../../resources/kinds.ts'
import { presetRoles } from '../../resources/presets.ts'
import type { Resource } from '../../resources/resource.ts'
import { formatRole } from '../../resources/role.ts'
import { parseSystemRole } from '../../resources/token.ts'
import type { ResourceStore } from './resource-store.ts'

const log = createLogger('auth')

const defaultsLabel = { 'teleport.dev/origin': 'defaults' }
export const originLabel = 'teleport.dev/origin'

export interface BootstrapOptions {
  readonly config: AuthConfig
  readonly bootstrapFile?: string
  readonly applyOnStartupFile?: string
  /** @default Date.now */
  readonly clock?: () => number
}

/** Returns the cluster's name, which was settled at its first start. */
export async function bootstrap(resources: ResourceStore, options: BootstrapOptions): Promise<string> {
  const existing = await resources.find('cluster_name', clusterNameName)
  await applyFile(resources, options.bootstrapFile, { first: !existing })
  const name = existing
    ? parseClusterName(existing).spec.cluster_name
    : await createCluster(resources, options.config.clusterName)
  if (name !== options.config.clusterName) {
    log.warn(
      `Cannot rename cluster to "${options.config.clusterName}": continuing with "${name}". Teleport clusters can not be renamed once they are created.`,
    )
  }
  for (const type of authorityTypes) await ensureAuthority(resources, type, { name, clock: options.clock })
  await ensureSingletons(resources, options.config)
  for (const role of presetRoles) await ensurePreset(resources, formatRole(role))
  await ensureStaticTokens(resources, options.config)
  await applyOnStartup(resources, options.applyOnStartupFile)
  return name
}

async function createCluster(resources: ResourceStore, name: string): Promise<string> {
  if (!/^[a-zA-Z0-9._-]{1,253}$/.test(name))
    throw badParameter(
      `cluster name ${JSON.stringify(name)} may hold only letters, digits, dots, dashes and underscores`,
    )
  await create(resources, {
    kind: 'cluster_name',
    version: 'v2',
    metadata: { name: clusterNameName },
    spec: { cluster_name: name, cluster_id: randomUUID() },
  })
  log.info('a new cluster was created', { cluster: name })
  return name
}

async function ensureAuthority(
  resources: ResourceStore,
  type: AuthorityType,
  cluster: { name: string; clock: (() => number) | undefined },
): Promise<void> {
  if (await resources.find('cert_authority', type)) return
  const key = type === 'jwt' ? signingKey() : authorityKey(cluster)
  await create(resources, {
    kind: 'cert_authority',
    sub_kind: type,
    version: 'v2',
    metadata: { name: type },
    spec: { type, cluster_name: cluster.name, active_keys: { tls: [key] } },
  })
}

function authorityKey({ name, clock }: { name: string; clock: (() => number) | undefined }): {
  cert: string
  key: string
} {
  const { certificate, privateKey } = createAuthority(name, clock)
  return { cert: certificate, key: privateKey }
}

function signingKey(): { cert: string; key: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  return {
    cert: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

async function ensureSingletons(resources: ResourceStore, config: AuthConfig): Promise<void> {
  const wanted: readonly [string, string, Resource | undefined][] = [
    ['cluster_auth_preference', 'cluster-auth-preference', config.preference],
    ['cluster_networking_config', 'cluster-networking-config', config.networking],
    ['session_recording_config', 'session-recording-config', config.recording],
  ]
  for (const [kind, name, fromFile] of wanted) {
    const existing = await resources.find(kind, name)
    const managed = existing?.metadata.labels?.[originLabel] === 'config-file'
    // What the file no longer says falls back to the defaults; what an admin has set by hand stays.
    if (fromFile) await resources.put(fromFile, 'replace')
    else if (!existing || managed) await resources.put(defaultSingleton(kind, name), 'replace')
  }
}

/** A singleton with its defaults. */
export function defaultSingleton(kind: string, name: string): Resource {
  return parseResource({ kind, metadata: { name, labels: defaultsLabel }, spec: {} })
}

async function ensurePreset(resources: ResourceStore, preset: Resource): Promise<void> {
  const existing = await resources.find('role', preset.metadata.name)
  const ours = existing?.metadata.labels?.['teleport.internal/resource-type'] === 'preset'
  if (!existing) await create(resources, preset)
  else if (ours && existing.version !== preset.version) await resources.put(preset, 'replace')
}

async function ensureStaticTokens(resources: ResourceStore, config: AuthConfig): Promise<void> {
  for (const { roles, value } of config.staticTokens) {
    const name = value.startsWith('/') ? (await readFile(value, 'utf8')).trim() : value
    await resources.put(
      {
        kind: 'token',
        version: 'v2',
        metadata: { name, labels: { [originLabel]: 'config-file' } },
        spec: { roles: roles.map(parseSystemRole), join_method: 'token' },
      },
      'replace',
    )
  }
}

async function applyFile(
  resources: ResourceStore,
  path: string | undefined,
  { first }: { first: boolean },
): Promise<void> {
  if (!path) return
  const documents = parseYamlDocuments(await readFile(path, 'utf8'), path)
  if (!first) return log.info(`Ignoring ${documents.length} bootstrap resources (previously initialized)`)
  log.info(`Applying ${documents.length} bootstrap resources (first initialization)`)
  // All are checked before any is written.
  for (const resource of documents.map(parseResource)) await resources.put(resource, 'replace')
}

const applicable = [
  'token',
  'role',
  'user',
  'cluster_auth_preference',
  'cluster_networking_config',
  'session_recording_config',
  'bot',
  'lock',
  'kube_cluster',
]

async function applyOnStartup(resources: ResourceStore, path: string | undefined): Promise<void> {
  if (!path) return
  const parsed = parseYamlDocuments(await readFile(path, 'utf8'), path).map(parseResource)
  for (const { kind } of parsed)
    if (!applicable.includes(kind))
      throw badParameter(`${path}: resources of kind ${kind} cannot be applied on startup`)
  for (const resource of parsed) await resources.put(resource, 'replace')
}

async function create(resources: ResourceStore, resource: Resource): Promise<void> {
  try {
    await resources.put(resource, 'create')
  } catch (error) {
    // Another auth server on the same store was first.
    if (!isKind(error, 'already-exists') && !isKind(error, 'compare-failed')) throw error
  }
}
