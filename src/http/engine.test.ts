// The engine end to end: clients of both protocols, upstreams of both, over sockets and in-memory pairs.

import { afterEach, describe, expect, it } from 'bun:test'
import { createServer as createHttp1, request as request1 } from 'node:http'
import {
  type ClientHttp2Session,
  connect as connectH2,
  createServer as createHttp2,
  type ServerHttp2Stream,
} from 'node:http2'
import { type AddressInfo, connect as connectTcp, createServer as createTcp, type Socket } from 'node:net'
import { messageOf, TeleportError } from '../errors.ts'
import type { Connection } from '../net/connection.ts'
import { duplexToWire, wireToDuplex } from '../net/duplex.ts'
import { createPair } from '../net/pair.ts'
import type { ExchangeHandler, ForwardOutcome, UpgradeOutcome } from './exchange.ts'
import { serveFetch } from './fetch-bridge.ts'
import { endToEnd } from './headers.ts'
import { createHttpService } from './server.ts'
import { createUpstream, type Upstream } from './upstream.ts'

type Protocol = 'h2' | 'http/1.1'
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function listenOn(server: {
  listen: (port: number, host: string, done: () => void) => unknown
  address: () => unknown
  close: () => unknown
}): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      cleanups.push(() => server.close())
      resolve((server.address() as AddressInfo).port)
    })
  })
}

/** A plain listener whose connections go to a service with this handler. */
async function serve(handler: ExchangeHandler, protocol: Protocol): Promise<number> {
  const service = createHttpService(handler, {
    onError: (exchange, error) =>
      exchange.answer({ status: error instanceof TeleportError ? 502 : 500, headers: [] }, messageOf(error)),
  })
  const sockets = new Set<Socket>()
  const server = createTcp({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    service(connectionOver(duplexToWire(socket), protocol))
  })
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy()
  })
  return listenOn(server)
}

function connectionOver(wire: Connection['wire'], protocol: Protocol): Connection {
  return { wire, protocol, peer: [], client: { host: '127.0.0.1', port: 1 }, serverName: '' }
}

function upstreamTo(port: number, protocol: Protocol, more: { responseTimeoutMs?: number } = {}): Upstream {
  const upstream = createUpstream({ name: 'test', host: '127.0.0.1', port, plainProtocol: protocol, ...more })
  cleanups.push(() => upstream[Symbol.asyncDispose]())
  return upstream
}

const forwardTo =
  (upstream: Upstream, outcomes: ForwardOutcome[] = []): ExchangeHandler =>
  async (exchange) => {
    const { method, target, headers } = exchange.request
    outcomes.push(await exchange.forward(upstream, { method, target, headers: endToEnd(headers) }))
  }

interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: string
  cut: boolean
  trailers: Record<string, unknown>
}

async function ask(
  port: number,
  protocol: Protocol,
  more: { method?: string; body?: string | Buffer; headers?: Record<string, string | string[]> } = {},
): Promise<Answer> {
  return protocol === 'h2' ? askH2(port, more) : askH1(port, more)
}

function session(port: number): ClientHttp2Session {
  const client = connectH2(`http://127.0.0.1:${port}`)
  client.on('error', () => {})
  cleanups.push(() => client.destroy())
  return client
}

function askH2(
  port: number,
  { method = 'GET', body, headers = {} }: Parameters<typeof ask>[2] = {},
): Promise<Answer> {
  return new Promise((resolve) => {
    const stream = session(port).request(
      { ':method': method, ':path': '/path?q=%2F', ...headers },
      { endStream: body === undefined },
    )
    const answer: Answer = { status: 0, headers: {}, body: '', cut: false, trailers: {} }
    stream.on('response', (head) => Object.assign(answer, { status: head[':status'], headers: head }))
    stream.on('trailers', (trailers) => Object.assign(answer, { trailers }))
    stream.on('data', (chunk) => {
      answer.body += chunk
    })
    stream.on('error', () => {
      answer.cut = true
    })
    stream.on('close', () => resolve({ ...answer, cut: answer.cut || stream.rstCode !== 0 }))
    if (body !== undefined) stream.end(body)
  })
}

function askH1(
  port: number,
  { method = 'GET', body, headers = {} }: Parameters<typeof ask>[2] = {},
): Promise<Answer> {
  return new Promise((resolve) => {
    const answer: Answer = { status: 0, headers: {}, body: '', cut: false, trailers: {} }
    const request = request1(
      { port, host: '127.0.0.1', path: '/path?q=%2F', method, headers, agent: false },
      (response) => {
        Object.assign(answer, { status: response.statusCode, headers: response.headers })
        response.on('data', (chunk) => {
          answer.body += chunk
        })
        response.on('error', () => {})
        response.on('close', () =>
          resolve({ ...answer, cut: !response.complete, trailers: response.trailers }),
        )
      },
    )
    request.on('error', () => resolve({ ...answer, cut: true }))
    request.end(body)
  })
}

/** An upstream server; `script` plays the server's part for a request. */
interface Play {
  headers: Record<string, unknown>
  body: string
  respond(status: number, headers?: Record<string, string | string[]>): void
  write(chunk: string | Buffer): boolean
  end(trailers?: Record<string, string>): void
  kill(): void
  onClose(callback: () => void): void
}

async function upstreamServer(protocol: Protocol, script: (play: Play) => void): Promise<number> {
  if (protocol === 'h2') {
    const server = createHttp2()
    const sockets = new Set<Socket>()
    server.on('connection', (socket: Socket) => sockets.add(socket))
    server.on('stream', (stream: ServerHttp2Stream, headers) => {
      stream.on('error', () => {})
      let body = ''
      let last: Record<string, string> = {}
      stream.on('wantTrailers', () => stream.sendTrailers(last))
      stream.on('data', (chunk) => {
        body += chunk
      })
      stream.on('end', () =>
        script({
          headers,
          body,
          respond: (status, more = {}) =>
            stream.respond({ ':status': status, ...more }, { waitForTrailers: true }),
          write: (chunk) => stream.write(chunk),
          end: (trailers = {}) => {
            last = trailers
            stream.end()
          },
          kill: () => {
            for (const socket of sockets) socket.destroy()
          },
          onClose: (callback) => stream.once('close', callback),
        }),
      )
    })
    return listenOn(server)
  }
  const server = createHttp1((request, response) => {
    let body = ''
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () =>
      script({
        headers: { ...request.headers, ':method': request.method, ':path': request.url },
        body,
        respond: (status, more = {}) => {
          response.writeHead(status, more)
          response.flushHeaders()
        },
        write: (chunk) => response.write(chunk),
        end: (trailers = {}) => {
          if (Object.keys(trailers).length > 0) response.addTrailers(trailers)
          response.end()
        },
        kill: () => request.socket.destroy(),
        onClose: (callback) => response.once('close', callback),
      }),
    )
  })
  return listenOn(server)
}

const matrix: [Protocol, Protocol][] = [
  ['h2', 'h2'],
  ['h2', 'http/1.1'],
  ['http/1.1', 'h2'],
  ['http/1.1', 'http/1.1'],
]

describe.each(matrix)('forward: client %s, upstream %s', (client, server) => {
  it('carries head and body both ways', async () => {
    const seen: Play[] = []
    const upstream = upstreamTo(
      await upstreamServer(server, (play) => {
        seen.push(play)
        play.respond(201, { 'x-many': ['a', 'b'], 'content-type': 'text/plain' })
        play.write('answer')
        play.end()
      }),
      server,
    )
    const outcomes: ForwardOutcome[] = []
    const answer = await ask(await serve(forwardTo(upstream, outcomes), client), client, {
      method: 'POST',
      body: 'question',
      headers: { 'x-group': ['one', 'two'] },
    })
    expect([answer.status, answer.body, answer.cut, answer.headers['x-many']]).toEqual([
      201,
      'answer',
      false,
      'a, b',
    ])
    expect(seen[0]).toMatchObject({ body: 'question' })
    expect(seen[0]?.headers).toMatchObject({
      ':method': 'POST',
      ':path': '/path?q=%2F',
      'x-group': 'one, two',
    })
    expect(outcomes).toEqual([{ status: 201, complete: true, bytesSent: 8, bytesReceived: 6 }])
  })

  it('sends each event of a stream on as it comes, and cancels upstream when the client goes', async () => {
    const closed = Promise.withResolvers<void>()
    const upstream = upstreamTo(
      await upstreamServer(server, (play) => {
        play.respond(200)
        play.write('event one\n')
        play.onClose(() => closed.resolve())
      }),
      server,
    )
    const port = await serve(forwardTo(upstream), client)
    const first = Promise.withResolvers<string>()
    if (client === 'h2') {
      const stream = session(port).request({ ':path': '/watch' })
      stream.on('error', () => {})
      stream.once('data', (chunk) => {
        first.resolve(String(chunk))
        stream.close(8)
      })
    } else {
      const request = request1({ port, host: '127.0.0.1', path: '/watch', agent: false }, (response) => {
        response.on('error', () => {})
        response.once('data', (chunk) => {
          first.resolve(String(chunk))
          request.destroy()
        })
      })
      request.on('error', () => {})
      request.end()
    }
    expect(await first.promise).toBe('event one\n')
    await closed.promise
  })

  it('never lets a response that was cut look complete', async () => {
    const upstream = upstreamTo(
      await upstreamServer(server, (play) => {
        play.respond(200)
        play.write('{"items":[')
        setTimeout(() => play.kill(), 50)
      }),
      server,
    )
    const outcomes: ForwardOutcome[] = []
    const answer = await ask(await serve(forwardTo(upstream, outcomes), client), client)
    expect([answer.status, answer.body, answer.cut]).toEqual([200, '{"items":[', true])
    await until(() => outcomes.length === 1)
    expect(outcomes[0]?.complete).toBe(false)
  })

  it('makes the upstream wait for a reader that is slow', async () => {
    let written = 0
    const upstream = upstreamTo(
      await upstreamServer(server, (play) => {
        play.respond(200)
        const chunk = Buffer.alloc(64 * 1024)
        const more = () => {
          while (play.write(chunk)) written += chunk.length
          written += chunk.length
        }
        more()
        const timer = setInterval(() => {
          if (written < 1 << 30) more()
        }, 20)
        play.onClose(() => clearInterval(timer))
      }),
      server,
    )
    const port = await serve(forwardTo(upstream), client)
    const socket = connectTcp(port, '127.0.0.1')
    cleanups.push(() => socket.destroy())
    socket.on('error', () => {})
    if (client === 'h2') {
      const slow = session(port).request({ ':path': '/big' })
      slow.on('error', () => {})
      slow.once('response', () => slow.pause())
    } else {
      socket.write('GET /big HTTP/1.1\r\nhost: x\r\n\r\n')
      socket.pause()
    }
    await Bun.sleep(600)
    const early = written
    await Bun.sleep(300)
    // The interval above writes one chunk a time whatever the stream says: growth by chunks, not by megabytes.
    expect(written - early).toBeLessThan(4 << 20)
    expect(early).toBeLessThan(64 << 20)
  })

  it('answers HEAD and 204 without a body, and passes trailers on', async () => {
    const upstream = upstreamTo(
      await upstreamServer(server, (play) => {
        if (play.headers[':method'] === 'GET') {
          play.respond(200, client === 'h2' ? {} : { trailer: 'x-sum' })
          play.write('body')
          play.end({ 'x-sum': '4' })
        } else {
          play.respond(204)
          play.end()
        }
      }),
      server,
    )
    const port = await serve(forwardTo(upstream), client)
    const empty = await ask(port, client, { method: 'DELETE' })
    expect([empty.status, empty.body, empty.cut]).toEqual([204, '', false])
    const full = await ask(port, client)
    expect([full.body, full.cut]).toEqual(['body', false])
    if (client === 'h2') expect(full.trailers['x-sum']).toBe('4')
  })
})

describe('forward over an in-memory pair', () => {
  it.each(['h2', 'http/1.1'] as const)('%s: many requests share what they need', async (protocol) => {
    const inner = createHttpService(
      async (exchange) => exchange.answer({ status: 200, headers: [] }, exchange.request.target),
      {
        onError: async () => {},
      },
    )
    const upstream = createUpstream({
      name: 'pair',
      host: 'pair.internal',
      port: 80,
      plainProtocol: protocol,
      dial: async (asked) => {
        const [ours, theirs] = createPair()
        inner(connectionOver(theirs, asked))
        return wireToDuplex(ours)
      },
    })
    cleanups.push(() => upstream[Symbol.asyncDispose]())
    const answers = await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        const { status, body } = await upstream.send({ method: 'GET', target: `/${index}`, headers: [] })
        return [status, Buffer.from(body).toString()]
      }),
    )
    expect(answers).toEqual(Array.from({ length: 50 }, (_, index) => [200, `/${index}`]))
  })
})

describe('upstream failures', () => {
  it('says where it could not connect', async () => {
    const server = createTcp()
    const port = await listenOn(server)
    server.close()
    await Bun.sleep(10)
    const answer = await ask(await serve(forwardTo(upstreamTo(port, 'h2')), 'h2'), 'h2')
    expect(answer.status).toBe(502)
    expect(answer.body).toStartWith(`cannot connect to test at 127.0.0.1:${port}: `)
  })

  it('gives up on a server that never answers', async () => {
    const port = await upstreamServer('http/1.1', () => {})
    const answer = await ask(
      await serve(forwardTo(upstreamTo(port, 'http/1.1', { responseTimeoutMs: 100 })), 'h2'),
      'h2',
    )
    expect([answer.status, answer.body]).toEqual([502, 'test did not answer within 0.1 s'])
  })

  it('uses a fresh connection when a kept one has died', async () => {
    const port = await upstreamServer('h2', (play) => {
      play.respond(200)
      play.end()
      if (play.headers['x-last'] === 'yes') setTimeout(() => play.kill(), 10)
    })
    const upstream = upstreamTo(port, 'h2')
    const front = await serve(forwardTo(upstream), 'h2')
    expect((await ask(front, 'h2', { headers: { 'x-last': 'yes' } })).status).toBe(200)
    await Bun.sleep(50)
    expect((await ask(front, 'h2')).status).toBe(200)
  })
})

describe('HTTP/1.1 clients', () => {
  const hello: ExchangeHandler = (exchange) => exchange.answer({ status: 200, headers: [] }, 'hello')

  it.each([
    [
      'both lengths',
      'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['bare line feeds', 'GET / HTTP/1.1\nhost: x\n\n'],
    ['a folded header', 'GET / HTTP/1.1\r\nhost: x\r\na: b\r\n c\r\n\r\n'],
    ['a space before the colon', 'GET / HTTP/1.1\r\nhost: x\r\na : b\r\n\r\n'],
    ['not HTTP at all', 'hello there\r\n\r\n'],
  ])('refuses %s and closes', async (_, text) => {
    const socket = connectTcp(await serve(hello, 'http/1.1'), '127.0.0.1')
    socket.write(text)
    let answer = ''
    socket.on('data', (chunk) => {
      answer += chunk
    })
    await new Promise((resolve) => socket.once('end', resolve))
    socket.destroy()
    expect(answer).toStartWith('HTTP/1.1 400 ')
  })

  it('makes a client wait whose body nobody reads', async () => {
    const port = await serve(async (exchange) => {
      await new Promise((resolve) => exchange.signal.addEventListener('abort', resolve))
    }, 'http/1.1')
    const socket = connectTcp(port, '127.0.0.1')
    cleanups.push(() => socket.destroy())
    socket.on('error', () => {})
    socket.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n')
    const chunk = Buffer.alloc(1 << 20)
    let accepted = 0
    for (let round = 0; round < 60; round++) {
      if (!socket.writableNeedDrain) {
        socket.write(chunk)
        accepted++
      }
      await Bun.sleep(5)
    }
    expect(accepted).toBeLessThan(40)
  })
})

describe('upgrades', () => {
  /** A server that reads one request head, answers with `answer`, then echoes. */
  async function rawServer(answer: string, seen: string[] = [], sockets: Socket[] = []): Promise<number> {
    return listenOn(
      createTcp({ allowHalfOpen: true }, (socket) => {
        sockets.push(socket)
        cleanups.push(() => socket.destroy())
        let head = ''
        const onHead = (chunk: Buffer) => {
          head += chunk
          const end = head.indexOf('\r\n\r\n')
          if (end < 0) return
          seen.push(head.slice(0, end))
          socket.off('data', onHead)
          socket.write(answer)
          const rest = head.slice(end + 4)
          if (rest) socket.write(rest)
          socket.on('data', (more) => socket.write(more))
          socket.on('end', () => socket.end('bye'))
        }
        socket.on('data', onHead)
        socket.on('error', () => {})
      }),
    )
  }

  const upgradeTo =
    (upstream: Upstream, outcomes: UpgradeOutcome[] = [], tapped: string[] = []): ExchangeHandler =>
    async (exchange) => {
      const { method, target, headers } = exchange.request
      outcomes.push(
        await exchange.upgrade(
          upstream,
          { method, target, headers: endToEnd(headers) },
          {
            opened: () => ({
              fromClient: (bytes) => void tapped.push(`> ${Buffer.from(bytes)}`),
              fromServer: (bytes) => void tapped.push(`< ${Buffer.from(bytes)}`),
            }),
          },
        ),
      )
    }

  function talk(port: number, first: string, later: (socket: Socket, seen: string) => void): Promise<string> {
    return new Promise((resolve) => {
      const socket = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true })
      cleanups.push(() => socket.destroy())
      let seen = ''
      socket.write(first)
      socket.on('data', (chunk) => {
        seen += chunk
        later(socket, seen)
      })
      socket.on('error', () => {})
      socket.on('end', () => {
        socket.end()
        resolve(seen)
      })
    })
  }

  const request =
    'POST /exec HTTP/1.1\r\nhost: front\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\nx-stream-protocol-version: v4\r\n\r\n'
  const switching = 'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\n'

  it('relays both ways with half-close; bytes sent early arrive after the 101', async () => {
    const seen: string[] = []
    const outcomes: UpgradeOutcome[] = []
    const tapped: string[] = []
    const port = await serve(
      upgradeTo(upstreamTo(await rawServer(`${switching}early `, seen), 'http/1.1'), outcomes, tapped),
      'http/1.1',
    )
    const text = await talk(port, `${request}pipelined`, (socket, so) => {
      if (so.endsWith('pipelined')) socket.end(' last')
    })
    expect(text).toBe(`${switching}early pipelined lastbye`)
    expect(seen[0]).toMatch(
      /^POST \/exec HTTP\/1\.1\r\nhost: 127\.0\.0\.1:\d+\r\nconnection: Upgrade\r\nupgrade: SPDY\/3\.1\r\nx-stream-protocol-version: v4$/,
    )
    await until(() => outcomes.length === 1)
    expect(outcomes[0]).toEqual({
      status: 101,
      refusal: '',
      orderly: true,
      bytesFromClient: 14,
      bytesFromServer: 23,
    })
    const copied = (direction: string) =>
      tapped
        .filter((line) => line.startsWith(direction))
        .map((line) => line.slice(2))
        .join('')
    expect([copied('>'), copied('<')]).toEqual(['pipelined last', 'early pipelined lastbye'])
  })

  it('relays a refusal whole and closes both connections', async () => {
    const sockets: Socket[] = []
    const outcomes: UpgradeOutcome[] = []
    const body = '{"kind":"Status","code":403}'
    const refusal = `HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    const port = await serve(
      upgradeTo(upstreamTo(await rawServer(refusal, [], sockets), 'http/1.1'), outcomes),
      'http/1.1',
    )
    const text = await talk(port, `${request}GET /secret HTTP/1.1\r\nhost: x\r\n\r\n`, () => {})
    expect(text).toStartWith('HTTP/1.1 403 ')
    expect(text).toEndWith(`\r\n\r\n${body}`)
    expect(text).toContain('connection: close\r\n')
    expect(outcomes[0]).toMatchObject({ status: 403, refusal: body })
    await until(() => sockets.every((socket) => socket.destroyed || socket.readableEnded))
  })

  it('reads a chunked refusal', async () => {
    const outcomes: UpgradeOutcome[] = []
    const refusal =
      'HTTP/1.1 400 Bad Request\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n'
    const port = await serve(
      upgradeTo(upstreamTo(await rawServer(refusal), 'http/1.1'), outcomes),
      'http/1.1',
    )
    expect(await talk(port, request, () => {})).toEndWith('\r\n\r\nhello world')
  })

  it('closes upstream when the client vanishes', async () => {
    const sockets: Socket[] = []
    const outcomes: UpgradeOutcome[] = []
    const port = await serve(
      upgradeTo(upstreamTo(await rawServer(switching, [], sockets), 'http/1.1'), outcomes),
      'http/1.1',
    )
    const socket = connectTcp(port, '127.0.0.1')
    socket.write(request)
    await new Promise((resolve) => socket.once('data', resolve))
    socket.resetAndDestroy()
    await until(() => outcomes.length === 1)
    expect(outcomes[0]).toMatchObject({ status: 101, orderly: false })
    await until(() => sockets.every((one) => one.destroyed))
  })

  it('answers with an error when the server speaks something else', async () => {
    const port = await serve(
      upgradeTo(upstreamTo(await rawServer('SSH-2.0-OpenSSH\r\n\r\n'), 'http/1.1')),
      'http/1.1',
    )
    expect(await talk(port, request, () => {})).toEndWith(
      'the server answered the upgrade with something that is not HTTP',
    )
  })
})

describe('serveFetch', () => {
  it.each(['h2', 'http/1.1'] as const)(
    '%s: builds the request on a fixed name and streams the answer',
    async (protocol) => {
      const urls: string[] = []
      const port = await serve(
        (exchange) =>
          serveFetch(exchange, async (request) => {
            urls.push(request.url)
            return Response.json({ got: await request.text(), method: request.method }, { status: 202 })
          }),
        protocol,
      )
      const answer = await ask(port, protocol, { method: 'POST', body: 'text', headers: { host: 'x' } })
      expect([answer.status, answer.body]).toEqual([202, '{"got":"text","method":"POST"}'])
      expect(urls).toEqual(['https://teleport.internal/path?q=%2F'])
    },
  )

  it('refuses a body over the limit', async () => {
    const port = await serve(
      (exchange) => serveFetch(exchange, async () => new Response('no'), { bodyLimit: 10 }),
      'h2',
    )
    expect((await ask(port, 'h2', { method: 'POST', body: 'x'.repeat(100) })).body).toBe(
      'body is larger than 10 bytes',
    )
  })
})

async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; !condition(); round++) {
    if (round > 1000) throw new Error('waited too long')
    await Bun.sleep(5)
  }
}
