// WebSocket frames as they pass by (RFC 6455): whole messages of one direction, from any splitting of the bytes.

export interface WebSocketMessage {
  readonly binary: boolean
  readonly payload: Uint8Array
}

/** Larger messages are passed over: what is looked for is small. */
const messageLimit = 256 * 1024

/** Feeds bytes in; messages come out. Anything that is not a frame ends the parsing, never with an error. */
export class WebSocketFrames {
  #pending: Buffer = Buffer.alloc(0)
  #skip = 0
  #parts: Buffer[] = []
  #partsLength = 0
  #binary = false
  #broken = false
  readonly #onMessage: (message: WebSocketMessage) => void

  constructor(onMessage: (message: WebSocketMessage) => void) {
    this.#onMessage = onMessage
  }

  push(bytes: Uint8Array): void {
    if (this.#broken) return
    let rest = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (this.#skip > 0) {
      const skipped = Math.min(this.#skip, rest.length)
      this.#skip -= skipped
      rest = rest.subarray(skipped)
    }
    if (rest.length === 0) return
    this.#pending = this.#pending.length === 0 ? Buffer.from(rest) : Buffer.concat([this.#pending, rest])
    while (!this.#broken && this.#frame());
  }

  /** Takes one frame off the pending bytes; false when there is none whole yet. */
  #frame(): boolean {
    const bytes = this.#pending
    if (bytes.length < 2) return false
    const first = bytes.readUInt8(0)
    const second = bytes.readUInt8(1)
    const short = second & 0x7f
    const extended = short === 126 ? 2 : short === 127 ? 8 : 0
    const masked = (second & 0x80) !== 0
    const headerLength = 2 + extended + (masked ? 4 : 0)
    if (bytes.length < headerLength) return false
    const length =
      extended === 0 ? short : extended === 2 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2))
    if ((first & 0x70) !== 0 || !Number.isSafeInteger(length)) {
      this.#broken = true
      return false
    }
    if (length > messageLimit) {
      // Not kept: the bytes still to come are counted off.
      this.#dropMessage(bytes, headerLength + length)
      return true
    }
    if (bytes.length < headerLength + length) return false
    const payload = Buffer.from(bytes.subarray(headerLength, headerLength + length))
    if (masked) unmask(payload, bytes.subarray(headerLength - 4, headerLength))
    this.#pending = bytes.subarray(headerLength + length)
    this.#take(first, payload)
    return true
  }

  #dropMessage(bytes: Buffer, frameLength: number): void {
    this.#skip = Math.max(0, frameLength - bytes.length)
    this.#pending = bytes.subarray(Math.min(bytes.length, frameLength))
    this.#parts = []
    this.#partsLength = messageLimit + 1
  }

  #take(first: number, payload: Buffer): void {
    const opcode = first & 0x0f
    // Control frames come between the parts of a message and are not part of it.
    if (opcode >= 8) return
    if (opcode !== 0) {
      this.#parts = []
      this.#partsLength = 0
      this.#binary = opcode === 2
    }
    this.#partsLength += payload.length
    if (this.#partsLength <= messageLimit) this.#parts.push(payload)
    if ((first & 0x80) === 0 || this.#partsLength > messageLimit) return
    this.#onMessage({ binary: this.#binary, payload: Buffer.concat(this.#parts) })
    this.#parts = []
    this.#partsLength = 0
  }
}

function unmask(payload: Buffer, mask: Buffer): void {
  for (let index = 0; index < payload.length; index++)
    payload[index] = (payload[index] ?? 0) ^ (mask[index & 3] ?? 0)
}

/** A server's frame: one binary message. */
export function serverMessage(payload: Uint8Array): Uint8Array {
  const length = payload.length
  const header =
    length < 126 ? Buffer.from([0x82, length]) : Buffer.from([0x82, 126, length >> 8, length & 0xff])
  return Buffer.concat([header, payload])
}

/** A server's orderly goodbye (code 1000). */
export const closeFrame: Uint8Array = Uint8Array.of(0x88, 2, 0x03, 0xe8)
