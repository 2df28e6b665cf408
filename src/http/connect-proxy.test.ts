import { afterEach, describe, expect, it } from 'bun:test'
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { testCertificate } from '../net/testing/certificates.ts'
import { dialThroughProxy, parseProxyUrl } from './connect-proxy.ts'

const cleanups: (() => unknown)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

async function listening(server: Server): Promise<number> {
  server.on('connection', (socket: Socket) => cleanups.push(() => socket.destroy()))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => server.close())
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('no port')
  return address.port
}

/** Answers each piece of the handshake with the next of `answers`, then echoes; hex of what it saw. */
function playing(answers: readonly (string | Uint8Array)[], seen: Buffer[]) {
  return (socket: Socket) => {
    let step = 0
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      if (step < answers.length) seen.push(chunk)
      socket.write(answers[step++] ?? chunk)
    })
  }
}

async function echoed(url: string, options = {}): Promise<string> {
  const stream = await dialThroughProxy(url, { host: 'kube.example', port: 6443 }, options)
  cleanups.push(() => stream.destroy())
  let text = ''
  const { promise, resolve } = Promise.withResolvers<string>()
  stream.on('data', (chunk) => {
    text += chunk
    if (text.endsWith('.')) resolve(text)
  })
  stream.write('hello.')
  return promise
}

describe('dialThroughProxy', () => {
  it('asks an HTTP proxy with its password, and keeps what came right after the consent', async () => {
    const seen: Buffer[] = []
    const port = await listening(createServer(playing(['HTTP/1.1 200 OK\r\nvia: x\r\n\r\nearly '], seen)))
    expect(await echoed(`http://us%40er:p%3Aw@127.0.0.1:${port}`)).toBe('early hello.')
    expect(String(seen[0])).toBe(
      'CONNECT kube.example:6443 HTTP/1.1\r\nhost: kube.example:6443\r\n' +
        `proxy-authorization: Basic ${btoa('us@er:p:w')}\r\n\r\n`,
    )
  })

  it('speaks TLS to an https proxy, and checks its certificate', async () => {
    const ca = testCertificate({ name: 'ca' })
    const { certificate: cert, key } = testCertificate({ name: 'proxy', issuer: ca, hosts: ['127.0.0.1'] })
    const server = createTlsServer({ cert, key }, playing(['HTTP/1.1 200 OK\r\n\r\n'], []))
    const port = await listening(server)
    expect(await echoed(`https://127.0.0.1:${port}`, { ca: ca.certificate })).toBe('hello.')
    expect(echoed(`https://127.0.0.1:${port}`)).rejects.toThrow(`proxy 127.0.0.1:${port}: `)
  })

  it('speaks SOCKS5 with and without a password', async () => {
    const done = Uint8Array.of(5, 0, 0, 1, 127, 0, 0, 1, 0, 80)
    const seen: Buffer[] = []
    const port = await listening(createServer(playing([Uint8Array.of(5, 0), done], seen)))
    expect(await echoed(`socks5://127.0.0.1:${port}`)).toBe('hello.')
    expect(seen.map((one) => one.toString('hex'))).toEqual([
      '050100',
      `050100030c${Buffer.from('kube.example').toString('hex')}192b`,
    ])
    const other: Buffer[] = []
    const secured = await listening(
      createServer(playing([Uint8Array.of(5, 2), Uint8Array.of(1, 0), done], other)),
    )
    expect(await echoed(`socks5://u:pw@127.0.0.1:${secured}`)).toBe('hello.')
    expect(other[1]?.toString('hex')).toBe('01017502' + '7077')
  })

  it.each([
    ['http', ['HTTP/1.1 407 Nope\r\n\r\n'], 'CONNECT kube.example:6443 was answered with 407'],
    ['http', ['SSH-2.0\r\n\r\n'], 'the answer is not HTTP'],
    ['http', ['x'.repeat(20_000)], 'the answer is too long'],
    ['socks5', [Uint8Array.of(5, 255)], 'it wants another way to authenticate'],
    [
      'socks5',
      [Uint8Array.of(5, 0), Uint8Array.of(5, 5, 0, 1, 0, 0, 0, 0, 0, 0)],
      'connecting to kube.example:6443 was refused with code 5',
    ],
  ] as const)('%s: says why a proxy refused', async (scheme, answers, text) => {
    const port = await listening(createServer(playing(answers, [])))
    expect(echoed(`${scheme}://127.0.0.1:${port}`)).rejects.toThrow(`proxy 127.0.0.1:${port}: ${text}`)
  })

  it('gives up on a silent proxy', async () => {
    const port = await listening(createServer(() => {}))
    expect(echoed(`http://127.0.0.1:${port}`, { timeoutMs: 20 })).rejects.toThrow('no answer within 0.02 s')
  })
})

describe('parseProxyUrl', () => {
  it.each([
    ['ftp://x', 'proxy-url has the scheme ftp, known are http, https and socks5'],
    ['nothing', 'proxy-url is not a URL'],
    ['http://a:%zz@x', 'proxy-url holds a malformed escape in its user or password'],
  ])('refuses %s', (text, message) => {
    expect(() => parseProxyUrl(text)).toThrow(message)
  })

  it('knows the usual ports', () => {
    expect(['http://x', 'https://x', 'socks5h://[::1]'].map((text) => parseProxyUrl(text))).toMatchObject([
      { kind: 'http:', port: 80 },
      { kind: 'https:', port: 443 },
      { kind: 'socks5:', host: '::1', port: 1080 },
    ])
  })
})
