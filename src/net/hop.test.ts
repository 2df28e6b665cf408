import { describe, expect, it } from 'bun:test'
import { TeleportError } from '../errors.ts'
import { wireToDuplex } from './duplex.ts'
import { acceptHop, createPreambleDecoder, encodePreamble, openHop, type Preamble } from './hop.ts'
import { createPair } from './pair.ts'

const preamble: Preamble = {
  protocol: 'h2',
  serverName: 'kube.example',
  client: { host: '10.0.0.7', port: 40_000 },
  target: { cluster: '', kubernetesCluster: 'prod' },
  peer: [Uint8Array.of(0x30, 1, 2), Uint8Array.of(0x30)],
}
const hex =
  '89484f50' + // magic
  '01' + // version
  '0000002f' + // length
  '00026832' + // h2
  '000c6b7562652e6578616d706c65' + // kube.example
  '000831302e302e302e37' + // 10.0.0.7
  '9c40' + // port
  '0000' + // own cluster
  '000470726f64' + // prod
  '02' + // two certificates
  '0003300102' +
  '000130'

const refusal = (bytes: Uint8Array): string => {
  try {
    createPreambleDecoder().push(bytes, 0, bytes.length)
  } catch (error) {
    if (error instanceof TeleportError) return `${error.kind}: ${error.message}`
    throw error
  }
  return 'accepted'
}
const changed = (at: number, ...values: number[]) => {
  const bytes = Buffer.from(hex, 'hex')
  bytes.set(values, at)
  return bytes
}

describe('encodePreamble', () => {
  it('writes the layout of SPEC.md', () => {
    expect(Buffer.from(encodePreamble(preamble)).toString('hex')).toBe(hex)
  })

  it('refuses chains that do not fit', () => {
    const long = new Uint8Array(40_000)
    expect(() => encodePreamble({ ...preamble, peer: [long, long] })).toThrow('too long for a hop')
    expect(() => encodePreamble({ ...preamble, peer: Array(9).fill(Uint8Array.of(1)) })).toThrow(
      'a certificate chain holds at most 8 certificates',
    )
  })
})

describe('createPreambleDecoder', () => {
  it('reads it from pieces of any size and leaves what follows', () => {
    const bytes = Buffer.concat([Buffer.from(hex, 'hex'), Buffer.from('PRI *')])
    for (let size = 1; size <= bytes.length; size++) {
      const decoder = createPreambleDecoder()
      let used = 0
      for (let at = 0; at < bytes.length; at += size)
        used += decoder.push(bytes, at, Math.min(at + size, bytes.length))
      expect(decoder.preamble).toEqual(preamble)
      expect(used).toBe(bytes.length - 5)
    }
  })

  it.each([
    ['the first byte', Uint8Array.of(0x16), 'does not begin like one'],
    ['the fourth byte', Uint8Array.of(0x89, 0x48, 0x4f, 0x51), 'does not begin like one'],
    ['the version', Uint8Array.of(0x89, 0x48, 0x4f, 0x50, 2), 'has version 2, known is 1'],
    ['the length', Uint8Array.of(0x89, 0x48, 0x4f, 0x50, 1, 0, 1, 0, 0), 'is longer than 65536 bytes'],
    ['a protocol', changed(11, 0x68, 0x33), 'names an unknown protocol'],
    ['a field that reaches past the end', changed(13, 0xff, 0xff), 'ends inside a field'],
    ['text', changed(15, 0xc0, 0x80), 'holds text that is not UTF-8'],
    ['the number of certificates', changed(47, 9), 'holds more than 8 certificates'],
    ['fewer certificates than bytes', changed(47, 1), 'goes on after its last field'],
  ])('refuses a wrong byte in %s', (_, bytes, text) => {
    expect(refusal(bytes)).toBe(`bad-parameter: hop preamble ${text}`)
  })
})

describe('a hop', () => {
  it('carries the preamble, then both directions, through a narrow stream', async () => {
    const [near, far] = createPair({ window: 5 })
    const client = wireToDuplex(openHop(near, preamble))
    client.end('question')
    const { connection, target } = await acceptHop(far)
    expect(target).toEqual(preamble.target)
    expect({ ...connection, wire: undefined, target }).toEqual({ ...preamble, wire: undefined } as never)
    await Bun.sleep(1)
    const server = wireToDuplex(connection.wire)
    expect(await read(server)).toBe('question')
    server.end('answer')
    expect(await read(client)).toBe('answer')
  })

  it('resets a stream that says something else', async () => {
    const [near, far] = createPair()
    const client = wireToDuplex(near)
    const reset = new Promise<Error>((resolve) => client.once('error', resolve))
    client.write('GET / HTTP/1.1\r\n')
    expect(acceptHop(far)).rejects.toThrow('hop preamble does not begin like one')
    expect((await reset).message).toBe('connection reset')
  })

  it('waits only so long, and not at all for a stream that has ended', async () => {
    const [silent, waiting] = createPair()
    const closed = Promise.withResolvers<Error | undefined>()
    silent.attach({ data: () => 0, drained() {}, ended() {}, closed: (error) => closed.resolve(error) })
    expect(acceptHop(waiting, { deadlineMs: 10 })).rejects.toThrow('no hop preamble within 0.01 s')
    expect((await closed.promise)?.message).toBe('connection reset')
    const [ended, reader] = createPair()
    ended.end()
    expect(acceptHop(reader)).rejects.toThrow('the stream ended inside the hop preamble')
  })

  it('tells a late reader that the stream was reset meanwhile', async () => {
    const [near, far] = createPair()
    const wire = openHop(near, preamble)
    const { connection } = await acceptHop(far)
    wire.reset()
    await Bun.sleep(1)
    const closed = new Promise((resolve) =>
      connection.wire.attach({ data: () => 0, drained() {}, ended() {}, closed: resolve }),
    )
    expect(await closed).toEqual(new Error('connection reset'))
  })
})

function read(stream: NodeJS.ReadableStream): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    stream.once('end', () => resolve(text))
    stream.once('error', reject)
  })
}
