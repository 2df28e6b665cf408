// The only file that knows how Bun ends TLS. A listener asks every client for a certificate but refuses none here:
// who a certificate makes its holder is decided above, where a refusal can be put into words.

import { X509Certificate } from 'node:crypto'
import { createSecureContext, createServer, type SecureContext, type Server, type TLSSocket } from 'node:tls'
import { connectionProblem, messageOf } from '../errors.ts'
import { createLogger } from '../log.ts'
import type { Connection } from './connection.ts'
import { duplexToWire } from './duplex.ts'

const log = createLogger('net')

/** A client that has connected must have finished its TLS handshake by then. */
export const handshakeDeadlineMs = 15_000
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
  /** The certificate for a server name, empty when the client sent none. Asked at each handshake. */
  readonly certificate: (serverName: string) => ServerCertificate
  /** PEM of the authorities whose names are announced to clients, so that they know which certificate to show. */
  readonly clientAuthorities: () => readonly string[]
  /** ALPN names in order of preference. Names that end in `*` stand for all that begin so. */
  readonly protocols: readonly string[]
  /** Connections at once. @default 15_000 */
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
}

/** Listens with TLS and calls `route` for each connection whose handshake is done. */
export async function listen(options: ListenOptions, route: (accepted: Accepted) => void): Promise<Listener> {
  const open = new Set<TLSSocket>()
  const contexts = new Map<string, SecureContext>()
  const contextFor = (name: string): SecureContext => {
    const pair = options.certificate(name)
    const cacheKey = pair.certificate
    const known = contexts.get(cacheKey)
    if (known) return known
    // A certificate that was replaced is not needed again.
    if (contexts.size >= 16) contexts.clear()
    const context = createSecureContext({
      cert: pair.certificate,
      key: pair.key,
      ca: [...options.clientAuthorities()],
      minVersion: 'TLSv1.2',
    })
    contexts.set(cacheKey, context)
    return context
  }
  const initial = options.certificate('')
  const server = createServer({
    cert: initial.certificate,
    key: initial.key,
    ca: [...options.clientAuthorities()],
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
    allowHalfOpen: true,
    ALPNCallback: ({ protocols }) => chooseProtocol(options.protocols, protocols),
    SNICallback: (name, done) => {
      try {
        done(null, contextFor(name))
      } catch (error) {
        done(error instanceof Error ? error : new Error(String(error)))
      }
    },
  })
  server.maxConnections = options.maxConnections ?? 15_000
  const deadline = options.handshakeDeadlineMs ?? handshakeDeadlineMs
  const timers = new WeakMap<TLSSocket, Timer>()
  server.on('connection', (socket: TLSSocket) => {
    open.add(socket)
    const timer = setTimeout(() => socket.destroy(), deadline)
    timer.unref()
    socket.once('close', () => {
      clearTimeout(timer)
      open.delete(socket)
    })
    // An error without a listener would end the process.
    socket.on('error', (error) => log.debug('connection failed', { error: messageOf(error) }))
    timers.set(socket, timer)
  })
  server.on('secureConnection', (socket) => {
    clearTimeout(timers.get(socket))
    const host = socket.remoteAddress
    const port = socket.remotePort
    if (host === undefined || port === undefined) return void socket.destroy()
    socket.setNoDelay(true)
    route({
      wire: duplexToWire(socket),
      protocol: socket.alpnProtocol || '',
      serverName: typeof socket.servername === 'string' ? socket.servername : '',
      peer: peerChain(socket, options.clientAuthorities()),
      client: { host: host.replace(/^::ffff:(?=\d+\.)/, ''), port },
    })
  })
  server.on('tlsClientError', (error, socket) => {
    log.debug('TLS handshake failed', { error: messageOf(error) })
    socket.destroy()
  })
  await bind(server, options)
  const bound = server.address()
  if (bound === null || typeof bound === 'string')
    throw new TypeError('a TCP listener has an address and a port')
  return {
    address: { host: bound.address, port: bound.port },
    get connections() {
      return open.size
    },
    stop: () => void server.close(),
    async [Symbol.asyncDispose]() {
      server.close()
      for (const socket of open) socket.destroy()
    },
  }
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

/** The first of the client's names that is served; undefined (an alert) when none is. */
export function chooseProtocol(served: readonly string[], offered: readonly string[]): string | undefined {
  return offered.find((name) =>
    served.some((one) => (one.endsWith('*') ? name.startsWith(one.slice(0, -1)) : one === name)),
  )
}

// The platform completes the chain with certificates of our own store; only what the client itself showed counts.
function peerChain(socket: TLSSocket, authorities: readonly string[]): Uint8Array[] {
  const chain: Uint8Array[] = []
  let certificate = socket.getPeerCertificate(true)
  while (certificate?.raw && chain.length < chainLimit) {
    const raw = new Uint8Array(certificate.raw)
    if (chain.length > 0 && authorities.some((pem) => Buffer.compare(derOf(pem), raw) === 0)) break
    chain.push(raw)
    const issuer = certificate.issuerCertificate
    // A self-signed certificate names itself as its issuer.
    if (!issuer || issuer === certificate) break
    certificate = issuer
  }
  return chain
}

const ders = new Map<string, Uint8Array>()

function derOf(pem: string): Uint8Array {
  const known = ders.get(pem)
  if (known) return known
  const der = new Uint8Array(new X509Certificate(pem).raw)
  if (ders.size >= 64) ders.clear()
  ders.set(pem, der)
  return der
}
