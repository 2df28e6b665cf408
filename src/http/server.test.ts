// The guards of the server half, by the bytes that clients send.

import { afterEach, describe, expect, it } from 'bun:test'
import { type ClientHttp2Session, connect as connectH2, type IncomingHttpHeaders } from 'node:http2'
import { connect, createServer, type Socket } from 'node:net'
import { duplexToWire, wireToDuplex } from '../net/duplex.ts'
import { createPair } from '../net/pair.ts'
import type { ExchangeHandler } from './exchange.ts'
import { serveFetch } from './fetch-bridge.ts'
import { endToEnd } from './headers.ts'
import { dechunk } from './upgrade.ts'
import { createHttpService, type HttpService } from './server.ts'
import { createUpstream } from './upstream.ts'

type Protocol = 'h2' | 'http/1.1'
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function serve(handler: ExchangeHandler, protocol: Protocol, service?: HttpService): Promise<number> {
  const http = service ?? createHttpService(handler)
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    cleanups.push(() => socket.destroy())
    http({
      wire: duplexToWire(socket),
      protocol,
      peer: [],
      client: { host: '127.0.0.1', port: 1 },
      serverName: '',
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => server.close())
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('no port')
  return address.port
}

function session(port: number): ClientHttp2Session {
  const client = connectH2(`http://127.0.0.1:${port}`)
  client.on('error', () => {})
  cleanups.push(() => client.destroy())
  return client
}

interface Answer {
  status: number | undefined
  headers: IncomingHttpHeaders
  body: string
  code: number | undefined
  interim: number[]
}

function ask(
  client: ClientHttp2Session,
  headers: Record<string, string>,
  body?: string | Uint8Array,
): Promise<Answer> {
  return new Promise((resolve) => {
    const stream = client.request({ ':path': '/', ...headers }, { endStream: body === undefined })
    const answer: Answer = { status: undefined, headers: {}, body: '', code: undefined, interim: [] }
    stream.on('response', (head) => Object.assign(answer, { status: head[':status'], headers: head }))
    stream.on('headers', (head) => answer.interim.push(Number(head[':status'])))
    stream.on('data', (chunk) => {
      answer.body += chunk
    })
    stream.on('error', () => {})
    stream.on('close', () => resolve({ ...answer, code: stream.rstCode }))
    if (body !== undefined) stream.end(body)
  })
}

/** Sends text, and resolves with all that came until the server closed or `enough` was there. */
function raw(port: number, text: string, enough?: string): Promise<{ text: string; socket: Socket }> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    cleanups.push(() => socket.destroy())
    let seen = ''
    socket.write(text)
    socket.on('data', (chunk) => {
      seen += chunk
      if (enough !== undefined && seen.includes(enough)) resolve({ text: seen, socket })
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve({ text: seen, socket }))
    socket.on('end', () => {
      socket.end()
      resolve({ text: seen, socket })
    })
  })
}

const hello: ExchangeHandler = (exchange) => exchange.answer({ status: 200, headers: [] }, 'hello')
const echo: ExchangeHandler = async (exchange) =>
  exchange.answer({ status: 200, headers: [] }, await exchange.readBody(1 << 20))

/** An engine whose upstream is another engine in memory, which runs `handler`. */
function inner(handler: ExchangeHandler, plainProtocol: Protocol) {
  const service = createHttpService(handler)
  const upstream = createUpstream({
    name: 'inner',
    host: 'inner.internal',
    port: 80,
    plainProtocol,
    dial: async (protocol) => {
      const [near, far] = createPair()
      service({ wire: far, protocol, peer: [], client: { host: '', port: 1 }, serverName: '' })
      return wireToDuplex(near)
    },
  })
  cleanups.push(() => upstream[Symbol.asyncDispose]())
  return upstream
}

const forwardTo =
  (upstream: ReturnType<typeof inner>): ExchangeHandler =>
  async (exchange) => {
    const { method, target, headers } = exchange.request
    await exchange.forward(upstream, { method, target, headers: endToEnd(headers) })
  }

async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; !condition(); round++) {
    if (round > 1000) throw new Error('waited too long')
    await Bun.sleep(2)
  }
}

describe('malformed requests never reach a handler', () => {
  it.each([
    ['a target with a space', { ':path': '/a b' }],
    ['a target in absolute form', { ':path': 'http://x/' }],
    ['a method that is no token', { ':method': 'GE T' }],
    ['a length that is no number', { 'content-length': '+3' }],
    ['a target above ASCII', { ':path': '/\u00fc' }],
  ])('over HTTP/2: %s', async (_, headers) => {
    let handled = 0
    const port = await serve(async (exchange) => {
      handled++
      await hello(exchange)
    }, 'h2')
    const { status, code } = await ask(session(port), headers)
    expect(handled).toBe(0)
    expect(status === 400 || code !== 0).toBe(true)
  })

  it.each([
    ['two lengths', 'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'],
    ['a negative length', 'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n'],
    ['a NUL in a value', 'GET / HTTP/1.1\r\nhost: x\r\na: b\0c\r\n\r\n'],
    ['a carriage return in a value', 'GET / HTTP/1.1\r\nhost: x\r\na: b\rc\r\n\r\n'],
    [
      'an unknown coding beside chunked',
      'POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n',
    ],
  ])('over HTTP/1.1: %s', async (_, text) => {
    let handled = 0
    const port = await serve(async (exchange) => {
      handled++
      await hello(exchange)
    }, 'http/1.1')
    const answer = await raw(port, `${text}GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n`)
    expect(handled).toBe(0)
    expect(answer.text).toStartWith('HTTP/1.1 400 ')
    expect(answer.text.match(/HTTP\/1\.1 /g)).toHaveLength(1)
  })

  it('refuses headers over the limit', async () => {
    const service = createHttpService(hello, { maxHeaderBytes: 2000 })
    const h1 = await serve(hello, 'http/1.1', service)
    const { text } = await raw(h1, `GET / HTTP/1.1\r\nhost: x\r\na: ${'b'.repeat(5000)}\r\n\r\n`)
    expect(text).toMatch(/^HTTP\/1\.1 4(00|31) /)
    const { status, code } = await ask(session(await serve(hello, 'h2', service)), { a: 'b'.repeat(5000) })
    expect(status === 431 || code !== 0).toBe(true)
  })
})

describe('request bodies', () => {
  it.each(['h2', 'http/1.1'] as const)(
    'longer or shorter than announced are cut before upstream %s reads them as something else',
    async (protocol) => {
      const bodies: string[] = []
      const upstream = inner(async (exchange) => {
        bodies.push(Buffer.from(await exchange.readBody(1000)).toString())
        await hello(exchange)
      }, protocol)
      const client = session(await serve(forwardTo(upstream), 'h2'))
      for (const body of ['12345GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n', '123']) {
        const { status, code } = await ask(client, { ':method': 'POST', 'content-length': '5' }, body)
        expect(status !== 200 || code !== 0).toBe(true)
      }
      const good = await ask(
        session(await serve(forwardTo(upstream), 'h2')),
        {
          ':method': 'POST',
          'content-length': '5',
        },
        '12345',
      )
      expect(good).toMatchObject({ status: 200, body: 'hello' })
      expect(bodies).toEqual(['12345'])
    },
  )

  it('are waited for with 100-continue, over both protocols', async () => {
    const head = 'POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n'
    const { text, socket } = await raw(await serve(echo, 'http/1.1'), head, '100 Continue\r\n\r\n')
    expect(text).toBe('HTTP/1.1 100 Continue\r\n\r\n')
    socket.write('body')
    expect(String(await new Promise((resolve) => socket.once('data', resolve)))).toContain('body')
    const h2 = await ask(
      session(await serve(echo, 'h2')),
      { ':method': 'POST', expect: '100-continue' },
      'body',
    )
    expect(h2).toMatchObject({ status: 200, body: 'body', interim: [100] })
  })

  it('nobody reads are not asked for', async () => {
    const head = 'POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n'
    const { text } = await raw(await serve(hello, 'http/1.1'), head)
    expect(text).toStartWith('HTTP/1.1 200 OK\r\n')
    expect(text.toLowerCase()).toContain('\r\nconnection: close\r\n')
  })
})

describe('answers', () => {
  it('to HEAD, and with 204 and 304, have no body whatever the handler gave', async () => {
    const port = await serve(async (exchange) => {
      const status = Number(exchange.request.target.slice(1))
      const body = exchange.request.headers.some(([name]) => name === 'stream')
        ? new Response('body').body
        : 'body'
      await exchange.answer({ status, headers: [] }, body ?? undefined)
    }, 'http/1.1')
    const request = (method: string, status: number, more = '') =>
      `${method} /${status} HTTP/1.1\r\nhost: x\r\n${more}\r\n`
    const { text } = await raw(
      port,
      request('HEAD', 200) +
        request('HEAD', 200, 'stream: yes\r\n') +
        request('GET', 204) +
        request('GET', 304, 'stream: yes\r\n') +
        request('GET', 200, 'connection: close\r\n'),
    )
    expect([...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status))).toEqual([
      200, 200, 204, 304, 200,
    ])
    expect(text.match(/body/g)).toHaveLength(1)
    expect(text).toEndWith('\r\n\r\nbody')
  })

  it('reach HTTP/1.0 clients, who are told of the end by the close', async () => {
    const port = await serve(
      (exchange) => exchange.answer({ status: 200, headers: [] }, new Response('streamed').body ?? ''),
      'http/1.1',
    )
    const { text } = await raw(port, 'GET / HTTP/1.0\r\n\r\n')
    expect(text).toEndWith('\r\n\r\nstreamed')
    expect(text).not.toContain('chunked')
  })

  it('that were cut are reset, also for a client who takes a close for the end', async () => {
    const upstream = inner(async (exchange) => {
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(Buffer.from('half'))
          setTimeout(() => controller.error(new Error('broken')), 20)
        },
      })
      await exchange.answer({ status: 200, headers: [] }, body)
    }, 'h2')
    const socket = connect(await serve(forwardTo(upstream), 'http/1.1'), '127.0.0.1')
    socket.write('GET / HTTP/1.0\r\n\r\n')
    socket.resume()
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => socket.once('error', resolve))
    expect(error.code).toBe('ECONNRESET')
  })

  it('of a handler that throws are plain, and say nothing of the reason', async () => {
    const port = await serve(async () => {
      throw new Error('secret')
    }, 'h2')
    expect(await ask(session(port), {})).toMatchObject({ status: 500, body: 'internal error\n' })
  })

  it('of a handler that forgets to answer are errors, too', async () => {
    expect(await ask(session(await serve(async () => {}, 'h2')), {})).toMatchObject({ status: 500 })
  })
})

describe('silent clients', () => {
  it.each([
    ['http/1.1', 'nothing', ''],
    ['http/1.1', 'half a head', 'GET / HTTP/1.1\r\nhost: x\r\n'],
    ['h2', 'nothing', ''],
    ['h2', 'half a preface', 'PRI * HTTP/2.0\r\n'],
  ] as const)('over %s that send %s are cut', async (protocol, _, text) => {
    let handled = 0
    const service = createHttpService(async () => void handled++, { headersTimeoutMs: 30 })
    expect((await raw(await serve(hello, protocol, service), text)).text).not.toContain('200')
    expect(handled).toBe(0)
  })

  it.each(['http/1.1', 'h2'] as const)('over %s that wait for an answer are not', async (protocol) => {
    const service = createHttpService(
      async (exchange) => {
        await Bun.sleep(600)
        await hello(exchange)
      },
      { headersTimeoutMs: 400 },
    )
    const port = await serve(hello, protocol, service)
    if (protocol === 'h2') expect(await ask(session(port), {})).toMatchObject({ status: 200, body: 'hello' })
    else expect((await raw(port, 'GET / HTTP/1.1\r\nhost: x\r\n\r\n', 'hello')).text).toContain('hello')
  })
})

describe('flow', () => {
  it('a client that opens and resets streams in a loop loses its connection', async () => {
    const port = await serve(async (exchange) => {
      await new Promise((resolve) => exchange.signal.addEventListener('abort', resolve))
    }, 'h2')
    const client = session(port)
    const closed = new Promise((resolve) => client.once('close', resolve))
    for (let count = 0; count < 3000 && !client.destroyed; count++) {
      const stream = client.request({ ':path': '/' })
      stream.on('error', () => {})
      stream.close(8)
      if (count % 100 === 99) await Bun.sleep(1)
    }
    await closed
  })

  it('one stalled stream holds up no other of its connection', async () => {
    const upstream = inner(async (exchange) => {
      const size = exchange.request.target === '/big' ? 8 << 20 : 200_000
      await exchange.answer({ status: 200, headers: [] }, new Uint8Array(size))
    }, 'h2')
    const client = session(await serve(forwardTo(upstream), 'h2'))
    const stalled = client.request({ ':path': '/big' })
    stalled.on('error', () => {})
    await new Promise((resolve) => stalled.once('response', resolve))
    stalled.pause()
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(client, { ':path': '/small' })))
    expect(answers.every(({ body, code }) => body.length === 200_000 && code === 0)).toBe(true)
  })

  it('a client that dies takes its watches with it', async () => {
    let watching = 0
    const upstream = inner(async (exchange) => {
      watching++
      exchange.signal.addEventListener('abort', () => watching--)
      await exchange.answer({ status: 200, headers: [] }, new ReadableStream<Uint8Array>({}))
    }, 'h2')
    const client = session(await serve(forwardTo(upstream), 'h2'))
    for (let count = 0; count < 20; count++) client.request({ ':path': '/watch' }).on('error', () => {})
    await until(() => watching === 20)
    client.destroy()
    await until(() => watching === 0)
  })

  it('a streamed answer is pulled no faster than it is read, and cancelled with its client', async () => {
    let pulled = 0
    let cancelled = false
    const port = await serve(
      (exchange) =>
        serveFetch(
          exchange,
          async () =>
            new Response(
              new ReadableStream({
                async pull(controller) {
                  pulled++
                  await Bun.sleep(0)
                  controller.enqueue(new Uint8Array(65_536))
                },
                cancel() {
                  cancelled = true
                },
              }),
            ),
        ),
      'h2',
    )
    const client = session(port)
    const stream = client.request({ ':path': '/' })
    stream.on('error', () => {})
    await new Promise((resolve) => stream.once('response', resolve))
    stream.pause()
    let before = -1
    for (let same = 0; same < 10; same = pulled === before ? same + 1 : 0) {
      before = pulled
      await Bun.sleep(5)
    }
    expect(pulled).toBeLessThan(100)
    stream.close(8)
    await until(() => cancelled)
  })
})

describe('drain', () => {
  it.each(['h2', 'http/1.1'] as const)(
    '%s: a running request ends, an idle connection is closed',
    async (protocol) => {
      const running = Promise.withResolvers<void>()
      const go = Promise.withResolvers<void>()
      const service = createHttpService(async (exchange) => {
        running.resolve()
        await go.promise
        await exchange.answer({ status: 200, headers: [] }, 'done')
      })
      const port = await serve(hello, protocol, service)
      const answer =
        protocol === 'h2'
          ? ask(session(port), {}).then(({ body }) => body)
          : raw(port, 'GET / HTTP/1.1\r\nhost: x\r\n\r\n').then(({ text }) => text)
      await running.promise
      const drained = service.drain(5000)
      go.resolve()
      expect(await answer).toEndWith('done')
      await drained
    },
  )

  it('cuts what is left after the deadline', async () => {
    const started = Promise.withResolvers<void>()
    const service = createHttpService(async (exchange) => {
      started.resolve()
      await exchange.answer({ status: 200, headers: [] }, new ReadableStream<Uint8Array>({}))
    })
    const client = session(await serve(hello, 'h2', service))
    const watch = ask(client, {})
    await started.promise
    await service.drain(20)
    await watch
    expect(client.destroyed || client.closed).toBe(true)
  })
})

describe('dechunk', () => {
  const body = '5;x=y\r\nhello\r\n6\r\n0\r\n\r\n!\r\n0\r\n\r\n'
  it('ends at the last chunk, not at what looks like one', () => {
    for (let cut = 0; cut < body.length - 4; cut++)
      expect(dechunk(Buffer.from(body.slice(0, cut))).complete).toBe(false)
    const { body: data, complete } = dechunk(Buffer.from(body))
    expect([String(data), complete]).toEqual(['hello0\r\n\r\n!', true])
  })
})
