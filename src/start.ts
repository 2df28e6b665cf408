// `teleport start`: the one place where roles meet. Each is given what it needs and nothing else; what is started
// last ends first.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { lockedBecause } from './access/locks.ts'
import { Cache } from './api/cache.ts'
import { type ApiFetch, createAuthClient } from './api/client.ts'
import type { Config } from './config/config.ts'
import { writeFileAtomically } from './cli/files.ts'
import { ProcessState } from './diagnostics/process-state.ts'
import { serveDiagnostics } from './diagnostics/server.ts'
import { badParameter, isKind } from './errors.ts'
import { serveFetch } from './http/fetch-bridge.ts'
import { createHttpService } from './http/server.ts'
import type { HostIdentity, SystemRole } from './identity/identity.ts'
import { generateKeyPair } from './identity/keys.ts'
import { createVerifier, type TrustedAuthorities, type Verifier } from './identity/verify.ts'
import { createLogger } from './log.ts'
import type { Service } from './net/connection.ts'
import { listen, type ServerCertificate } from './net/listen.ts'
import { parseCertAuthority } from './resources/cert-authority.ts'
import { parseLock } from './resources/lock.ts'
import { type Auth, startAuth } from './roles/auth/auth.ts'
import { startKube } from './roles/kube/kube.ts'
import { proxyCertificateNames, startProxy } from './roles/proxy/proxy.ts'
import { version } from './version.ts'

const log = createLogger('process')

const cachedKinds = [
  'role',
  'lock',
  'kube_server',
  'proxy',
  'cert_authority',
  'cluster_auth_preference',
  'cluster_networking_config',
  'session_recording_config',
]

export interface StartOptions {
  readonly hostId: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** Aborted when the process is asked to end. */
  readonly signal: AbortSignal
  /** Called when everything listens. */
  readonly onReady?: () => void
}

/** Runs the enabled roles until the signal. */
export async function startTeleport(config: Config, options: StartOptions): Promise<void> {
  await using running = new AsyncDisposableStack()
  if (!config.auth)
    throw badParameter('joining another auth server is not supported in this build', {
      hint: 'enable auth_service in this process',
    })
  const state = new ProcessState([
    ...(config.proxy ? ['proxy'] : []),
    ...(config.kube ? ['kube'] : []),
    'auth',
  ])
  if (config.diagnostics) running.use(await serveDiagnostics(config.diagnostics, state))

  const auth = running.use(
    await startAuth({
      config: config.auth,
      dataDirectory: config.dataDirectory,
      ...(config.bootstrapFile ? { bootstrapFile: config.bootstrapFile } : {}),
      ...(config.applyOnStartupFile ? { applyOnStartupFile: config.applyOnStartupFile } : {}),
    }),
  )
  const identityOf = (...roles: SystemRole[]): HostIdentity => ({
    type: 'host',
    hostId: options.hostId,
    cluster: auth.cluster,
    roles,
    notBefore: 0,
    notAfter: Number.MAX_SAFE_INTEGER,
  })
  const inProcess = (...roles: SystemRole[]) => createAuthClient(inProcessFetch(auth, identityOf(...roles)))
  const admin = inProcess('Admin')

  let recheck = () => {}
  const cache = running.use(
    new Cache({ client: inProcess('Auth'), kinds: cachedKinds, onChange: () => recheck() }),
  )
  await cache.ready
  const verifier = createVerifier({
    authorities: () => trustedAuthorities(cache),
    lockedBecause: (identity) => lockedBecause(cache.list('lock').map(parseLock), identity),
  })

  const names = config.proxy ? proxyCertificateNames(config.proxy) : ['localhost', '127.0.0.1', '::1']
  const hostCertificate = await issueHostCertificate(admin, {
    hostId: options.hostId,
    roles: ['Auth', 'Proxy'],
    names,
  })
  await writeAdminIdentity(admin, { config, hostId: options.hostId })
  const authApi = authService(auth, verifier)
  const clientAuthorities = () => {
    const { user, host } = trustedAuthorities(cache)
    return [...user, ...host]
  }
  running.use(
    await listen(
      {
        host: config.auth.listen.host || '0.0.0.0',
        port: config.auth.listen.port,
        protocols: ['h2', 'http/1.1', 'teleport-auth@*'],
        clientAuthorities,
        certificate: () => hostCertificate,
      },
      (accepted) => authApi({ ...accepted, protocol: accepted.protocol === 'h2' ? 'h2' : 'http/1.1' }),
    ),
  )
  state.report('auth', true)

  const proxy = config.proxy
    ? running.use(
        await startProxy({
          config: config.proxy,
          teleportCluster: auth.cluster,
          hostId: options.hostId,
          client: inProcess('Proxy'),
          cache,
          verifier,
          hostCertificate,
          clientAuthorities,
          authApi,
        }),
      )
    : undefined
  state.report('proxy', true)

  if (config.kube) {
    const kube = running.use(
      await startKube({
        config: config.kube,
        teleportCluster: auth.cluster,
        hostId: options.hostId,
        hostname: config.nodename,
        client: inProcess('Kube'),
        cache,
        verifier,
        env: options.env,
        onHeartbeat: (ok) => state.report('kube', ok),
      }),
    )
    proxy?.addAgent(options.hostId, kube.serve)
    recheck = kube.recheck
  }

  log.info(`Teleport v${version} is ready`, { cluster: auth.cluster })
  options.onReady?.()
  await new Promise<void>((resolve) => {
    if (options.signal.aborted) resolve()
    else options.signal.addEventListener('abort', () => resolve(), { once: true })
  })
  log.info('shutting down')
}

function inProcessFetch(auth: Auth, identity: HostIdentity): ApiFetch {
  return (request) => auth.api(request, { identity, address: '' })
}

function trustedAuthorities(cache: Cache): TrustedAuthorities {
  const certificates = (type: 'user' | 'host') => {
    const found = cache.get('cert_authority', type)
    return found ? parseCertAuthority(found).spec.active_keys.tls.map(({ cert }) => cert) : []
  }
  return { user: certificates('user'), host: certificates('host') }
}

/** The auth API for clients that come over TLS: who they are is what their certificate says. */
function authService(auth: Auth, verifier: Verifier): Service {
  return createHttpService(
    (exchange) =>
      serveFetch(exchange, async (request) => {
        try {
          const { client, peer } = exchange.connection
          return await auth.api(request, {
            identity: verifier.verify(peer),
            address: `${client.host}:${client.port}`,
          })
        } catch (error) {
          if (!isKind(error, 'unauthenticated') && !isKind(error, 'access-denied')) throw error
          return Response.json(
            { error: { kind: error.kind, message: error.message, hint: error.hint } },
            { status: error.kind === 'unauthenticated' ? 401 : 403 },
          )
        }
      }),
    {
      onError: (exchange) =>
        exchange.answer(
          { status: 500, headers: [['content-type', 'application/json']] },
          '{"error":{"kind":"internal","message":"internal error"}}',
        ),
    },
  )
}

type Admin = ReturnType<typeof createAuthClient>

async function issueHostCertificate(
  admin: Admin,
  { hostId, roles, names }: { hostId: string; roles: string[]; names: string[] },
): Promise<ServerCertificate> {
  const keys = generateKeyPair()
  const { certificate } = await admin.signHostCertificate({
    host_id: hostId,
    roles,
    public_key: keys.publicKey,
    dns_names: names,
  })
  return { certificate, key: keys.privateKey }
}

/** What `tctl` on this host proves itself with: one file, for the owner of the data directory only. */
async function writeAdminIdentity(
  admin: Admin,
  { config, hostId }: { config: Config; hostId: string },
): Promise<void> {
  const path = join(config.dataDirectory, 'proc', 'admin.pem')
  const keys = generateKeyPair()
  const { certificate, authorities } = await admin.signHostCertificate({
    host_id: hostId,
    roles: ['Admin'],
    public_key: keys.publicKey,
    dns_names: [],
  })
  const text = keys.privateKey + certificate + authorities.host.join('')
  const before = await readFile(path, 'utf8').catch(() => '')
  if (before !== text) await writeFileAtomically(path, text)
}
