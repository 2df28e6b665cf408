import { describe, expect, it } from 'bun:test'
import { connect, createServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { duplexToWire, wireToDuplex } from './duplex.ts'
import { createPair } from './pair.ts'
import { splice } from './splice.ts'

function spliced(window?: number) {
  const [client, left] = createPair(window === undefined ? {} : { window })
  const [right, server] = createPair(window === undefined ? {} : { window })
  return { client: wireToDuplex(client), server: wireToDuplex(server), outcome: splice(left, right) }
}

function read(stream: Duplex): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    stream.once('end', () => resolve(text))
    stream.once('error', reject)
  })
}

describe('splice', () => {
  it('carries both directions through narrow wires, and half-closes one after the other', async () => {
    const { client, server, outcome } = spliced(7)
    const question = 'question '.repeat(1000)
    client.end(question)
    expect(await read(server)).toBe(question)
    server.end('answer')
    expect(await read(client)).toBe('answer')
    expect(await outcome).toEqual({ orderly: true, leftToRight: question.length, rightToLeft: 6 })
  })

  it('makes a writer wait when the far reader does not read', async () => {
    const { client } = spliced(1000)
    let accepted = 0
    for (let round = 0; round < 500; round++) {
      if (!client.writableNeedDrain) {
        client.write(Buffer.alloc(1000))
        accepted++
      }
      await Bun.sleep(0)
    }
    // Two windows, and what the streams at both ends hold of their own.
    expect(accepted).toBeLessThan(200)
  })

  it.each(['client', 'server'] as const)('turns a cut of the %s into a reset of the other', async (side) => {
    const ends = spliced()
    const other = side === 'client' ? ends.server : ends.client
    const failed = new Promise<Error>((resolve) => other.once('error', resolve))
    ends[side].destroy()
    expect((await failed).message).toBe('connection reset')
    expect(await ends.outcome).toMatchObject({ orderly: false })
  })

  it('passes a reset on between sockets, where a mere close would look like an end', async () => {
    const accepted = Promise.withResolvers<Socket>()
    const server = createServer({ allowHalfOpen: true }, (socket) => accepted.resolve(socket))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    if (address === null || typeof address === 'string') throw new TypeError('no port')
    const client = connect({ port: address.port, host: '127.0.0.1', allowHalfOpen: true })
    const [right, far] = createPair()
    const outcome = splice(duplexToWire(await accepted.promise), right)
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => client.once('error', resolve))
    client.resume()
    far.reset()
    expect((await failed).code).toBe('ECONNRESET')
    expect(await outcome).toMatchObject({ orderly: false })
    server.close()
  })
})
