// What this process will be: every default and every contradiction is decided here, once, and the result is frozen.
// Nothing below reads the environment or the file.

import { hostname } from 'node:os'
import { join } from 'node:path'
import { badParameter } from '../errors.ts'
import type { Severity } from '../log.ts'
import {
  type ClusterAuthPreference,
  parseClusterAuthPreference,
} from '../resources/cluster-auth-preference.ts'
import {
  type ClusterNetworkingConfig,
  parseClusterNetworkingConfig,
  parseSessionRecordingConfig,
  type SessionRecordingConfig,
} from '../resources/cluster-configs.ts'
import { parseDuration } from '../resources/duration.ts'
import { Fields } from '../resources/fields.ts'
import type { ConfigFile } from './file.ts'
import { absentServices } from './schema.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

export interface StaticToken {
  readonly roles: readonly string[]
  /** The token itself, or the absolute path of a file that holds it. */
  readonly value: string
}

export interface AuthConfig {
  readonly clusterName: string
  readonly listen: Address
  readonly publicAddresses: readonly string[]
  readonly staticTokens: readonly StaticToken[]
  readonly databasePath: string
  /** Present when the file says something about it: then the file wins over what is stored. */
  readonly preference?: ClusterAuthPreference
  readonly networking?: ClusterNetworkingConfig
  readonly recording?: SessionRecordingConfig
}

export interface ProxyConfig {
  readonly webListen: Address
  /** `host:port`; the first is what clients are told. */
  readonly publicAddresses: readonly string[]
  /** Absent: Kubernetes traffic comes to the web port only. */
  readonly kubeListen?: Address
  readonly kubePublicAddresses: readonly string[]
  readonly kubernetesEnabled: boolean
  /** Files of certificate chain and key; empty: a self-signed certificate. */
  readonly keypairs: readonly { readonly certificate: string; readonly key: string }[]
  readonly maxConnections: number
}

export interface KubeConfig {
  readonly kubeconfigFile?: string
  /** Name of the one cluster that is not named by a context. */
  readonly clusterName?: string
  readonly labels: Readonly<Record<string, string>>
  readonly commands: readonly {
    readonly name: string
    readonly command: readonly string[]
    readonly periodMs: number
  }[]
}

export interface Config {
  readonly nodename: string
  readonly dataDirectory: string
  readonly pidFile?: string
  readonly diagnostics?: Address
  readonly log: { readonly severity: Severity; readonly format: 'text' | 'json'; readonly output: string }
  readonly auth: AuthConfig | null
  readonly proxy: ProxyConfig | null
  readonly kube: KubeConfig | null
  /** Resource files given at the command line. */
  readonly bootstrapFile?: string
  readonly applyOnStartupFile?: string
}

/** What the command line may say; each wins over the file. */
export interface ConfigFlags {
  readonly debug?: boolean
  readonly roles?: readonly string[]
  readonly nodename?: string
  readonly labels?: string
  readonly pidFile?: string
  readonly diagAddr?: string
  readonly bootstrap?: string
  readonly applyOnStartup?: string
  readonly listenIp?: string
}

const defaultDataDirectory = '/var/lib/teleport'
const ports = { auth: 3025, web: 3080, kube: 3026, diagnostics: 3000 }
const defaultMaxConnections = 15_000

/** Decides. `file` is undefined when there is none. Throws `bad-parameter` for every contradiction. */
export function decideConfig(file: ConfigFile | undefined, flags: ConfigFlags = {}): Config {
  const root = new Fields(file?.value ?? {}, '')
  const version = root.text('version', file ? 'v1' : 'v3')
  if (!['v1', 'v2', 'v3'].includes(version))
    throw badParameter(`version must be one of v1, v2, v3; got ${JSON.stringify(version)}`)
  const teleport = section(root, 'teleport')
  const on = enabledServices(root, flags)
  checkServers(teleport, { version, proxy: on.proxy })
  const nodename = flags.nodename ?? teleport.text('nodename', hostname())
  const dataDirectory = teleport.text('data_dir', defaultDataDirectory)
  const listenIp = flags.listenIp ?? '0.0.0.0'
  const pidFile = flags.pidFile ?? teleport.optionalText('pid_file')
  const diagnostics = flags.diagAddr ?? (teleport.text('diag_addr') || undefined)
  const proxy = on.proxy ? decideProxy(root, { version, listenIp, teleport }) : null
  const kube = decideKube(root, { enabled: on.kube, proxy })
  const config: Config = {
    nodename,
    dataDirectory,
    ...(pidFile ? { pidFile } : {}),
    ...(diagnostics ? { diagnostics: parseAddress(diagnostics, ports.diagnostics) } : {}),
    log: decideLog(teleport, flags),
    auth: on.auth
      ? decideAuth(root, {
          nodename,
          dataDirectory,
          listenIp,
          teleport,
          multiplex: proxy?.kubeListen === undefined,
        })
      : null,
    proxy,
    kube,
    ...(flags.bootstrap ? { bootstrapFile: flags.bootstrap } : {}),
    ...(flags.applyOnStartup ? { applyOnStartupFile: flags.applyOnStartup } : {}),
  }
  if (!config.auth && !config.proxy && !config.kube)
    throw badParameter('failed to start: no services enabled, all services are disabled')
  return deepFreeze(config)
}

function section(root: Fields, name: string): Fields {
  return new Fields(root.raw(name) ?? {}, name)
}

function enabledServices(root: Fields, flags: ConfigFlags): { auth: boolean; proxy: boolean; kube: boolean } {
  for (const name of absentServices) {
    const value = root.raw(name)
    if (value !== undefined && section(root, name).flag('enabled', false)) {
      throw badParameter(`${name} is not supported in this build`, { hint: `set ${name}.enabled to no` })
    }
  }
  const kubeWanted = section(root, 'kubernetes_service').flag('enabled', false)
  const roles = flags.roles?.map((role) => role.toLowerCase())
  if (roles) {
    for (const role of roles) {
      if (!['auth', 'proxy', 'kube', 'node'].includes(role))
        throw badParameter(`role ${JSON.stringify(role)} is not supported in this build`, {
          hint: 'use auth, proxy and kube',
        })
    }
    if (roles.includes('kube') && !kubeWanted)
      throw badParameter('role kube needs a kubernetes_service section in the configuration file')
    return { auth: roles.includes('auth'), proxy: roles.includes('proxy'), kube: roles.includes('kube') }
  }
  return {
    auth: section(root, 'auth_service').flag('enabled', true),
    proxy: section(root, 'proxy_service').flag('enabled', true),
    kube: kubeWanted,
  }
}

function checkServers(teleport: Fields, { version, proxy }: { version: string; proxy: boolean }): void {
  const [one, many, proxyServer] = [
    teleport.has('auth_server'),
    teleport.has('auth_servers'),
    teleport.has('proxy_server'),
  ]
  if (version !== 'v3' && one) throw badParameter('auth_server is supported from config version v3 onwards')
  if (version !== 'v3' && proxyServer)
    throw badParameter('proxy_server is supported from config version v3 onwards')
  if (version === 'v3' && many)
    throw badParameter('config v3 has replaced auth_servers with either auth_server or proxy_server')
  if (one && proxyServer) throw badParameter('only one of auth_server or proxy_server should be set')
  if (proxyServer && proxy)
    throw badParameter('proxy_server can not be specified when proxy service is enabled')
  if (teleport.has('auth_token') && teleport.has('join_params'))
    throw badParameter('only one of auth_token or join_params should be set')
}

function decideLog(teleport: Fields, flags: ConfigFlags): Config['log'] {
  const log = new Fields(teleport.raw('log') ?? {}, 'teleport.log')
  const text = flags.debug ? 'debug' : log.text('severity', 'info').toLowerCase()
  const severities: Readonly<Record<string, Severity>> = {
    info: 'info',
    '': 'info',
    err: 'error',
    error: 'error',
    debug: 'debug',
    warn: 'warn',
    warning: 'warn',
    trace: 'trace',
  }
  const severity = severities[text]
  if (!severity) throw badParameter(`unsupported logger severity: ${JSON.stringify(text)}`)
  const format = new Fields(log.raw('format') ?? {}, 'teleport.log.format').text('output', 'text')
  if (format !== 'text' && format !== 'json')
    throw badParameter(`unsupported log output format : ${JSON.stringify(format)}`)
  return { severity, format, output: log.text('output', 'stderr') }
}

interface AuthContext {
  readonly nodename: string
  readonly dataDirectory: string
  readonly listenIp: string
  readonly teleport: Fields
  readonly multiplex: boolean
}

function decideAuth(
  root: Fields,
  { nodename, dataDirectory, listenIp, teleport, multiplex }: AuthContext,
): AuthConfig {
  const auth = section(root, 'auth_service')
  const storage = new Fields(teleport.raw('storage') ?? {}, 'teleport.storage')
  const type = storage.text('type', 'dir')
  if (!['dir', 'sqlite'].includes(type))
    throw badParameter(`unsupported storage type: ${JSON.stringify(type)}`)
  const protocol = auth.raw('proxy_protocol')
  if (protocol !== undefined && !['on', 'off', true, false].includes(protocol as string)) {
    throw badParameter(
      `invalid 'proxy_protocol' value ${JSON.stringify(protocol)}. Available options are: [on off]`,
    )
  }
  return {
    clusterName: auth.text('cluster_name', nodename),
    listen: parseAddress(auth.text('listen_addr', `${listenIp}:${ports.auth}`), ports.auth),
    publicAddresses: auth.texts('public_addr'),
    staticTokens: auth.texts('tokens').map(parseStaticToken),
    databasePath: join(storage.text('path', join(dataDirectory, 'backend')), 'sqlite.db'),
    ...singletons(auth, multiplex),
  }
}

const networkingKeys = [
  'client_idle_timeout',
  'client_idle_timeout_message',
  'web_idle_timeout',
  'keep_alive_interval',
  'keep_alive_count_max',
  'session_control_timeout',
  'routing_strategy',
  'proxy_listener_mode',
]

function singletons(
  auth: Fields,
  multiplex: boolean,
): Pick<AuthConfig, 'preference' | 'networking' | 'recording'> {
  const labels = { 'teleport.dev/origin': 'config-file' }
  const given = (names: readonly string[]) =>
    Object.fromEntries(names.filter((name) => auth.has(name)).map((name) => [name, auth.raw(name)]))
  const networking = given(networkingKeys)
  const recording = {
    ...(auth.has('session_recording') ? { mode: auth.raw('session_recording') } : {}),
    ...given(['proxy_checks_host_keys']),
  }
  const authentication = auth.raw('authentication')
  const preference = {
    ...given(['disconnect_expired_cert', 'message_of_the_day']),
    ...preferenceSpec(authentication),
  }
  return {
    ...(Object.keys(preference).length > 0
      ? {
          preference: parseClusterAuthPreference({
            kind: 'cluster_auth_preference',
            metadata: { labels },
            spec: preference,
          }),
        }
      : {}),
    ...(Object.keys(networking).length > 0
      ? {
          networking: parseClusterNetworkingConfig({
            kind: 'cluster_networking_config',
            metadata: { labels },
            spec: { proxy_listener_mode: multiplex ? 'multiplex' : 'separate', ...networking },
          }),
        }
      : {}),
    ...(Object.keys(recording).length > 0
      ? {
          recording: parseSessionRecordingConfig({
            kind: 'session_recording_config',
            metadata: { labels },
            spec: recording,
          }),
        }
      : {}),
  }
}

function preferenceSpec(authentication: unknown): Record<string, unknown> {
  if (authentication === undefined) return {}
  if (typeof authentication !== 'object' || authentication === null || Array.isArray(authentication))
    throw badParameter('auth_service.authentication must be a mapping')
  // The file's names for three of the resource's keys.
  const renamed: Readonly<Record<string, string>> = {
    local_auth: 'allow_local_auth',
    passwordless: 'allow_passwordless',
    headless: 'allow_headless',
  }
  const ignored = ['u2f', 'device_trust', 'piv_slot', 'hardware_key', 'signature_algorithm_suite', 'webauthn']
  return Object.fromEntries(
    Object.entries(authentication)
      .filter(([name]) => !ignored.includes(name) || name === 'webauthn')
      .map(([name, value]) => [renamed[name] ?? name, value]),
  )
}

function parseStaticToken(text: string): StaticToken {
  const colon = text.indexOf(':')
  const roles =
    colon < 0
      ? []
      : text
          .slice(0, colon)
          .split(',')
          .map((role) => role.trim())
          .filter((role) => role !== '')
  const value = text.slice(colon + 1).trim()
  // The text may hold the token: only its beginning is shown.
  if (roles.length === 0 || value === '')
    throw badParameter(`invalid static token spec: ${JSON.stringify(`${text.slice(0, 8)}…`)}`, {
      hint: 'write role:token, for example kube:866c6c…',
    })
  return { roles, value }
}

interface ProxyContext {
  readonly version: string
  readonly listenIp: string
  readonly teleport: Fields
}

function decideProxy(root: Fields, { version, listenIp, teleport }: ProxyContext): ProxyConfig {
  const proxy = section(root, 'proxy_service')
  if (new Fields(proxy.raw('acme') ?? {}, 'proxy_service.acme').flag('enabled', false)) {
    throw badParameter('proxy_service.acme is not supported in this build', {
      hint: 'give a certificate in proxy_service.https_keypairs',
    })
  }
  const webListen = parseAddress(proxy.text('web_listen_addr', `${listenIp}:${ports.web}`), ports.web)
  const publicAddresses = proxy.texts('public_addr').map((address) => withPort(address, webListen.port))
  const kube = decideProxyKube(proxy, { version, publicAddresses })
  const limits = new Fields(teleport.raw('connection_limits') ?? {}, 'teleport.connection_limits')
  return {
    webListen,
    publicAddresses,
    ...kube,
    keypairs: keypairs(proxy),
    maxConnections: limits.count('max_connections', defaultMaxConnections),
  }
}

function decideProxyKube(
  proxy: Fields,
  { version, publicAddresses }: { version: string; publicAddresses: readonly string[] },
): Pick<ProxyConfig, 'kubeListen' | 'kubePublicAddresses' | 'kubernetesEnabled'> {
  const block = new Fields(proxy.raw('kubernetes') ?? {}, 'proxy_service.kubernetes')
  const blockOn = block.flag('enabled', false)
  const listen = proxy.optionalText('kube_listen_addr')
  const publicAddress = proxy.texts('kube_public_addr')
  if (blockOn && (listen || publicAddress.length > 0)) {
    throw badParameter(
      "proxy_service should either set kube_listen_addr/kube_public_addr or kubernetes.enabled, not both; keep kubernetes.enabled if you don't enable kubernetes_service, or keep kube_listen_addr otherwise",
    )
  }
  if (publicAddress.length > 0 && !listen && version === 'v1')
    throw badParameter('kube_listen_addr must be set when kube_public_addr is set')
  const listenText = blockOn ? block.text('listen_addr', `0.0.0.0:${ports.kube}`) : listen
  const kubeListen = listenText ? parseAddress(listenText, ports.kube) : undefined
  const given = (blockOn ? block.texts('public_addr') : publicAddress).map((address) =>
    withPort(address, kubeListen?.port ?? ports.kube),
  )
  const derived = publicAddresses.map((address) =>
    withPort(parseAddress(address, 0).host, kubeListen?.port ?? 0),
  )
  return {
    ...(kubeListen ? { kubeListen } : {}),
    kubePublicAddresses: given.length > 0 ? given : kubeListen ? derived : publicAddresses,
    kubernetesEnabled: version !== 'v1' || kubeListen !== undefined,
  }
}

function keypairs(proxy: Fields): ProxyConfig['keypairs'] {
  const pairs = proxy.list('https_keypairs', (pair) => ({
    key: pair.text('key_file'),
    certificate: pair.text('cert_file'),
  }))
  const key = proxy.optionalText('https_key_file')
  const certificate = proxy.optionalText('https_cert_file')
  return key && certificate ? [...pairs, { key, certificate }] : pairs
}

function decideKube(
  root: Fields,
  { enabled, proxy }: { enabled: boolean; proxy: ProxyConfig | null },
): KubeConfig | null {
  const kube = section(root, 'kubernetes_service')
  // The oldest form: the proxy holds the credentials of one cluster, which is called like the Teleport cluster.
  const block = new Fields(section(root, 'proxy_service').raw('kubernetes') ?? {}, 'proxy_service.kubernetes')
  const legacyFile = block.optionalText('kubeconfig_file')
  if (!enabled && proxy && block.flag('enabled', false) && legacyFile) {
    return { kubeconfigFile: legacyFile, clusterName: block.text('cluster_name'), labels: {}, commands: [] }
  }
  if (!enabled) return null
  const kubeconfigFile = kube.optionalText('kubeconfig_file')
  const clusterName = kube.optionalText('kube_cluster_name')
  if (kubeconfigFile && clusterName)
    throw badParameter('only one of kubeconfig_file/kube_cluster_name may be set')
  if (kube.raw('resources') !== undefined)
    throw badParameter('kubernetes_service.resources is not supported in this build', {
      hint: 'name the clusters in kubeconfig_file',
    })
  return {
    ...(kubeconfigFile ? { kubeconfigFile } : {}),
    ...(clusterName ? { clusterName } : {}),
    labels: kube.textMap('labels'),
    commands: kube.list('commands', (command) => ({
      name: command.text('name'),
      command: command.texts('command'),
      periodMs: parseDuration(command.duration('period', '1m')),
    })),
  }
}

/** `host`, `host:port`, `[v6]:port` or `tcp://host:port`. */
export function parseAddress(text: string, defaultPort: number): Address {
  const bare = text.replace(/^(tcp|https):\/\//, '')
  const match = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d{1,5}))?$/.exec(bare)
  const port = match?.[3] === undefined ? defaultPort : Number(match[3])
  if (!match || port > 65_535)
    throw badParameter(`${JSON.stringify(text)} is not an address`, { hint: 'write host:port' })
  return { host: match[1] ?? match[2] ?? '', port }
}

/** `host:port` with this port when there is none. */
export function withPort(address: string, port: number): string {
  const parsed = parseAddress(address, port)
  return `${parsed.host.includes(':') ? `[${parsed.host}]` : parsed.host}:${parsed.port}`
}

function deepFreeze<Value>(value: Value): Value {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const one of Object.values(value)) deepFreeze(one)
  }
  return value
}
