// RFC 6455 for the sample's exec, server side: the handshake, whole messages in, messages out. Small and trusting:
// it talks to kubectl in a test, not to the Internet.

import { createHash } from 'node:crypto'
import type { Duplex } from 'node:stream'

export interface WebSocketHandlers {
  message(bytes: Buffer): void
  closed(): void
}

export interface WebSocketSender {
  send(...parts: readonly Uint8Array[]): void
  close(): void
}

/** Answers the handshake with this subprotocol and reads messages until either side closes. */
export function acceptWebSocket(
  socket: Duplex,
  handshake: { key: string; protocol: string; head: Buffer },
  handlers: WebSocketHandlers,
): WebSocketSender {
  const accept = createHash('sha1')
    .update(`${handshake.key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64')
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: ${handshake.protocol}\r\n\r\n`,
  )
  let pending = handshake.head
  let message: Buffer[] = []
  const read = (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk])
    for (;;) {
      const frame = decodeFrame(pending)
      if (frame === undefined) return
      pending = pending.subarray(frame.length)
      if (frame.opcode === opcodes.close) {
        socket.end(encodeFrame(opcodes.close, frame.payload))
        return
      }
      if (frame.opcode === opcodes.ping) socket.write(encodeFrame(opcodes.pong, frame.payload))
      if (frame.opcode > opcodes.binary) continue
      message.push(frame.payload)
      if (!frame.final) continue
      handlers.message(Buffer.concat(message))
      message = []
    }
  }
  socket.on('data', read)
  socket.on('error', () => socket.destroy())
  socket.on('close', () => handlers.closed())
  if (pending.length > 0) read(Buffer.alloc(0))
  return {
    send: (...parts) => void socket.write(encodeFrame(opcodes.binary, Buffer.concat(parts))),
    close: () => void socket.end(encodeFrame(opcodes.close, Buffer.from([0x03, 0xe8]))),
  }
}

const opcodes = { binary: 2, close: 8, ping: 9, pong: 10 } as const

interface Frame {
  readonly final: boolean
  readonly opcode: number
  readonly payload: Buffer
  /** Of the whole frame. */
  readonly length: number
}

/** The first frame of `bytes`, unmasked; undefined when it is not all there yet. */
export function decodeFrame(bytes: Buffer): Frame | undefined {
  if (bytes.length < 2) return undefined
  const [first, second] = [bytes.readUInt8(0), bytes.readUInt8(1)]
  const short = second & 0x7f
  const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0
  const masked = (second & 0x80) !== 0
  const start = 2 + lengthBytes + (masked ? 4 : 0)
  if (bytes.length < start) return undefined
  const size =
    lengthBytes === 2 ? bytes.readUInt16BE(2) : lengthBytes === 8 ? Number(bytes.readBigUInt64BE(2)) : short
  if (bytes.length < start + size) return undefined
  const payload = Buffer.from(bytes.subarray(start, start + size))
  if (masked) {
    for (let index = 0; index < size; index++) payload[index]! ^= bytes[start - 4 + (index % 4)]!
  }
  return { final: (first & 0x80) !== 0, opcode: first & 0x0f, payload, length: start + size }
}

export function encodeFrame(opcode: number, payload: Uint8Array): Buffer {
  const size = payload.length
  const head = Buffer.alloc(size < 126 ? 2 : size < 65_536 ? 4 : 10)
  head.writeUInt8(0x80 | opcode, 0)
  if (size < 126) head.writeUInt8(size, 1)
  else if (size < 65_536) {
    head.writeUInt8(126, 1)
    head.writeUInt16BE(size, 2)
  } else {
    head.writeUInt8(127, 1)
    head.writeBigUInt64BE(BigInt(size), 2)
  }
  return Buffer.concat([head, payload])
}
