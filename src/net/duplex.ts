// Between wires and the streams of the platform's libraries. A wire made from a socket gives that socket back, so
// that a library that wants a stream gets the real one, without a layer in between.

import { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { Sink, Wire } from './connection.ts'

const sockets = new WeakMap<Wire, Duplex>()

/** A wire over a socket or any other duplex stream. The stream must not be read by anybody else. */
export function duplexToWire(stream: Duplex): Wire {
  const wire = new StreamWire(stream)
  sockets.set(wire, stream)
  return wire
}

/** A stream over a wire that nobody has attached to yet. */
export function wireToDuplex(wire: Wire): Duplex {
  return sockets.get(wire) ?? new WireStream(wire)
}

class StreamWire implements Wire {
  readonly #stream: Duplex
  #sink: Sink | undefined
  /** What the sink did not take of the last chunk; the stream stands still meanwhile. */
  #rest: Uint8Array | undefined
  #ended = false
  #endedTold = false
  #failure: Error | undefined

  constructor(stream: Duplex) {
    this.#stream = stream
    // From the beginning: an error that nobody listens for would end the process.
    stream.on('error', (error) => {
      this.#failure ??= error
    })
  }

  write(bytes: Uint8Array, start: number, end: number): number {
    const stream = this.#stream
    if (stream.destroyed || stream.writableEnded || stream.writableNeedDrain) return 0
    // The writer may use its buffer again at once.
    stream.write(bytes.slice(start, end))
    return end - start
  }

  end(): void {
    this.#stream.end()
  }

  reset(): void {
    resetStream(this.#stream)
  }

  resume(): void {
    if (!this.#sink) return
    const rest = this.#rest
    if (rest) {
      this.#rest = undefined
      this.#offer(rest)
      if (this.#rest) return
    }
    if (this.#ended) this.#tellEnd()
    else this.#stream.resume()
  }

  attach(sink: Sink): void {
    if (this.#sink) throw new TypeError('a wire has one sink')
    this.#sink = sink
    const stream = this.#stream
    const close = () => sink.closed(this.#failure)
    // Its close has been told already to nobody.
    if (stream.closed) return queueMicrotask(close)
    stream
      .on('drain', () => sink.drained())
      .on('end', () => {
        this.#ended = true
        if (!this.#rest) this.#tellEnd()
      })
      .once('close', close)
      .on('data', (chunk: Uint8Array) => this.#offer(chunk))
  }

  #tellEnd(): void {
    if (this.#endedTold) return
    this.#endedTold = true
    this.#sink?.ended()
  }

  #offer(chunk: Uint8Array): void {
    const taken = this.#sink?.data(chunk, 0, chunk.length) ?? 0
    if (taken === chunk.length) return
    this.#rest = chunk.subarray(taken)
    this.#stream.pause()
  }
}

/** Drops a stream so that the other side learns of it: a socket that is merely destroyed looks ended in order. */
export function resetStream(stream: Duplex): void {
  if (stream instanceof Socket) stream.resetAndDestroy()
  else stream.destroy()
}

class WireStream extends Duplex {
  readonly #wire: Wire
  #reading = true
  #pending: { bytes: Uint8Array; offset: number; done: (error?: Error | null) => void } | undefined
  #wireClosed = false

  constructor(wire: Wire) {
    super({ allowHalfOpen: true })
    this.#wire = wire
    wire.attach({
      data: (bytes, start, end) => {
        if (!this.#reading) return 0
        // The wire may use its buffer again.
        this.#reading = this.push(Buffer.from(bytes.slice(start, end)))
        return end - start
      },
      drained: () => this.#flush(),
      ended: () => void this.push(null),
      closed: (error) => {
        this.#wireClosed = true
        if (error) this.destroy(error)
        else if (!this.readableEnded) this.push(null)
        this.#pending?.done(error ?? new Error('connection closed'))
        this.#pending = undefined
      },
    })
  }

  // What HTTP libraries ask of every socket; an in-memory stream has nothing to set.
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

  override _read(): void {
    if (this.#reading) return
    this.#reading = true
    this.#wire.resume()
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#wireClosed) return done(new Error('connection closed'))
    this.#pending = { bytes: chunk, offset: 0, done }
    this.#flush()
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#wire.end()
    done()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#wireClosed) this.#wire.reset()
    done(error)
  }

  #flush(): void {
    const pending = this.#pending
    if (!pending) return
    pending.offset += this.#wire.write(pending.bytes, pending.offset, pending.bytes.length)
    if (pending.offset < pending.bytes.length) return
    this.#pending = undefined
    pending.done()
  }
}
