// The proxy role's life: the web and Kubernetes listeners, what they route to, and the announcement of itself.

import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { hostname, networkInterfaces } from 'node:os'
import type { Cache } from '../../api/cache.ts'
import type { AuthClient } from '../../api/operations.ts'
import type { ProxyConfig } from '../../config/config.ts'
import { messageOf } from '../../errors.ts'
import { serveFetch } from '../../http/fetch-bridge.ts'
import { createHttpService } from '../../http/server.ts'
import { selfSignedServerCertificate } from '../../identity/authority.ts'
import type { Verifier } from '../../identity/verify.ts'
import { answerStatus } from '../../kube/status.ts'
import { createLogger } from '../../log.ts'
import type { Connection, Service } from '../../net/connection.ts'
import { listen, type Listener, type ServerCertificate } from '../../net/listen.ts'
import { authPreferenceName, parseClusterAuthPreference } from '../../resources/cluster-auth-preference.ts'
import { parseKubeServer } from '../../resources/kube-server.ts'
import { version } from '../../version.ts'
import { page } from '../../web/pages.ts'
import { qrPng } from '../../web/qr.ts'
import { type AgentRoute, Agents } from './agents.ts'
import { authProtocolPrefix, createIngress } from './ingress.ts'
import { createPathRouter } from './path-router.ts'
import { isPathRouted } from '../../kube/path-target.ts'
import type { ProxyAddresses } from './ping.ts'
import { createWeb } from './web.ts'

const log = createLogger('proxy')

/** How long an announcement is believed, and how often it is made. */
const timeToLiveMs = 10 * 60_000
const announceMs = 4 * 60_000

export interface ProxyOptions {
  readonly config: ProxyConfig
  readonly teleportCluster: string
  readonly hostId: string
  readonly client: AuthClient
  readonly cache: Cache
  readonly verifier: Verifier
  /** Certificate of this host, for Kubernetes and API traffic. */
  readonly hostCertificate: ServerCertificate
  readonly clientAuthorities: () => readonly string[]
  /** Serves the auth API to a connection. */
  readonly authApi: Service
}

export interface Proxy extends AsyncDisposable {
  /** Makes an agent of this process reachable. */
  addAgent(hostId: string, route: AgentRoute): void
  readonly web: Listener
  readonly kube: Listener | undefined
}

export async function startProxy(options: ProxyOptions): Promise<Proxy> {
  const { config, teleportCluster, verifier, cache } = options
  const addresses = proxyAddresses(config)
  const agents = new Agents({
    servers: () =>
      cache.list('kube_server').map((resource) => {
        const { spec } = parseKubeServer(resource)
        return {
          hostId: spec.host_id,
          kubernetesCluster: spec.cluster.metadata.name,
          health: 'unknown' as const,
        }
      }),
  })
  const verify = (peer: readonly Uint8Array[]) => verifier.verify(peer)
  const pathRouter = createPathRouter({ verify, agents, teleportCluster })
  const ingress = createIngress({
    verify,
    agents,
    teleportCluster,
    kubernetesEnabled: config.kubernetesEnabled,
    pathRouter: pathRouter.service,
    authApi: options.authApi,
    web: webService(options, { addresses, pathRouter }),
    refuse: (error) =>
      createHttpService((exchange) => answerStatus(exchange, error), { onError: answerStatus }),
  })
  const web = await listen(webListenOptions(options), ingress.web)
  const kube = config.kubeListen
    ? await listen(kubeListenOptions(options, config.kubeListen), ingress.kube)
    : undefined
  const announcing = announce(options, addresses)
  log.info('proxy is ready', {
    web: `${web.address.host}:${web.address.port}`,
    kube: kube ? `${kube.address.host}:${kube.address.port}` : 'on the web port',
  })
  return {
    web,
    kube,
    addAgent: (hostId, route) => void agents.add(hostId, route),
    async [Symbol.asyncDispose]() {
      announcing[Symbol.dispose]()
      await web[Symbol.asyncDispose]()
      await kube?.[Symbol.asyncDispose]()
    },
  }
}

function webService(
  options: ProxyOptions,
  { addresses, pathRouter }: { addresses: ProxyAddresses; pathRouter: ReturnType<typeof createPathRouter> },
): Service {
  const handle = createWeb({
    client: options.client,
    page,
    qr: qrPng,
    settings: () => ({
      clusterName: options.teleportCluster,
      addresses,
      preference: parseClusterAuthPreference(
        options.cache.get('cluster_auth_preference', authPreferenceName) ?? {
          kind: 'cluster_auth_preference',
        },
      ),
    }),
  })
  const http = createHttpService(
    (exchange) =>
      isPathRouted(exchange.request.target)
        ? pathRouter.handle(exchange)
        : serveFetch(exchange, (request) => handle(request, { host: exchange.connection.client.host })),
    { onError: answerStatus },
  )
  return (connection: Connection) => http(pathRouter.track(connection))
}

function webListenOptions(options: ProxyOptions): Parameters<typeof listen>[0] {
  const { config } = options
  const web = webCertificates(config)
  return {
    ...config.webListen,
    host: config.webListen.host || '0.0.0.0',
    protocols: ['h2', 'http/1.1', `${authProtocolPrefix}*`],
    clientAuthorities: options.clientAuthorities,
    maxConnections: config.maxConnections,
    // Names below our own domain are ours to prove; everything else is the web's.
    certificate: (name) =>
      name.startsWith('kube-teleport-proxy-alpn.') || name.endsWith('.teleport.cluster.local')
        ? options.hostCertificate
        : web(name),
  }
}

function kubeListenOptions(
  options: ProxyOptions,
  address: { host: string; port: number },
): Parameters<typeof listen>[0] {
  return {
    host: address.host || '0.0.0.0',
    port: address.port,
    protocols: ['h2', 'http/1.1'],
    clientAuthorities: options.clientAuthorities,
    maxConnections: options.config.maxConnections,
    certificate: () => options.hostCertificate,
  }
}

/** The certificate for a name: of the configured pairs, the first that is for it, else the first; else self-signed. */
function webCertificates(config: ProxyConfig): (name: string) => ServerCertificate {
  const [first, ...rest] = config.keypairs.map((pair) => ({
    certificate: readPem(pair.certificate, 'https cert does not exist'),
    key: readPem(pair.key, 'https private key does not exist'),
  }))
  if (first) {
    return (name) => [first, ...rest].find((pair) => name !== '' && isFor(pair.certificate, name)) ?? first
  }
  log.warn(
    'Starting Teleport with a self-signed TLS certificate, this is not safe for production clusters. Using a self-signed certificate opens Teleport users to Man-in-the-Middle attacks.',
  )
  const own = selfSignedServerCertificate([
    ...new Set([
      ...publicHosts(config),
      'localhost',
      hostname(),
      '127.0.0.1',
      '::1',
      ...interfaceAddresses(),
    ]),
  ])
  return () => own
}

function readPem(path: string, problem: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new Error(`${problem}: ${path}: ${messageOf(cause)}`, { cause })
  }
}

function isFor(pem: string, name: string): boolean {
  return new X509Certificate(pem).checkHost(name) !== undefined
}

const hostOf = (address: string) => address.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')

function publicHosts(config: ProxyConfig): string[] {
  return config.publicAddresses.map(hostOf)
}

function interfaceAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .map(({ address }) => address)
    .filter((address) => !address.includes('%'))
}

/** Names that this proxy's host certificate must be good for. */
export function proxyCertificateNames(config: ProxyConfig): string[] {
  const hosts = [...config.publicAddresses, ...config.kubePublicAddresses].map(hostOf)
  const alpn = hosts
    .filter((host) => !/^[\d.]+$|:/.test(host))
    .map((host) => `kube-teleport-proxy-alpn.${host}`)
  return [
    ...new Set([...hosts, ...alpn, 'localhost', '127.0.0.1', '::1', hostname(), ...interfaceAddresses()]),
  ]
}

function proxyAddresses(config: ProxyConfig): ProxyAddresses {
  const listenText = ({ host, port }: { host: string; port: number }) =>
    `${host.includes(':') ? `[${host}]` : host}:${port}`
  return {
    webListen: listenText(config.webListen),
    webPublic: config.publicAddresses[0] ?? '',
    kubeListen: config.kubeListen ? listenText(config.kubeListen) : '',
    kubePublic: config.kubePublicAddresses[0] ?? '',
    kubernetesEnabled: config.kubernetesEnabled,
  }
}

function announce(options: ProxyOptions, addresses: ProxyAddresses): Disposable {
  const own = `${hostname()}:${options.config.webListen.port}`
  const send = async () => {
    try {
      await options.client.heartbeat({
        kind: 'proxy',
        version: 'v2',
        metadata: { name: options.hostId, expires: new Date(Date.now() + timeToLiveMs).toISOString() },
        spec: {
          hostname: hostname(),
          version,
          public_addr: addresses.webPublic || own,
          kube_public_addr: addresses.kubePublic || addresses.webPublic || own,
        },
      })
    } catch (error) {
      log.warn('the proxy could not announce itself', { error: messageOf(error) })
    }
  }
  void send()
  const timer = setInterval(() => void send(), announceMs)
  timer.unref()
  return { [Symbol.dispose]: () => clearInterval(timer) }
}
