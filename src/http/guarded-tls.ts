// TLS on top of a stream that is not a socket. Bun accepts every write there and holds it in memory, however slow the
// stream below is; this stream takes the next write only when the one below has room.
// A half-close does not survive it: over a stream, Bun's TLS drops what comes after it has ended its own direction.

import { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'

/** Encrypted bytes that may wait in the stream below. */
const carrierHighWater = 256 * 1024

/** A stream over `secure`, whose own carrier is `carrier`, with back-pressure in both directions. */
export function guardTls(secure: TLSSocket, carrier: Duplex): Duplex {
  return new GuardedTls(secure, carrier)
}

class GuardedTls extends Duplex {
  readonly #secure: TLSSocket
  readonly #carrier: Duplex
  #waiting: ((error?: Error | null) => void) | undefined

  constructor(secure: TLSSocket, carrier: Duplex) {
    super({ allowHalfOpen: true })
    this.#secure = secure
    this.#carrier = carrier
    const room = () => this.#release()
    carrier.on('drain', room)
    secure.on('drain', room)
    secure.on('data', (chunk: Uint8Array) => {
      if (!this.push(chunk)) secure.pause()
    })
    secure.once('end', () => void this.push(null))
    secure.once('error', (error) => this.destroy(error))
    secure.once('close', () => {
      carrier.off('drain', room)
      this.destroy(secure.readableEnded ? undefined : new Error('connection closed'))
    })
  }

  override _read(): void {
    this.#secure.resume()
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#secure.destroyed) return done(new Error('connection closed'))
    this.#secure.write(chunk)
    this.#waiting = done
    this.#release()
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#secure.end()
    done()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#secure.destroy()
    this.#carrier.destroy()
    this.#waiting?.(error ?? new Error('connection closed'))
    this.#waiting = undefined
    done(error)
  }

  #release(): void {
    const done = this.#waiting
    if (!done || this.#secure.writableNeedDrain || this.#carrier.writableLength > carrierHighWater) return
    this.#waiting = undefined
    done()
  }

  // What HTTP libraries ask of every socket.
  setKeepAlive(): this {
    return this
  }
  setNoDelay(): this {
    return this
  }
  setTimeout(): this {
    return this
  }
  ref(): this {
    return this
  }
  unref(): this {
    return this
  }
}
