// SPDY/3.1 frames as they pass by: which streams there are, by their headers, and what is sent on some of them.
// Header blocks are compressed with one state per direction, so they are undone one after another.

import { createInflate, type Inflate } from 'node:zlib'
import { spdyDictionary } from './spdy-dictionary.ts'

export interface SpdyEvents {
  /** A stream was opened by this side; names in lower case. */
  opened?: (streamId: number, headers: ReadonlyMap<string, string>) => void
  data?: (streamId: number, bytes: Uint8Array) => void
}

/**
 * Header blocks are undone one after another; what came after one, in either direction, waits for it. Both directions
 * of a connection share one.
 */
export interface SpdyOrder {
  tail: Promise<void>
}

/** Data of one frame that is kept; a Status is far smaller. */
const dataLimit = 64 * 1024
const headerBlockLimit = 64 * 1024
const headerPairsLimit = 200
const synStream = 1

/** Feeds one direction's bytes in. Anything that is not a frame ends the parsing, never with an error. */
export class SpdyFrames {
  #pending: Buffer = Buffer.alloc(0)
  #skip = 0
  #broken = false
  readonly #events: SpdyEvents
  readonly #inflate = new HeaderInflate()
  readonly #order: SpdyOrder

  constructor(events: SpdyEvents, order: SpdyOrder) {
    this.#events = events
    this.#order = order
  }

  push(bytes: Uint8Array): void {
    if (this.#broken) return
    let rest = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const skipped = Math.min(this.#skip, rest.length)
    this.#skip -= skipped
    rest = rest.subarray(skipped)
    if (rest.length === 0) return
    this.#pending = this.#pending.length === 0 ? Buffer.from(rest) : Buffer.concat([this.#pending, rest])
    while (!this.#broken && this.#frame());
  }

  /** Resolves when everything pushed so far has been told. */
  async settled(): Promise<void> {
    await this.#order.tail
    this.#inflate.close()
  }

  #frame(): boolean {
    const bytes = this.#pending
    if (bytes.length < 8) return false
    const control = (bytes.readUInt8(0) & 0x80) !== 0
    const length = bytes.readUIntBE(5, 3)
    if (control && bytes.readUInt16BE(0) !== 0x8003) {
      this.#broken = true
      return false
    }
    if (length > (control ? headerBlockLimit : dataLimit)) {
      // A header block that is passed over would leave the compression state behind.
      if (control) this.#broken = true
      this.#skip = Math.max(0, 8 + length - bytes.length)
      this.#pending = bytes.subarray(Math.min(bytes.length, 8 + length))
      return !control
    }
    if (bytes.length < 8 + length) return false
    const body = Buffer.from(bytes.subarray(8, 8 + length))
    this.#pending = bytes.subarray(8 + length)
    if (!control) this.#data(bytes.readUInt32BE(0) & 0x7fffffff, body)
    else if (bytes.readUInt16BE(2) === synStream && body.length >= 10)
      this.#open(body.readUInt32BE(0) & 0x7fffffff, body.subarray(10))
    return true
  }

  #data(streamId: number, body: Buffer): void {
    const { data } = this.#events
    if (!data || body.length === 0) return
    this.#order.tail = this.#order.tail.then(() => data(streamId, body))
  }

  #open(streamId: number, block: Buffer): void {
    this.#order.tail = this.#order.tail.then(async () => {
      const headers = await this.#inflate.next(block)
      if (headers) this.#events.opened?.(streamId, headers)
      else this.#broken = true
    })
  }
}

class HeaderInflate {
  readonly #stream: Inflate
  #broken = false

  constructor() {
    this.#stream = createInflate({ dictionary: spdyDictionary, finishFlush: 2 })
    this.#stream.on('error', () => {
      this.#broken = true
    })
  }

  close(): void {
    this.#stream.close()
  }

  /** The headers of the next block, or undefined when it is none. */
  async next(block: Uint8Array): Promise<ReadonlyMap<string, string> | undefined> {
    if (this.#broken) return undefined
    await new Promise<void>((resolve) => {
      this.#stream.once('error', () => resolve())
      this.#stream.write(block, () => resolve())
    })
    const parts: Buffer[] = []
    let length = 0
    for (let chunk: unknown = this.#stream.read(); chunk instanceof Buffer; chunk = this.#stream.read()) {
      length += chunk.length
      if (length > headerBlockLimit) {
        this.#broken = true
        return undefined
      }
      parts.push(chunk)
    }
    return this.#broken ? undefined : parseBlock(Buffer.concat(parts))
  }
}

function parseBlock(block: Buffer): ReadonlyMap<string, string> | undefined {
  let at = 0
  const number = () => {
    if (at + 4 > block.length) throw new RangeError('cut short')
    at += 4
    return block.readUInt32BE(at - 4)
  }
  const text = () => {
    const length = number()
    if (at + length > block.length) throw new RangeError('cut short')
    at += length
    return block.toString('utf8', at - length, at)
  }
  try {
    const count = number()
    if (count > headerPairsLimit) return undefined
    const headers = new Map<string, string>()
    for (let index = 0; index < count; index++) headers.set(text().toLowerCase(), text())
    return headers
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}
