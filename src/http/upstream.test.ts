// Upstreams against real servers: TLS, ALPN, proxies, and connections that die at the worst moment.

import { afterEach, describe, expect, it } from 'bun:test'
import { createServer as createHttps } from 'node:https'
import {
  createSecureServer,
  createServer as createHttp2,
  type Http2Server,
  type ServerHttp2Stream,
} from 'node:http2'
import { connect, createServer as createTcp, type Server, type Socket } from 'node:net'
import { isKind, TeleportError } from '../errors.ts'
import { wireToDuplex } from '../net/duplex.ts'
import { createPair } from '../net/pair.ts'
import { testCertificate } from '../net/testing/certificates.ts'
import { dialThroughProxy } from './connect-proxy.ts'
import { createHttpService } from './server.ts'
import { createUpstream, type UpstreamOptions } from './upstream.ts'

const ca = testCertificate({ name: 'ca' })
const leaf = testCertificate({ name: 'server', issuer: ca, hosts: ['127.0.0.1', 'kube.example'] })
const secure = { cert: leaf.certificate, key: leaf.key }

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function listening(server: Server | Http2Server): Promise<number> {
  server.on('connection', (socket: Socket) => cleanups.push(() => socket.destroy()))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
  cleanups.push(() => server.close())
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('no port')
  return address.port
}

function upstreamTo(port: number, more: Partial<UpstreamOptions> = {}) {
  const upstream = createUpstream({ name: 'test', host: '127.0.0.1', port, ...more })
  cleanups.push(() => upstream[Symbol.asyncDispose]())
  return upstream
}

const get = (target = '/') => ({ method: 'GET', target, headers: [] })
const textOf = ({ status, body }: { status: number; body: Uint8Array }) => `${status} ${Buffer.from(body)}`
const failure = async (work: Promise<unknown>): Promise<TeleportError> => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof TeleportError) return error
  throw new TypeError(`not one of ours: ${String(error)}`)
}

describe('over TLS', () => {
  it('speaks HTTP/2 where the server does, else HTTP/1.1', async () => {
    const h2 = createSecureServer(secure, (_, response) => response.end('two'))
    const h1 = createHttps(secure, (_, response) => response.end('one'))
    const tls = { ca: ca.certificate }
    expect(textOf(await upstreamTo(await listening(h2), { tls }).send(get()))).toBe('200 two')
    const old = upstreamTo(await listening(h1), { tls })
    expect(textOf(await old.send(get()))).toBe('200 one')
    expect(textOf(await old.send(get()))).toBe('200 one')
  })

  it('refuses a server of another authority or name, and says where', async () => {
    const port = await listening(createHttps(secure, (_, response) => response.end('no')))
    const stranger = testCertificate({ name: 'stranger' })
    const wrongAuthority = await failure(upstreamTo(port, { tls: { ca: stranger.certificate } }).send(get()))
    expect(isKind(wrongAuthority, 'connection-problem')).toBe(true)
    expect(wrongAuthority.message).toStartWith(`cannot connect to test at 127.0.0.1:${port}: `)
    const wrongName = await failure(
      upstreamTo(port, { tls: { ca: ca.certificate, serverName: 'other.example' } }).send(get()),
    )
    expect(wrongName.message).toContain('other.example')
    const unverified = upstreamTo(port, { tls: { ca: stranger.certificate, verify: false } })
    expect(textOf(await unverified.send(get()))).toBe('200 no')
  })

  it('goes through a CONNECT proxy', async () => {
    const port = await listening(createSecureServer(secure, (_, response) => response.end('through')))
    const asked: string[] = []
    const proxy = createTcp((socket) => {
      socket.once('data', (head) => {
        asked.push(String(head).split('\r\n')[0] ?? '')
        const far = connect(port, '127.0.0.1')
        cleanups.push(() => far.destroy())
        far.once('connect', () => {
          socket.write('HTTP/1.1 200 OK\r\n\r\n')
          socket.pipe(far).pipe(socket)
        })
      })
    })
    const proxyUrl = `http://127.0.0.1:${await listening(proxy)}`
    const upstream = upstreamTo(443, {
      host: 'kube.example',
      tls: { ca: ca.certificate },
      dial: () => dialThroughProxy(proxyUrl, { host: 'kube.example', port: 443 }),
    })
    expect(textOf(await upstream.send(get()))).toBe('200 through')
    expect(asked).toEqual(['CONNECT kube.example:443 HTTP/1.1'])
  })

  it('runs over any stream, large bodies included', async () => {
    const h2 = createSecureServer(secure, (request, response) => void request.pipe(response))
    const upstream = upstreamTo(443, {
      host: 'kube.example',
      tls: { ca: ca.certificate },
      dial: async () => {
        const [near, far] = createPair()
        h2.emit('connection', wireToDuplex(far))
        return wireToDuplex(near)
      },
    })
    const body = new Uint8Array(3 << 20).fill(7)
    const answer = await upstream.send({ ...get(), method: 'POST' }, { body, limit: 4 << 20 })
    expect(Buffer.compare(answer.body, body)).toBe(0)
  })
})

describe('requests on connections that die', () => {
  /** A server of frames: `script` gets each request's stream and how many came, and writes what it likes. */
  async function scripted(script: (request: FrameRequest, count: number) => void) {
    const seen: FrameRequest[] = []
    const server = createTcp((socket) => {
      socket.on('error', () => {})
      socket.write(frame(4, { flags: 0, stream: 0 }, ''))
      let bytes = Buffer.alloc(0)
      let at = 24 // behind the client's preface
      socket.on('data', (chunk: Buffer) => {
        bytes = Buffer.concat([bytes, chunk])
        while (bytes.length >= at + 9 && bytes.length >= at + 9 + bytes.readUIntBE(at, 3)) {
          const stream = bytes.readUInt32BE(at + 5)
          const payload = bytes.subarray(at + 9, at + 9 + bytes.readUIntBE(at, 3))
          const kind = bytes[at + 3]
          at += 9 + payload.length
          if (kind === 3) seen.find((one) => one.stream === stream)?.reset(payload.readUInt32BE(0))
          if (kind !== 1) continue
          const request = new FrameRequest(socket, stream)
          seen.push(request)
          script(request, seen.length)
        }
      })
    })
    return { seen, upstream: upstreamTo(await listening(server), { plainProtocol: 'h2' }) }
  }

  class FrameRequest {
    readonly #code = Promise.withResolvers<number>()
    readonly socket: Socket
    readonly stream: number
    constructor(socket: Socket, stream: number) {
      this.socket = socket
      this.stream = stream
    }
    /** The code the client reset it with. */
    get code(): Promise<number> {
      return this.#code.promise
    }
    reset(code: number): void {
      this.#code.resolve(code)
    }
    /** `:status: 200` by its index, and the end of the stream. */
    ok(): void {
      this.socket.write(frame(1, { flags: 5, stream: this.stream }, '88'))
    }
    refuse(): void {
      this.socket.write(frame(3, { flags: 0, stream: this.stream }, '00000007'))
    }
    goaway(last: number): void {
      this.socket.write(frame(7, { flags: 0, stream: 0 }, `${last.toString(16).padStart(8, '0')}00000000`))
    }
  }

  function frame(
    type: number,
    { flags, stream }: { flags: number; stream: number },
    payload: string,
  ): Buffer {
    const head = Buffer.alloc(9)
    head.writeUIntBE(payload.length / 2, 0, 3)
    head[3] = type
    head[4] = flags
    head.writeUInt32BE(stream, 5)
    return Buffer.concat([head, Buffer.from(payload, 'hex')])
  }

  it('repeats what the server refused unseen, once', async () => {
    const { seen, upstream } = await scripted((request, count) =>
      count === 1 ? request.refuse() : request.ok(),
    )
    expect((await upstream.send({ ...get('/a'), method: 'DELETE' })).status).toBe(200)
    expect(seen).toHaveLength(2)
    const always = await scripted((request) => request.refuse())
    expect((await failure(always.upstream.send(get('/b')))).kind).toBe('connection-problem')
    expect(always.seen).toHaveLength(2)
  })

  it('repeats what came after the last stream of a GOAWAY', async () => {
    const { seen, upstream } = await scripted((request, count) => {
      if (count > 1) return request.ok()
      request.goaway(0)
      request.socket.end()
    })
    expect((await upstream.send({ ...get(), method: 'DELETE' })).status).toBe(200)
    expect(seen).toHaveLength(2)
  })

  it.each(['kill', 'goaway and end', 'end'])(
    'never repeats what the server may have acted on: %s',
    async (how) => {
      const { seen, upstream } = await scripted((request) => {
        if (how === 'goaway and end') request.goaway(request.stream)
        if (how === 'kill') request.socket.resetAndDestroy()
        else request.socket.end()
      })
      const error = await failure(upstream.send({ ...get('/a'), method: 'DELETE' }))
      expect(error.kind).toBe('connection-problem')
      expect(error.message).toMatch(/^request to test at 127\.0\.0\.1:\d+ failed: /)
      expect(seen).toHaveLength(1)
    },
  )

  it('never repeats a request whose body is gone', async () => {
    const { seen, upstream } = await scripted((request) => request.refuse())
    const sent = upstream.send({ ...get('/a'), method: 'POST' }, { body: Buffer.from('once') })
    expect((await failure(sent)).kind).toBe('connection-problem')
    expect(seen).toHaveLength(1)
  })

  it('leaves a connection that says GOAWAY, and lets its running request finish', async () => {
    const { seen, upstream } = await scripted((request, count) =>
      count === 1 ? request.goaway(request.stream) : request.ok(),
    )
    const first = upstream.send(get('/slow'))
    await until(() => seen.length === 1)
    await Bun.sleep(10)
    expect((await upstream.send(get('/other'))).status).toBe(200)
    expect(seen[1]?.socket).not.toBe(seen[0]?.socket as Socket)
    seen[0]?.ok()
    expect((await first).status).toBe(200)
  })

  it('cancels upstream at once when nobody waits for the head any more', async () => {
    const gone = new AbortController()
    const { seen, upstream } = await scripted(() => gone.abort())
    const error = await failure(upstream.send(get('/wait'), { signal: gone.signal }))
    expect(error.kind).toBe('connection-problem')
    expect(await seen[0]?.code).toBe(8)
  })

  it('closes a connection whose server does not answer a ping', async () => {
    const server = createTcp((socket) => {
      socket.on('error', () => {})
      // An empty SETTINGS frame and silence.
      socket.write(Buffer.from('000000040000000000', 'hex'))
      socket.resume()
    })
    const upstream = upstreamTo(await listening(server), { plainProtocol: 'h2', pingIntervalMs: 30 })
    expect((await failure(upstream.send(get()))).kind).toBe('connection-problem')
  })
})

describe('many at once', () => {
  it('opens more connections when one is full', async () => {
    const held: ServerHttp2Stream[] = []
    const sessions = new Set<unknown>()
    const server = createHttp2({ settings: { maxConcurrentStreams: 10 } })
    const total = 35
    server.on('stream', (stream: ServerHttp2Stream) => {
      sessions.add(stream.session)
      held.push(stream)
      if (held.length < total) return
      for (const one of held) {
        one.respond({ ':status': 200 })
        one.end()
      }
    })
    const upstream = upstreamTo(await listening(server), { plainProtocol: 'h2' })
    const answers = await Promise.all(Array.from({ length: total }, () => upstream.send(get())))
    expect(answers.every(({ status }) => status === 200)).toBe(true)
    expect(sessions.size).toBeGreaterThan(3)
  })

  it('has more than 256 requests in flight', async () => {
    const service = createHttpService(async (exchange) => {
      arrived++
      if (arrived === 600) all.resolve()
      await all.promise
      await exchange.answer({ status: 200, headers: [] }, 'ok')
    })
    let arrived = 0
    const all = Promise.withResolvers<void>()
    const upstream = upstreamTo(80, {
      plainProtocol: 'h2',
      dial: async (protocol) => {
        const [near, far] = createPair()
        service({ wire: far, protocol, peer: [], client: { host: '127.0.0.1', port: 1 }, serverName: '' })
        return wireToDuplex(near)
      },
    })
    const answers = await Promise.all(Array.from({ length: 600 }, () => upstream.send(get())))
    expect(answers.every(({ status }) => status === 200)).toBe(true)
  })
})

describe('send', () => {
  it('does not follow redirects, and bounds the answer', async () => {
    const h1 = createHttps(secure, (request, response) => {
      if (request.url === '/moved') return response.writeHead(302, { location: '/elsewhere' }).end()
      response.end('x'.repeat(2000))
    })
    const upstream = upstreamTo(await listening(h1), { tls: { ca: ca.certificate } })
    expect((await upstream.send(get('/moved'))).status).toBe(302)
    expect((await failure(upstream.send(get('/long'), { limit: 1000 }))).kind).toBe('limit-exceeded')
  })

  it.each(['connection', 'host', 'transfer-encoding', 'upgrade'])(
    'takes no %s header from our code',
    (name) => {
      const upstream = upstreamTo(1)
      expect(upstream.send({ ...get(), headers: [[name, 'x']] })).rejects.toThrow(
        new TypeError(`header ${name} is written by the engine`),
      )
    },
  )
})

async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; !condition(); round++) {
    if (round > 1000) throw new Error('waited too long')
    await Bun.sleep(2)
  }
}
