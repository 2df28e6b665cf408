import { describe, expect, it } from 'bun:test'
import type { Duplex } from 'node:stream'
import type { Sink, Wire } from './connection.ts'
import { wireToDuplex } from './duplex.ts'
import { createPair } from './pair.ts'

const turn = () => new Promise((resolve) => setTimeout(resolve, 0))
const bytes = (text: string) => new TextEncoder().encode(text)
const write = (wire: Wire, text: string) => wire.write(bytes(text), 0, text.length)

// Not `for await`: that would destroy the stream at its end, and with it the other direction.
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

function recorder(takes = Number.POSITIVE_INFINITY) {
  const seen: string[] = []
  const sink: Sink = {
    data: (data, start, end) => {
      const count = Math.min(end - start, takes)
      seen.push(new TextDecoder().decode(data.subarray(start, start + count)))
      return count
    },
    drained: () => void seen.push('<drained>'),
    ended: () => void seen.push('<ended>'),
    closed: (error) => void seen.push(error ? `<closed: ${error.message}>` : '<closed>'),
  }
  return { seen, sink }
}

describe('createPair', () => {
  it('delivers later, in order, and bytes written before a sink was attached', async () => {
    const [left, right] = createPair()
    write(left, 'one')
    write(left, 'two')
    const { seen, sink } = recorder()
    right.attach(sink)
    expect(seen).toEqual([])
    await turn()
    expect(seen).toEqual(['one', 'two'])
  })

  it('takes no more than a window, and says when there is room again', async () => {
    const [left, right] = createPair({ window: 4 })
    const writer = recorder()
    const reader = recorder()
    left.attach(writer.sink)
    expect(write(left, 'abcdef')).toBe(4)
    expect(write(left, 'gh')).toBe(0)
    right.attach(reader.sink)
    await turn()
    expect(reader.seen).toEqual(['abcd'])
    expect(writer.seen).toEqual(['<drained>'])
  })

  it('offers again what a sink did not take, once it resumes', async () => {
    const [left, right] = createPair()
    const { seen, sink } = recorder(2)
    right.attach(sink)
    write(left, 'abcd')
    await turn()
    expect(seen).toEqual(['ab'])
    right.resume()
    await turn()
    expect(seen).toEqual(['ab', 'cd'])
  })

  it('passes a half-close on after the bytes before it, and closes when both have ended', async () => {
    const [left, right] = createPair()
    const here = recorder()
    const there = recorder()
    left.attach(here.sink)
    right.attach(there.sink)
    write(left, 'last')
    left.end()
    await turn()
    expect(there.seen).toEqual(['last', '<ended>'])
    write(right, 'answer')
    right.end()
    await turn()
    expect(here.seen).toEqual(['answer', '<ended>', '<closed>'])
    expect(there.seen).toEqual(['last', '<ended>', '<closed>'])
  })

  it('tells the other side of a reset', async () => {
    const [left, right] = createPair()
    const here = recorder()
    const there = recorder()
    left.attach(here.sink)
    right.attach(there.sink)
    left.reset()
    await turn()
    expect([here.seen, there.seen]).toEqual([['<closed>'], ['<closed: connection reset>']])
    expect(write(right, 'x')).toBe(0)
  })
})

describe('wireToDuplex', () => {
  it('carries a large body with back-pressure and half-close in both directions', async () => {
    const [left, right] = createPair({ window: 1000 })
    const client = wireToDuplex(left)
    const server = wireToDuplex(right)
    const body = Buffer.alloc(100_000, 'x')
    client.end(body)
    expect((await read(server)).length).toBe(body.length)
    server.end('done')
    expect(await read(client)).toBe('done')
  })

  it('stops a writer when nobody reads', async () => {
    const [left] = createPair({ window: 1000 })
    const client = wireToDuplex(left)
    let accepted = 0
    while (client.write(Buffer.alloc(1000))) accepted++
    await turn()
    expect(accepted).toBeLessThan(200)
  })

  it('turns a reset into an error on the other side', async () => {
    const [left, right] = createPair()
    const client = wireToDuplex(left)
    const server = wireToDuplex(right)
    const failed = new Promise<Error>((resolve) => server.once('error', resolve))
    client.on('error', () => {})
    client.destroy()
    expect((await failed).message).toBe('connection reset')
  })
})
