// The only file that knows how Bun ends TLS. A listener asks every client for a certificate but refuses none here:
// who a certificate makes its holder is decided above, where a refusal can be put into words.

import { X509Certificate } from 'node:crypto'
import { createServer as createPlainServer, type Server, type Socket } from 'node:net'
import {
  createSecureContext,
  createServer,
  type SecureContext,
  type SecureContextOptions,
  type TLSSocket,
} from 'node:tls'
import { connectionProblem, messageOf } from '../errors.ts'
import { createLogger } from '../log.ts'
import { announcedAuthorities } from './authority-names.ts'
import type { Connection, Service } from './connection.ts'
import { duplexToWire, resetStream } from './duplex.ts'

const log = createLogger('net')

/** A client that has connected must have finished its TLS handshake by then. */
export const handshakeDeadlineMs = 15_000
/** Certificates of several names that are kept ready at once. */
const contextLimit = 64
const defaultMaxConnections = 15_000
/** A peer that vanished without a word is asked after this long. */
const keepAliveMs = 30_000
/** Certificates read from one client's chain: a chain is one certificate, more are only kept to be refused by name. */
const chainLimit = 4

/** What a listener gives away: a connection whose ALPN name may be any that was offered, empty when there was none. */
export type Accepted = Omit<Connection, 'protocol'> & { readonly protocol: string }

export interface ServerCertificate {
  /** PEM, leaf first. */
  readonly certificate: string
  readonly key: string
}

export interface ListenOptions {
  readonly host: string
  readonly port: number
  /** The certificate for a server name, empty for clients that send none. Asked at handshakes; see `refresh`. */
  readonly certificate: (serverName: string) => ServerCertificate
  /** PEM of the authorities whose names are announced to clients, so that they know which certificate to show. */
  readonly clientAuthorities: () => readonly string[]
  /** More of them, left out when all together would not fit into a handshake. @default none */
  readonly trustedAuthorities?: () => readonly string[]
  /** ALPN names in order of preference. Names that end in `*` stand for all that begin so. */
  readonly protocols: readonly string[]
  /** Connections at once; more are closed. @default 15_000 */
  readonly maxConnections?: number
  /** @default handshakeDeadlineMs */
  readonly handshakeDeadlineMs?: number
}

export interface Listener extends AsyncDisposable {
  readonly address: { readonly host: string; readonly port: number }
  /** Open connections. */
  readonly connections: number
  /** Takes no more connections; open ones live on. */
  stop(): void
  /** Stops, waits for the open connections, and resets those that are left after the deadline. */
  end(deadlineMs: number): Promise<void>
}

export interface TlsListener extends Listener {
  /** Asks for certificates and authorities again; connections made from now on see them. */
  refresh(): void
}

/** Listens with TLS and calls `route` for each connection whose handshake is done. */
export async function listen(
  options: ListenOptions,
  route: (accepted: Accepted) => void,
): Promise<TlsListener> {
  const contexts = new Map<string, SecureContext>()
  const server = createServer({
    ...secureOptions(options, ''),
    requestCert: true,
    rejectUnauthorized: false,
    allowHalfOpen: true,
    ALPNCallback: ({ protocols }) => chooseProtocol(options.protocols, protocols),
    SNICallback: (name, done) => {
      try {
        done(null, contextFor(name, { options, contexts }))
      } catch (error) {
        done(error instanceof Error ? error : new TypeError(String(error)))
      }
    },
  })
  const deadline = options.handshakeDeadlineMs ?? handshakeDeadlineMs
  const timers = new WeakMap<Socket, Timer>()
  server.on('connection', (socket: Socket) => {
    const timer = setTimeout(() => socket.destroy(), deadline)
    timers.set(socket, timer)
    socket.once('close', () => clearTimeout(timer))
  })
  server.on('secureConnection', (socket) => {
    clearTimeout(timers.get(socket))
    const client = clientOf(socket)
    if (!client) return void socket.destroy()
    const authorities = [...options.clientAuthorities(), ...(options.trustedAuthorities?.() ?? [])]
    route({
      wire: duplexToWire(socket),
      protocol: socket.alpnProtocol || '',
      serverName: typeof socket.servername === 'string' ? socket.servername : '',
      peer: peerChain(socket, authorities),
      client,
    })
  })
  server.on('tlsClientError', (error, socket) => {
    log.debug('TLS handshake failed', { error: messageOf(error) })
    socket.destroy()
  })
  const listener = await start(server, options)
  return Object.assign(listener, {
    refresh: () => {
      contexts.clear()
      server.setSecureContext(secureOptions(options, ''))
    },
  })
}

/** Listens without TLS, for the diagnostics of this machine. */
export async function listenPlain(
  options: Pick<ListenOptions, 'host' | 'port' | 'maxConnections'>,
  service: Service,
): Promise<Listener> {
  const server = createPlainServer({ allowHalfOpen: true }, (socket) => {
    const client = clientOf(socket)
    if (!client) return void socket.destroy()
    service({ wire: duplexToWire(socket), protocol: 'http/1.1', serverName: '', peer: [], client })
  })
  return start(server, options)
}

function secureOptions(options: ListenOptions, serverName: string): SecureContextOptions {
  const { certificate, key } = options.certificate(serverName)
  return {
    cert: certificate,
    key,
    ca: announcedAuthorities(options.clientAuthorities(), options.trustedAuthorities?.() ?? []),
    minVersion: 'TLSv1.2',
  }
}

function contextFor(
  serverName: string,
  { options, contexts }: { options: ListenOptions; contexts: Map<string, SecureContext> },
): SecureContext {
  // By certificate, not by name: a client may say any name.
  const { certificate } = options.certificate(serverName)
  const known = contexts.get(certificate)
  if (known) return known
  if (contexts.size >= contextLimit) contexts.clear()
  const context = createSecureContext(secureOptions(options, serverName))
  contexts.set(certificate, context)
  return context
}

/** What both kinds of listener have in common: the limit, the set of open connections, and the ways to end. */
async function start(
  server: Server,
  options: Pick<ListenOptions, 'host' | 'port' | 'maxConnections'>,
): Promise<Listener & object> {
  const open = new Set<Socket>()
  let drained: (() => void) | undefined
  const limit = options.maxConnections ?? defaultMaxConnections
  server.on('connection', (socket: Socket) => {
    // An error without a listener would end the process.
    socket.on('error', (error) => log.debug('connection failed', { error: messageOf(error) }))
    if (open.size >= limit) {
      log.warn('too many connections', { limit })
      return void socket.destroy()
    }
    open.add(socket)
    socket.once('close', () => {
      open.delete(socket)
      if (open.size === 0) drained?.()
    })
    socket.setNoDelay(true)
    socket.setKeepAlive(true, keepAliveMs)
  })
  await bind(server, options)
  const bound = server.address()
  if (bound === null || typeof bound === 'string')
    throw new TypeError('a TCP listener has an address and a port')
  const end = async (deadlineMs: number) => {
    server.close()
    if (open.size > 0 && deadlineMs > 0) {
      const { promise, resolve } = Promise.withResolvers<void>()
      drained = resolve
      const timer = setTimeout(resolve, deadlineMs)
      await promise
      clearTimeout(timer)
    }
    for (const socket of open) resetStream(socket)
  }
  return {
    address: { host: bound.address, port: bound.port },
    get connections() {
      return open.size
    },
    stop: () => void server.close(),
    end,
    [Symbol.asyncDispose]: () => end(0),
  }
}

function clientOf(socket: Socket): Connection['client'] | undefined {
  const { remoteAddress: host, remotePort: port } = socket
  if (host === undefined || port === undefined) return undefined
  // An IPv4 client of a socket that takes both kinds.
  return { host: host.replace(/^::ffff:(?=\d+\.)/, ''), port }
}

async function bind(server: Server, { host, port }: { host: string; port: number }): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const failed = (cause: Error) =>
      reject(
        connectionProblem(`cannot listen on ${host}:${port}: ${messageOf(cause)}`, {
          cause,
          hint: 'is another process using this address?',
        }),
      )
    server.once('error', failed)
    server.listen(port, host, () => {
      server.off('error', failed)
      server.on('error', (error) => log.error('listener failed', { error: messageOf(error) }))
      resolve()
    })
  })
}

/** The first served name that the client offers too; undefined (an alert) when there is none. */
export function chooseProtocol(served: readonly string[], offered: readonly string[]): string | undefined {
  for (const name of served) {
    const matches = (one: string) => (name.endsWith('*') ? one.startsWith(name.slice(0, -1)) : one === name)
    const found = offered.find(matches)
    if (found !== undefined) return found
  }
  return undefined
}

// The platform completes the chain with certificates of our own store; only what the client itself showed counts.
function peerChain(socket: TLSSocket, authorities: readonly string[]): Uint8Array[] {
  const chain: Uint8Array[] = []
  let certificate = socket.getPeerCertificate(true)
  while (certificate?.raw && chain.length < chainLimit) {
    const raw = new Uint8Array(certificate.raw)
    if (chain.length > 0 && authorities.some((pem) => Buffer.compare(derOf(pem), raw) === 0)) break
    // A self-signed certificate names itself as its issuer.
    if (chain.some((known) => Buffer.compare(known, raw) === 0)) break
    chain.push(raw)
    certificate = certificate.issuerCertificate
  }
  return chain
}

const derLimit = 2048
const ders = new Map<string, Uint8Array>()

function derOf(pem: string): Uint8Array {
  const known = ders.get(pem)
  if (known) return known
  const der = new Uint8Array(new X509Certificate(pem).raw)
  if (ders.size >= derLimit) ders.clear()
  ders.set(pem, der)
  return der
}
