// HTTP behind one narrow interface: handlers see an `Exchange` and never a server library. An engine turns a
// `Connection` into exchanges (`server.ts` on the platform's HTTP libraries; a frame relay may stand beside it).

import type { Connection } from '../net/connection.ts'
import type { Upstream } from './upstream.ts'

/** Names in lower case, in order of arrival, repeated names kept apart. */
export type HeaderList = readonly (readonly [name: string, value: string])[]

export interface RequestHead {
  readonly method: string
  /** The request target exactly as received, never decoded or normalised. */
  readonly target: string
  /** `:authority` or Host. */
  readonly authority: string
  /** Without pseudo headers; hop-by-hop headers of HTTP/1.1 are still there. */
  readonly headers: HeaderList
  readonly protocol: 'h2' | 'http/1.1'
  readonly hasBody: boolean
  /** The Upgrade header in lower case when the client asks to leave HTTP, else empty. */
  readonly upgrade: string
}

export interface ResponseHead {
  readonly status: number
  readonly headers: HeaderList
}

/** What goes upstream. Host, framing and connection headers are the engine's business and must not be in `headers`. */
export interface OutgoingHead {
  readonly method: string
  readonly target: string
  readonly headers: HeaderList
}

export interface ForwardOptions {
  /** Sent instead of the client's body, when that has been read already. */
  body?: Uint8Array
  /** Headers the client must see changed or gone; gets the upstream's response head. */
  response?: (head: ResponseHead) => ResponseHead
}

export interface ForwardOutcome {
  /** Status the upstream answered with. */
  readonly status: number
  /** Whether the whole response reached the client; false when either side was cut. */
  readonly complete: boolean
  readonly bytesSent: number
  readonly bytesReceived: number
}

/** Sees a copy of the bytes of an upgraded connection; must not keep or change them, must not throw. */
export interface UpgradeTap {
  fromClient(bytes: Uint8Array): void
  fromServer(bytes: Uint8Array): void
}

/** A live upgraded connection. */
export interface UpgradedSession {
  readonly response: ResponseHead
  /** Milliseconds since the epoch of the last byte in either direction. */
  readonly lastActivity: number
  /** Puts bytes into the stream to the client after those already queued. The caller knows the framing. */
  sendToClient(bytes: Uint8Array): void
  /** Ends both sides in order: what is queued is sent first. */
  end(): void
  /** Drops both sides at once. */
  reset(): void
}

export interface UpgradeOptions {
  /** Called once the upstream has switched protocols and before any later byte moves. Its tap, if any, sees them all. */
  opened?: (session: UpgradedSession) => UpgradeTap | undefined
}

export interface UpgradeOutcome {
  /** 101, or the status of the refusal, which was relayed to the client whole. */
  readonly status: number
  /** Body of a refusal, at most 64 KiB of it, for the audit; empty after 101. */
  readonly refusal: string
  /** False when a side was reset instead of ended. */
  readonly orderly: boolean
  readonly bytesFromClient: number
  readonly bytesFromServer: number
}

/** One request and the ways to end it. Exactly one of `forward`, `upgrade`, `answer` or `abort` ends it. */
export interface Exchange {
  readonly request: RequestHead
  readonly connection: Connection
  /** Aborted when the client is gone or has cancelled. */
  readonly signal: AbortSignal
  /** Whether a response head has gone to the client. */
  readonly answered: boolean
  /** Streams the request up and the response down with back-pressure. Rejects only when nothing was sent to the client yet. */
  forward(upstream: Upstream, head: OutgoingHead, options?: ForwardOptions): Promise<ForwardOutcome>
  /** Relays a protocol upgrade on a connection of its own. Same rejection rule as `forward`. */
  upgrade(upstream: Upstream, head: OutgoingHead, options?: UpgradeOptions): Promise<UpgradeOutcome>
  answer(head: ResponseHead, body?: Uint8Array | string | ReadableStream<Uint8Array>): Promise<void>
  /** The whole request body. Throws `limit-exceeded` when it is larger. */
  readBody(limit: number): Promise<Uint8Array>
  /** Cuts the response so that the client cannot take it for complete. */
  abort(reason: string): void
}

/** Handles one exchange. What it throws becomes the engine's `onError` answer when nothing was sent yet, else a cut. */
export type ExchangeHandler = (exchange: Exchange) => Promise<void>
