// How to reach an API server and as whom: from the contexts of a kubeconfig file, or from the service account of the
// pod this process runs in. The only importer of the Kubernetes client library, which reads the file and runs its
// exec plugins; requests are ours.

import type { KubeConfig, User } from '@kubernetes/client-node'
import { readFile } from 'node:fs/promises'
import { dirname, isAbsolute, join } from 'node:path'
import { badParameter, messageOf } from '../errors.ts'
import { dialThroughProxy } from '../http/proxy-dial.ts'
import type { HeaderList } from '../http/exchange.ts'
import type { UpstreamOptions } from '../http/upstream.ts'
import { createLogger } from '../log.ts'

const log = createLogger('kube:credentials')

/** One API server and what opens it. */
export interface ClusterAccess {
  readonly name: string
  readonly upstream: UpstreamOptions
  /** Path below which the server has its API, without a slash at the end. */
  readonly pathPrefix: string
  /** The headers that prove who the agent is; none when a certificate does. */
  readonly authorization: () => Promise<HeaderList>
}

/** Files of tokens are read again this often: projected service account tokens change within the hour. */
const tokenFileMaxAgeMs = 60_000

/** Every usable context of a kubeconfig file. A context that cannot be used is told and left out. */
export async function clustersOfKubeconfig(path: string): Promise<ClusterAccess[]> {
  const config = await loadKubeconfig(path)
  const found: ClusterAccess[] = []
  for (const context of config.getContexts()) {
    try {
      config.setCurrentContext(context.name)
      found.push(await accessOf(config, { name: context.name, folder: dirname(path) }))
    } catch (error) {
      log.warn('a context of the kubeconfig cannot be used', {
        context: context.name,
        error: messageOf(error),
      })
    }
  }
  if (found.length === 0) throw badParameter(`kubeconfig ${path} has no usable context`)
  return found
}

/** The cluster of the file's current context, under a name of its own. */
export async function currentClusterOfKubeconfig(path: string, name: string): Promise<ClusterAccess> {
  return accessOf(await loadKubeconfig(path), { name, folder: dirname(path) })
}

const serviceAccount = '/var/run/secrets/kubernetes.io/serviceaccount'

/** The cluster this process is a pod of; undefined when it is none. */
export async function clusterOfPod(
  name: string,
  env: Readonly<Record<string, string | undefined>>,
  folder = serviceAccount,
): Promise<ClusterAccess | undefined> {
  const host = env['KUBERNETES_SERVICE_HOST']
  const ca = await readFile(join(folder, 'ca.crt'), 'utf8').catch(() => undefined)
  if (!host || ca === undefined) return undefined
  return {
    name,
    upstream: { name, host, port: Number(env['KUBERNETES_SERVICE_PORT'] ?? 443), tls: { ca } },
    pathPrefix: '',
    authorization: bearerFromFile(join(folder, 'token')),
  }
}

async function loadKubeconfig(path: string): Promise<KubeConfig> {
  // Parsing it takes a while and memory; a process without clusters does without.
  const { KubeConfig } = await import('@kubernetes/client-node')
  const config = new KubeConfig()
  try {
    config.loadFromString(await readFile(path, 'utf8'))
  } catch (cause) {
    throw badParameter(`kubeconfig ${path} cannot be read: ${messageOf(cause)}`, { cause })
  }
  return config
}

async function accessOf(
  config: KubeConfig,
  { name, folder }: { name: string; folder: string },
): Promise<ClusterAccess> {
  const cluster = config.getCurrentCluster()
  const user = config.getCurrentUser()
  if (!cluster) throw badParameter('the context names no cluster')
  const url = new URL(cluster.server)
  if (url.protocol !== 'https:') throw badParameter(`server ${cluster.server} is not https`)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = Number(url.port || 443)
  const certificate = await dataOrFile(user?.certData, user?.certFile, folder)
  const key = await dataOrFile(user?.keyData, user?.keyFile, folder)
  const ca = await dataOrFile(cluster.caData, cluster.caFile, folder)
  const plugin = user?.exec ? await pluginCertificate(config) : {}
  const proxy = cluster.proxyUrl
  return {
    name,
    upstream: {
      name,
      host,
      port,
      tls: {
        verify: !cluster.skipTLSVerify,
        ...(ca === undefined ? {} : { ca }),
        ...(certificate === undefined ? {} : { certificate }),
        ...(key === undefined ? {} : { key }),
        ...plugin,
        ...(cluster.tlsServerName ? { serverName: cluster.tlsServerName } : {}),
      },
      ...(proxy ? { dial: () => dialThroughProxy(proxy, { host, port }) } : {}),
    },
    pathPrefix: url.pathname.replace(/\/+$/, ''),
    authorization: authorizationOf(config, { user, folder }),
  }
}

async function dataOrFile(
  data: string | undefined,
  file: string | undefined,
  folder: string,
): Promise<string | undefined> {
  if (data) return Buffer.from(data, 'base64').toString('utf8')
  if (!file) return undefined
  return readFile(isAbsolute(file) ? file : join(folder, file), 'utf8')
}

function authorizationOf(
  config: KubeConfig,
  { user, folder }: { user: User | null; folder: string },
): () => Promise<HeaderList> {
  if (user?.exec || user?.authProvider) return bearerFromPlugin(config)
  const { token } = user ?? {}
  const tokenFile =
    user && 'tokenFile' in user && typeof user.tokenFile === 'string' ? user.tokenFile : undefined
  if (tokenFile) return bearerFromFile(isAbsolute(tokenFile) ? tokenFile : join(folder, tokenFile))
  if (token) return async () => [['authorization', `Bearer ${token}`]]
  if (user?.username && user.password !== undefined) {
    const basic = Buffer.from(`${user.username}:${user.password}`).toString('base64')
    return async () => [['authorization', `Basic ${basic}`]]
  }
  return async () => []
}

function bearerFromFile(path: string): () => Promise<HeaderList> {
  let known: { headers: HeaderList; at: number } | undefined
  return async () => {
    if (known && Date.now() - known.at < tokenFileMaxAgeMs) return known.headers
    const token = (await readFile(path, 'utf8')).trim()
    known = { headers: [['authorization', `Bearer ${token}`]], at: Date.now() }
    return known.headers
  }
}

/** Asks the library, which keeps a plugin's token until it expires. One question at a time, answers for a moment. */
function bearerFromPlugin(config: KubeConfig): () => Promise<HeaderList> {
  let asking: Promise<HeaderList> | undefined
  return () => {
    asking ??= askPlugin(config).finally(() => {
      setTimeout(() => {
        asking = undefined
      }, 1000).unref()
    })
    return asking
  }
}

async function askPlugin(config: KubeConfig): Promise<HeaderList> {
  const options: { headers: Record<string, string> } = { headers: {} }
  await config.applyToHTTPSOptions(options)
  const value = options.headers['Authorization']
  return value ? [['authorization', value]] : []
}

async function pluginCertificate(config: KubeConfig): Promise<{ certificate?: string; key?: string }> {
  const options: { headers: Record<string, string>; cert?: unknown; key?: unknown } = { headers: {} }
  await config.applyToHTTPSOptions(options)
  const text = (value: unknown) =>
    typeof value === 'string' || value instanceof Uint8Array ? value.toString() : undefined
  const [certificate, key] = [text(options.cert), text(options.key)]
  return { ...(certificate ? { certificate } : {}), ...(key ? { key } : {}) }
}
