import { describe, expect, it } from 'bun:test'
import { constants, createDeflate } from 'node:zlib'
import { spdyDictionary } from './spdy-dictionary.ts'
import { observeStream, type StreamObserver } from './stream-observer.ts'

const success = '{"metadata":{},"status":"Success"}'
const exit3 =
  '{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: exit status 3","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}'
const refused =
  '{"kind":"Status","status":"Failure","message":"pods \\"x\\" is forbidden","reason":"Forbidden","code":403}'

/** Feeds bytes in pieces of a given length. */
function feed(bytes: Uint8Array, length: number, to: (piece: Uint8Array) => void): void {
  for (let at = 0; at < bytes.length; at += length) to(bytes.subarray(at, at + length))
}

function webSocketFrame(
  payload: Uint8Array,
  { opcode = 2, fin = true, mask }: { opcode?: number; fin?: boolean; mask?: Uint8Array } = {},
): Buffer {
  const length = payload.length
  const size =
    length < 126
      ? [length]
      : length < 65_536
        ? [126, length >> 8, length & 255]
        : [127, 0, 0, 0, 0, length >>> 24, (length >> 16) & 255, (length >> 8) & 255, length & 255]
  size[0] = (size[0] ?? 0) | (mask ? 0x80 : 0)
  const body = mask ? payload.map((byte, index) => byte ^ (mask[index & 3] ?? 0)) : payload
  return Buffer.concat([Buffer.from([(fin ? 0x80 : 0) | opcode, ...size]), mask ?? new Uint8Array(), body])
}

const channel = (number: number, text: string) => Buffer.concat([Buffer.from([number]), Buffer.from(text)])

const webSocket = (subprotocol = 'v5.channel.k8s.io'): StreamObserver =>
  observeStream({ upgrade: 'websocket', subprotocol, kind: 'exec', onPort: () => {}, ports: [] })

describe('a WebSocket command', () => {
  it.each([1, 2, 7, 100_000])('ends with the status on channel 3, in pieces of %d bytes', async (length) => {
    const observer = webSocket()
    const bytes = Buffer.concat([
      webSocketFrame(channel(1, 'output')),
      webSocketFrame(channel(1, 'x'.repeat(70_000))),
      webSocketFrame(new Uint8Array(), { opcode: 9 }),
      webSocketFrame(channel(3, exit3).subarray(0, 20), { fin: false }),
      webSocketFrame(new Uint8Array(), { opcode: 10 }),
      webSocketFrame(channel(3, exit3).subarray(20), { opcode: 0 }),
      webSocketFrame(Buffer.from([0x03, 0xe8]), { opcode: 8 }),
    ])
    feed(bytes, length, (piece) => observer.fromServer(piece))
    await observer.finished()
    expect(observer.commandEnd()).toEqual({
      exitCode: '3',
      error: 'command terminated with non-zero exit code: exit status 3',
    })
  })

  it('reads success, refusals and the base64 form', async () => {
    const ends = [success, refused].map((status) => {
      const observer = webSocket('v4.channel.k8s.io')
      observer.fromServer(webSocketFrame(channel(3, status)))
      return observer.commandEnd()
    })
    expect(ends).toEqual([{ exitCode: '0' }, { exitCode: '403', error: 'pods "x" is forbidden' }])
    const base64 = webSocket('v4.base64.channel.k8s.io')
    base64.fromServer(
      webSocketFrame(Buffer.from(`3${Buffer.from(success).toString('base64')}`), { opcode: 1 }),
    )
    expect(base64.commandEnd()).toEqual({ exitCode: '0' })
  })

  it('passes over a message that is too large, and stops at what is no frame', () => {
    const observer = webSocket()
    observer.fromServer(webSocketFrame(channel(1, 'x'.repeat(1_000_000))))
    observer.fromServer(webSocketFrame(channel(3, success)))
    expect(observer.commandEnd()).toEqual({ exitCode: '0' })
    const broken = webSocket()
    broken.fromServer(Buffer.from([0xf2, 0x01, 0x03]))
    broken.fromServer(webSocketFrame(channel(3, success)))
    expect(broken.commandEnd()).toBeUndefined()
  })

  it('says goodbye with a status and a close', () => {
    const bytes = Buffer.from(webSocket().farewell('idle'))
    const other = webSocket()
    other.fromServer(bytes)
    expect(other.commandEnd()).toEqual({ exitCode: '403', error: 'idle' })
    expect([...bytes.subarray(-4)]).toEqual([0x88, 2, 0x03, 0xe8])
  })
})

/** Compresses header blocks one after another, as one side of a SPDY connection does. */
function headerBlocks(): (headers: Record<string, string>) => Promise<Buffer> {
  const deflate = createDeflate({ dictionary: spdyDictionary })
  return async (headers) => {
    const parts = [number(Object.keys(headers).length)]
    for (const text of Object.entries(headers).flat())
      parts.push(number(Buffer.byteLength(text)), Buffer.from(text))
    const chunks: Buffer[] = []
    const collect = (chunk: Buffer) => chunks.push(chunk)
    deflate.on('data', collect)
    await new Promise<void>((resolve) =>
      deflate.write(Buffer.concat(parts), () => deflate.flush(constants.Z_SYNC_FLUSH, () => resolve())),
    )
    deflate.off('data', collect)
    return Buffer.concat(chunks)
  }
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

const length24 = (length: number, flags = 0) =>
  Buffer.from([flags, (length >> 16) & 255, (length >> 8) & 255, length & 255])
const synStream = (id: number, block: Buffer) =>
  Buffer.concat([
    Buffer.from([0x80, 3, 0, 1]),
    length24(10 + block.length),
    number(id),
    number(0),
    Buffer.from([0, 0]),
    block,
  ])
const data = (id: number, text: string) =>
  Buffer.concat([number(id), length24(Buffer.byteLength(text)), Buffer.from(text)])

describe('a SPDY command', () => {
  it.each([1, 3, 100_000])(
    'ends with the status on its error stream, in pieces of %d bytes',
    async (length) => {
      const observer = observeStream({
        upgrade: 'spdy/3.1',
        subprotocol: '',
        kind: 'exec',
        onPort: () => {},
        ports: [],
      })
      const block = headerBlocks()
      const client = Buffer.concat([
        synStream(1, await block({ streamtype: 'stdout' })),
        Buffer.from([0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]),
        synStream(3, await block({ streamtype: 'error' })),
      ])
      feed(client, length, (piece) => observer.fromClient(piece))
      feed(
        Buffer.concat([data(1, exit3), data(3, exit3.slice(0, 30)), data(3, exit3.slice(30))]),
        length,
        (piece) => observer.fromServer(piece),
      )
      await observer.finished()
      expect(observer.commandEnd()).toMatchObject({ exitCode: '3' })
    },
  )

  it('tells each port of a port-forward once', async () => {
    const ports: number[] = []
    const observer = observeStream({
      upgrade: 'spdy/3.1',
      subprotocol: '',
      kind: 'portforward',
      onPort: (port) => ports.push(port),
      ports: [],
    })
    const block = headerBlocks()
    let id = 1
    for (const port of ['80', '80', '443']) {
      for (const streamtype of ['error', 'data']) {
        observer.fromClient(synStream(id, await block({ streamtype, port, requestid: '0' })))
        id += 2
      }
    }
    await observer.finished()
    expect(ports).toEqual([80, 443])
  })

  it('finds the same inside a WebSocket tunnel with masked frames', async () => {
    const ports: number[] = []
    const observer = observeStream({
      upgrade: 'websocket',
      subprotocol: 'SPDY/3.1+portforward.k8s.io',
      kind: 'portforward',
      onPort: (port) => ports.push(port),
      ports: [],
    })
    const frame = synStream(1, await headerBlocks()({ streamtype: 'data', port: '8080' }))
    observer.fromClient(webSocketFrame(frame.subarray(0, 9), { mask: Buffer.from([1, 2, 3, 4]) }))
    observer.fromClient(webSocketFrame(frame.subarray(9), { mask: Buffer.from([9, 8, 7, 6]) }))
    await observer.finished()
    expect(ports).toEqual([8080])
  })

  it('survives any bytes', async () => {
    for (let round = 0; round < 200; round++) {
      const observer = observeStream({
        upgrade: round % 2 ? 'websocket' : 'spdy/3.1',
        subprotocol: '',
        kind: 'exec',
        onPort: () => {},
        ports: [],
      })
      const bytes = Buffer.from(
        Array.from({ length: 300 }, (_, index) => (index * round * 7 + 13 * round) & 255),
      )
      if (round % 3 === 0) bytes.set([0x80, 3, 0, 1, 0, 0, 0, 40])
      observer.fromClient(bytes)
      observer.fromServer(bytes)
      await observer.finished()
      expect(observer.commandEnd()).toBeUndefined()
    }
  })
})
