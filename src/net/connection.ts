// The primitive of the data plane: a wire that carries bytes without buffers of its own, and a connection,
// which is a wire plus what its TLS handshake proved. TLS sockets, tunnel streams and in-memory pairs are wires.

/** A byte stream without buffers of its own: whoever writes keeps what was not taken. */
export interface Wire {
  /** Writes `bytes[start, end)` and returns how many were taken now. After a short write, wait for `Sink.drained`. */
  write(bytes: Uint8Array, start: number, end: number): number
  /** Half-close: no more bytes from this side; the other direction lives on. */
  end(): void
  /** Drops the connection at once, in both directions, so that the other side cannot take it for an orderly end. */
  reset(): void
  /** Asks for the bytes that the sink did not take when they were offered. */
  resume(): void
  /** Sets the one receiver of what the other side sends. Bytes that came before wait; called once. */
  attach(sink: Sink): void
}

/** Receives what the far side of a wire sends. Methods are never called re-entrantly from `Wire.write`. */
export interface Sink {
  /**
   * Returns how many of `bytes[start, end)` were taken; the rest stays with the sender, and credit with it.
   * A sink that took less calls `Wire.resume` when it can take more.
   */
  data(bytes: Uint8Array, start: number, end: number): number
  /** The wire can take bytes again after a short write. May also come without one. */
  drained(): void
  /** The other side half-closed, and the sink has taken all that came before. Called at most once. */
  ended(): void
  /** Nothing more will come or go. With an error when it was not an orderly end. Called exactly once. */
  closed(error?: Error): void
}

/** One client's decrypted bytes, and what its TLS handshake proved. */
export interface Connection {
  readonly wire: Wire
  /** ALPN result; other ALPN names never reach a service. */
  readonly protocol: 'h2' | 'http/1.1'
  /** DER certificate chain, leaf first; empty when none was shown. */
  readonly peer: readonly Uint8Array[]
  /** Socket address of the client, for IP pinning and audit. */
  readonly client: { readonly host: string; readonly port: number }
  /** SNI, empty when the client sent none. */
  readonly serverName: string
}

export type Service = (connection: Connection) => void
