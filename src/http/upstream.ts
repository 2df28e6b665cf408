// The client half of the engine: pooled connections to one server. HTTP/2 for requests where the server speaks
// it, HTTP/1.1 otherwise and always for upgrades; the two never share a connection.

import type { Duplex } from 'node:stream'
import type { HeaderList, OutgoingHead } from './exchange.ts'

export interface UpstreamTls {
  /** PEM certificates to trust; absent: the system's. */
  readonly ca?: string
  readonly certificate?: string
  readonly key?: string
  readonly serverName?: string
  /** Only for a kubeconfig that says `insecure-skip-tls-verify`. @default true */
  readonly verify?: boolean
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
