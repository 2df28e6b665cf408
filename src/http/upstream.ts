// The client half of the engine: pooled connections to one server. HTTP/2 for requests where the server speaks
// it, HTTP/1.1 otherwise and always for upgrades; the two never share a connection.

import type { Duplex, Readable } from 'node:stream'
import { connectionProblem, limitExceeded } from '../errors.ts'
import type { HeaderList, OutgoingHead } from './exchange.ts'
import { withLength } from './headers.ts'
import { bindEngine, UpstreamEngine } from './upstream-engine.ts'

export interface UpstreamTls {
  /** PEM certificates to trust; absent: the system's. */
  readonly ca?: string
  readonly certificate?: string
  readonly key?: string
  readonly serverName?: string
  /** Only for a kubeconfig that says `insecure-skip-tls-verify`. @default true */
  readonly verify?: boolean
  /** ALPN names to offer instead of those of HTTP; what is spoken is HTTP/1.1 then. */
  readonly protocols?: readonly string[]
}

export interface UpstreamOptions {
  /** For logs and errors. */
  readonly name: string
  readonly host: string
  readonly port: number
  /** Absent: plain HTTP, e.g. over an in-memory pair. */
  readonly tls?: UpstreamTls
  /**
   * How the bytes get there, e.g. an in-memory pair or a CONNECT proxy. TLS, when asked for, runs on top of it.
   * `protocol` is what will be spoken on a connection without TLS: upgrades always ask for HTTP/1.1. @default TCP
   */
  readonly dial?: (protocol: 'h2' | 'http/1.1') => Promise<Duplex>
  /** Which protocol to use for requests when there is no ALPN to ask (no `tls`). @default 'http/1.1' */
  readonly plainProtocol?: 'h2' | 'http/1.1'
  /** A response head must come within this time. @default 60_000 */
  readonly responseTimeoutMs?: number
  /** Idle HTTP/2 connections are asked for a sign of life this often. @default 15_000 */
  readonly pingIntervalMs?: number
}

export interface UpstreamResponse {
  readonly status: number
  readonly headers: HeaderList
  readonly body: Uint8Array
}

export interface Upstream extends AsyncDisposable {
  readonly name: string
  /** A small request of our own with a whole body, at most `limit` bytes. @default limit 1 MiB */
  send(
    head: OutgoingHead,
    options?: { body?: Uint8Array; limit?: number; signal?: AbortSignal },
  ): Promise<UpstreamResponse>
}

const defaultSendLimit = 1 << 20

/** Connections are made when the first request needs one. */
export function createUpstream(options: UpstreamOptions): Upstream {
  const engine = new UpstreamEngine(options)
  const upstream: Upstream = {
    name: options.name,
    send: async (head, { body, limit = defaultSendLimit, signal } = {}) => {
      const { request, answer } = await engine.open(
        body === undefined ? head : withLength(head, body.length),
        { hasBody: body !== undefined, signal },
      )
      const cancel = () => request.cancel()
      signal?.addEventListener('abort', cancel, { once: true })
      try {
        if (body !== undefined) request.body.end(body)
        request.kick()
        const { head: responseHead, body: stream, whole } = await answer
        const bytes = await readAll(stream, limit)
        if (!whole(bytes.length)) throw connectionProblem(`the answer of ${options.name} was cut`)
        return { ...responseHead, body: bytes }
      } catch (error) {
        cancel()
        throw error
      } finally {
        signal?.removeEventListener('abort', cancel)
      }
    },
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  }
  bindEngine(upstream, engine)
  return upstream
}

/** Reads a body to its end. Throws `limit-exceeded` when it is longer than `limit` bytes. */
export function readAll(stream: Readable, limit: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = []
    let length = 0
    stream.on('data', (chunk: Uint8Array) => {
      length += chunk.length
      if (length > limit) {
        stream.pause()
        reject(limitExceeded(`body is larger than ${limit} bytes`))
      } else chunks.push(chunk)
    })
    stream.once('end', () => resolve(Buffer.concat(chunks)))
    stream.once('error', reject)
    stream.once('close', () => reject(connectionProblem('body was cut')))
  })
}
