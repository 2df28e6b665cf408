// One transport connection to an upstream: TCP or whatever `dial` gives, with TLS on top when asked for.

import { connect as connectTcp } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { connectionProblem, messageOf } from '../errors.ts'
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
    const transport = options.dial ? await options.dial(options.tls ? 'http/1.1' : plain) : undefined
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
      servername: tls.serverName ?? (isAddress(options.host) ? '' : options.host),
      ...(tls.ca === undefined ? {} : { ca: tls.ca }),
      ...(tls.certificate === undefined ? {} : { cert: tls.certificate }),
      ...(tls.key === undefined ? {} : { key: tls.key }),
      rejectUnauthorized: tls.verify ?? true,
      ALPNProtocols: [...offered],
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
      socket.removeAllListeners('error')
      socket.removeAllListeners('close')
      resolve({ socket, protocol: socket.alpnProtocol === 'h2' ? 'h2' : 'http/1.1' })
    })
  })
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
      socket.removeAllListeners('error')
      resolve(socket)
    })
  })
}

function isAddress(host: string): boolean {
  return /^[0-9.]+$/.test(host) || host.includes(':')
}
