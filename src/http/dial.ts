// One transport connection to an upstream: TCP or whatever `dial` gives, with TLS on top when asked for.

import { connect as connectTcp, isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { connectionProblem, messageOf } from '../errors.ts'
import { guardTls } from './guarded-tls.ts'
import type { UpstreamOptions } from './upstream.ts'

/** From the first packet to the end of the TLS handshake. */
const connectTimeoutMs = 15_000

export type HttpProtocol = 'h2' | 'http/1.1'

export interface Dialled {
  readonly socket: Duplex
  readonly protocol: HttpProtocol
}

/** Connects, offering these protocols. Throws `connection-problem` with the address in its text. */
export async function dialUpstream(
  options: UpstreamOptions,
  offered: readonly HttpProtocol[],
): Promise<Dialled> {
  const where = `${options.host}:${options.port}`
  try {
    const plain = offered.includes(options.plainProtocol ?? 'http/1.1')
      ? (options.plainProtocol ?? 'http/1.1')
      : 'http/1.1'
    const transport = options.dial
      ? await withDeadline(options.dial(options.tls ? 'http/1.1' : plain))
      : undefined
    if (options.tls) return await secure(options, offered, transport)
    return { socket: transport ?? (await tcp(options)), protocol: plain }
  } catch (cause) {
    throw connectionProblem(`cannot connect to ${options.name} at ${where}: ${messageOf(cause)}`, { cause })
  }
}

function secure(
  options: UpstreamOptions,
  offered: readonly HttpProtocol[],
  transport: Duplex | undefined,
): Promise<Dialled> {
  const { tls } = options
  if (!tls) throw new TypeError('no TLS was asked for')
  return new Promise((resolve, reject) => {
    const settings: ConnectionOptions & { allowHalfOpen: boolean } = {
      ...(transport ? { socket: transport } : { host: options.host, port: options.port }),
      servername: tls.serverName ?? (isIP(options.host) > 0 ? '' : options.host),
      ...(tls.ca === undefined ? {} : { ca: tls.ca }),
      ...(tls.certificate === undefined ? {} : { cert: tls.certificate }),
      ...(tls.key === undefined ? {} : { key: tls.key }),
      rejectUnauthorized: tls.verify ?? true,
      ALPNProtocols: [...(tls.protocols ?? offered)],
      allowHalfOpen: true,
      minVersion: 'TLSv1.2',
    }
    const socket = connectTls(settings)
    const timer = setTimeout(
      () => socket.destroy(new Error(`no TLS connection within ${connectTimeoutMs / 1000} s`)),
      connectTimeoutMs,
    )
    socket.once('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    socket.once('close', () => reject(new Error('connection closed during the TLS handshake')))
    socket.once('secureConnect', () => {
      clearTimeout(timer)
      socket.setNoDelay(true)
      // Its next user listens, too, but until then an error must not end the process.
      socket.on('error', () => undefined)
      resolve({
        socket: transport ? guardTls(socket, transport) : socket,
        protocol: socket.alpnProtocol === 'h2' ? 'h2' : 'http/1.1',
      })
    })
  })
}

/** A dialler of our caller's that takes too long; what it makes after that is closed. */
async function withDeadline(dialling: Promise<Duplex>): Promise<Duplex> {
  const { promise, reject } = Promise.withResolvers<never>()
  let late = false
  const timer = setTimeout(() => {
    late = true
    reject(new Error(`no connection within ${connectTimeoutMs / 1000} s`))
  }, connectTimeoutMs)
  dialling.then(
    (stream) => {
      if (late) stream.destroy()
    },
    () => undefined,
  )
  try {
    return await Promise.race([dialling, promise])
  } finally {
    clearTimeout(timer)
  }
}

function tcp({ host, port }: UpstreamOptions): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host, port, allowHalfOpen: true })
    const timer = setTimeout(
      () => socket.destroy(new Error(`no connection within ${connectTimeoutMs / 1000} s`)),
      connectTimeoutMs,
    )
    socket.once('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    socket.once('connect', () => {
      clearTimeout(timer)
      socket.setNoDelay(true)
      // Its next user listens, too, but until then an error must not end the process.
      socket.on('error', () => undefined)
      resolve(socket)
    })
  })
}
