// Two wires joined in memory: what one writes, the other's sink gets. Bounded: a writer is refused when the other
// side has not taken a window's worth of bytes.

import type { Sink, Wire } from './connection.ts'

/** Bytes that may wait in each direction. */
export const pairWindow = 256 * 1024

export interface PairOptions {
  /** @default pairWindow */
  window?: number
}

export function createPair({ window = pairWindow }: PairOptions = {}): [Wire, Wire] {
  const left = new PairedWire(window)
  const right = new PairedWire(window)
  left.join(right)
  right.join(left)
  return [left, right]
}

class PairedWire implements Wire {
  readonly #window: number
  #peer: PairedWire | undefined
  #sink: Sink | undefined
  /** Bytes the peer has written and this side's sink has not taken. */
  readonly #waiting: Uint8Array[] = []
  #waitingBytes = 0
  #peerEnded = false
  #endedTold = false
  #ended = false
  #closed = false
  #closedTold = false
  #failure: Error | undefined
  #starved = false
  #paused = false
  #scheduled = false

  constructor(window: number) {
    this.#window = window
  }

  join(peer: PairedWire): void {
    this.#peer = peer
  }

  write(bytes: Uint8Array, start: number, end: number): number {
    const peer = this.#peer
    if (!peer || this.#closed || this.#ended || peer.#closed) return 0
    const taken = Math.min(end - start, this.#window - peer.#waitingBytes)
    if (taken < end - start) this.#starved = true
    if (taken <= 0) return 0
    // The writer may use its buffer again at once.
    peer.#waiting.push(bytes.slice(start, start + taken))
    peer.#waitingBytes += taken
    peer.#schedule()
    return taken
  }

  end(): void {
    if (this.#ended || this.#closed) return
    this.#ended = true
    const peer = this.#peer
    if (!peer) return
    peer.#peerEnded = true
    peer.#schedule()
    this.#schedule()
  }

  reset(): void {
    if (this.#closed) return
    this.close(undefined)
    this.#peer?.close(new Error('connection reset'))
  }

  resume(): void {
    this.#paused = false
    this.#schedule()
  }

  attach(sink: Sink): void {
    if (this.#sink) throw new TypeError('a wire has one sink')
    this.#sink = sink
    this.#schedule()
  }

  /** For the peer only. */
  close(failure: Error | undefined): void {
    this.#closed = true
    this.#failure ??= failure
    if (failure) this.#waiting.length = 0
    this.#schedule()
  }

  // Delivery is never inside the other side's call: a sink that answers at once would recurse.
  #schedule(): void {
    if (this.#scheduled || !this.#sink) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#deliver()
    })
  }

  #deliver(): void {
    const sink = this.#sink
    if (!sink || this.#closedTold) return
    while (!this.#closed && !this.#paused) {
      const bytes = this.#waiting[0]
      if (!bytes) break
      const taken = sink.data(bytes, 0, bytes.length)
      this.#waitingBytes -= taken
      if (taken === bytes.length) this.#waiting.shift()
      else {
        this.#waiting[0] = bytes.subarray(taken)
        this.#paused = true
      }
      this.#peer?.room()
    }
    if (this.#peerEnded && !this.#endedTold && this.#waiting.length === 0 && !this.#closed) {
      this.#endedTold = true
      sink.ended()
    }
    const bothEnded = this.#endedTold && this.#ended
    if (bothEnded || this.#closed) {
      this.#closed = true
      this.#closedTold = true
      sink.closed(this.#failure)
    }
  }

  /** For the peer only: bytes it had no room for may come again. */
  room(): void {
    if (!this.#starved) return
    this.#starved = false
    queueMicrotask(() => {
      if (!this.#closedTold) this.#sink?.drained()
    })
  }
}
