// Upgrades over TLS on both sides, as kubectl's exec travels: through a real listener to a real TLS server.

import { afterEach, describe, expect, it } from 'bun:test'
import { createSecureServer } from 'node:http2'
import { connect, createServer, type ConnectionOptions, type TLSSocket, type TlsOptions } from 'node:tls'
import { listen } from '../net/listen.ts'
import { testCertificate } from '../net/testing/certificates.ts'
import type { ExchangeHandler, UpgradedSession, UpgradeOutcome } from './exchange.ts'
import { endToEnd } from './headers.ts'
import { createHttpService } from './server.ts'
import { createUpstream } from './upstream.ts'

const ca = testCertificate({ name: 'ca' })
const leaf = testCertificate({ name: 'server', issuer: ca, hosts: ['127.0.0.1', 'kube.example'] })
const user = testCertificate({ name: 'alice', issuer: ca })
const secure: TlsOptions & { allowHalfOpen: boolean } = {
  cert: leaf.certificate,
  key: leaf.key,
  allowHalfOpen: true,
}

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** A kube-apiserver's part: `script` gets the request head and plays on. */
async function apiServer(script: (socket: TLSSocket, head: string) => void): Promise<number> {
  const server = createServer(secure, (socket) => {
    socket.on('error', () => {})
    cleanups.push(() => socket.destroy())
    let head = ''
    const onData = (chunk: Buffer) => {
      head += chunk
      if (!head.includes('\r\n\r\n')) return
      socket.off('data', onData)
      script(socket, head)
    }
    socket.on('data', onData)
  })
  return listening(server)
}

async function listening(server: ReturnType<typeof createServer>): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => server.close())
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('no port')
  return address.port
}

async function front(handler: ExchangeHandler): Promise<number> {
  const service = createHttpService(handler)
  const listener = await listen(
    {
      host: '127.0.0.1',
      port: 0,
      certificate: () => ({ certificate: leaf.certificate, key: leaf.key }),
      clientAuthorities: () => [ca.certificate],
      protocols: ['h2', 'http/1.1'],
    },
    (accepted) => service({ ...accepted, protocol: accepted.protocol === 'h2' ? 'h2' : 'http/1.1' }),
  )
  cleanups.push(() => listener[Symbol.asyncDispose]())
  return listener.address.port
}

function upgrading(port: number, opened?: (session: UpgradedSession) => undefined) {
  const upstream = createUpstream({ name: 'kube', host: '127.0.0.1', port, tls: { ca: ca.certificate } })
  cleanups.push(() => upstream[Symbol.asyncDispose]())
  const outcome = Promise.withResolvers<UpgradeOutcome>()
  const handler: ExchangeHandler = async (exchange) => {
    const { method, target, headers } = exchange.request
    const head = { method, target, headers: endToEnd(headers) }
    outcome.resolve(await exchange.upgrade(upstream, head, opened ? { opened } : {}))
  }
  return { handler, outcome: outcome.promise }
}

async function client(
  port: number,
): Promise<{ socket: TLSSocket; seen: () => string; closed: Promise<Error | undefined> }> {
  const options: ConnectionOptions & { allowHalfOpen: boolean } = {
    port,
    host: '127.0.0.1',
    ca: ca.certificate,
    cert: user.certificate,
    key: user.key,
    ALPNProtocols: ['http/1.1'],
    allowHalfOpen: true,
  }
  const socket = connect(options)
  cleanups.push(() => socket.destroy())
  let text = ''
  let failure: Error | undefined
  socket.on('data', (chunk) => {
    text += chunk
  })
  socket.on('error', (error) => {
    failure = error
  })
  const closed = new Promise<Error | undefined>((resolve) => socket.once('close', () => resolve(failure)))
  await new Promise((resolve) => socket.once('secureConnect', resolve))
  socket.write(
    'POST /exec HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, X-Secret\r\nupgrade: SPDY/3.1\r\nx-secret: 1\r\n\r\n',
  )
  return { socket, seen: () => text, closed }
}

async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; !condition(); round++) {
    if (round > 1000) throw new Error('waited too long')
    await Bun.sleep(2)
  }
}

const switching = 'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\n'

describe('an upgrade', () => {
  it('waits for the 101 behind interim answers, and carries half-closes one after the other', async () => {
    let asked = ''
    const { handler, outcome } = upgrading(
      await apiServer((socket, head) => {
        asked = head
        socket.write(`HTTP/1.1 100 Continue\r\n\r\n${switching}`)
        let body = ''
        socket.on('data', (chunk) => {
          body += chunk
        })
        socket.once('end', () => socket.end(`got ${body}`))
      }),
    )
    const { socket, seen, closed } = await client(await front(handler))
    await until(() => seen() === switching)
    socket.write('all of ')
    socket.end('stdin')
    expect(await closed).toBeUndefined()
    expect(seen()).toBe(`${switching}got all of stdin`)
    expect(asked.toLowerCase()).not.toContain('x-secret')
    expect(await outcome).toMatchObject({
      status: 101,
      orderly: true,
      bytesFromClient: 12,
      bytesFromServer: 16,
    })
  })

  it('cut by the server is cut for the client', async () => {
    const { handler, outcome } = upgrading(
      await apiServer((socket) => {
        socket.write(`${switching}half of `)
        setTimeout(() => socket.resetAndDestroy(), 30)
      }),
    )
    const { seen, closed } = await client(await front(handler))
    expect(await closed).toMatchObject({ code: 'ECONNRESET' })
    expect(seen()).toBe(`${switching}half of `)
    expect(await outcome).toMatchObject({ orderly: false })
  })

  it('can be spoken into, and ended, by whoever watches it', async () => {
    const sessions: UpgradedSession[] = []
    const { handler, outcome } = upgrading(
      await apiServer((socket) => {
        socket.write(`${switching}one `)
        socket.on('data', (chunk) => socket.write(chunk))
        socket.on('end', () => socket.end())
      }),
      (session) => void sessions.push(session),
    )
    const { socket, seen, closed } = await client(await front(handler))
    await until(() => seen().endsWith('one '))
    const before = sessions[0]?.lastActivity ?? 0
    expect(before).toBeGreaterThan(0)
    sessions[0]?.sendToClient(Buffer.from('two '))
    await until(() => seen().endsWith('one two '))
    socket.write('three')
    await until(() => seen().endsWith('one two three'))
    sessions[0]?.end()
    socket.once('end', () => socket.end())
    expect(await closed).toBeUndefined()
    expect(await outcome).toMatchObject({ status: 101, orderly: true })
  })

  it('can be dropped', async () => {
    const { handler, outcome } = upgrading(
      await apiServer((socket) => void socket.write(switching)),
      (session) => void setTimeout(() => session.reset(), 20),
    )
    const { closed } = await client(await front(handler))
    expect(await closed).toMatchObject({ code: 'ECONNRESET' })
    expect(await outcome).toMatchObject({ orderly: false })
  })

  it('makes a server wait whose client does not read', async () => {
    let written = 0
    const { handler } = upgrading(
      await apiServer((socket) => {
        socket.write(switching)
        const chunk = Buffer.alloc(65_536)
        const more = () => {
          do written += chunk.length
          while (socket.write(chunk) && written < 1 << 29)
        }
        socket.on('drain', more)
        more()
      }),
    )
    const { socket, seen } = await client(await front(handler))
    await until(() => seen().length > 0)
    socket.pause()
    let before = -1
    for (let same = 0; same < 20; same = written === before ? same + 1 : 0) {
      before = written
      await Bun.sleep(10)
    }
    expect(written).toBeLessThan(64 << 20)
  })

  it('answers 400 on the same connection when nothing was asked of a handler', async () => {
    const { handler } = upgrading(1)
    const port = await front(handler)
    const socket = connect({ port, host: '127.0.0.1', ca: ca.certificate, ALPNProtocols: ['http/1.1'] })
    cleanups.push(() => socket.destroy())
    socket.write(
      'POST /a HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: x\r\ncontent-length: 1x\r\n\r\n',
    )
    expect(String(await new Promise((resolve) => socket.once('data', resolve)))).toStartWith('HTTP/1.1 400 ')
  })
})

describe('requests over TLS on both sides', () => {
  it('carry a large body up and down', async () => {
    const server = createSecureServer(secure, (request, response) => void request.pipe(response))
    const port = await listening(server)
    const upstream = createUpstream({ name: 'kube', host: '127.0.0.1', port, tls: { ca: ca.certificate } })
    cleanups.push(() => upstream[Symbol.asyncDispose]())
    const listening2 = await front(async (exchange) => {
      const { method, target, headers } = exchange.request
      await exchange.forward(upstream, { method, target, headers: endToEnd(headers) })
    })
    const body = new Uint8Array(12 << 20).fill(3)
    const outside = createUpstream({
      name: 'front',
      host: '127.0.0.1',
      port: listening2,
      tls: { ca: ca.certificate, certificate: user.certificate, key: user.key },
    })
    cleanups.push(() => outside[Symbol.asyncDispose]())
    const answer = await outside.send({ method: 'PUT', target: '/', headers: [] }, { body, limit: 16 << 20 })
    expect(Buffer.compare(answer.body, body)).toBe(0)
  })
})
