// Reaching a server through the proxy that a kubeconfig's `proxy-url` names: HTTP CONNECT over plain TCP or TLS, or
// SOCKS5. What comes back is a stream to the server, on which the caller speaks TLS.

import { connect as connectTcp, isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { badParameter, connectionProblem, messageOf } from '../errors.ts'

/** From the first packet to the proxy's consent. */
const proxyTimeoutMs = 15_000
/** A proxy's answer to CONNECT: a status line and a few headers. */
const answerLimit = 16 * 1024

export interface ProxyTarget {
  readonly host: string
  readonly port: number
}

export interface ProxyOptions {
  /** @default 15_000 */
  timeoutMs?: number
  /** PEM of the authorities of an `https:` proxy. @default the system's */
  ca?: string
}

type ProxyKind = 'http:' | 'https:' | 'socks5:'
const defaultPorts: Record<ProxyKind, number> = { 'http:': 80, 'https:': 443, 'socks5:': 1080 }

interface Proxy {
  readonly kind: ProxyKind
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
}

/** Reads a `proxy-url`. Throws `bad-parameter`; the text never holds the password. */
export function parseProxyUrl(text: string): Proxy {
  const url = URL.parse(text)
  if (!url) throw badParameter('proxy-url is not a URL')
  const kind = url.protocol === 'socks5h:' ? 'socks5:' : url.protocol
  if (kind !== 'http:' && kind !== 'https:' && kind !== 'socks5:')
    throw badParameter(
      `proxy-url has the scheme ${url.protocol.slice(0, -1)}, known are http, https and socks5`,
    )
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (host === '') throw badParameter('proxy-url names no host')
  return {
    kind,
    host,
    port: url.port === '' ? defaultPorts[kind] : Number(url.port),
    user: decoded(url.username),
    password: decoded(url.password),
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw badParameter('proxy-url holds a malformed escape in its user or password')
  }
}

/** Connects to `target` through a proxy. Throws `connection-problem` that names the proxy. */
export async function dialThroughProxy(
  proxyUrl: string,
  target: ProxyTarget,
  options: ProxyOptions = {},
): Promise<Duplex> {
  const proxy = parseProxyUrl(proxyUrl)
  const { timeoutMs = proxyTimeoutMs } = options
  if (!/^[0-9A-Za-z._:-]{1,255}$/.test(target.host)) throw badParameter('malformed host name')
  const stream = transport(proxy, options)
  const timer = setTimeout(
    () => stream.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)),
    timeoutMs,
  )
  try {
    const reader = createReader(stream)
    await (proxy.kind === 'socks5:' ? socks5 : httpConnect)(proxy, { target, stream, reader })
    reader.release()
    return stream
  } catch (cause) {
    stream.on('error', () => undefined)
    stream.destroy()
    throw connectionProblem(`proxy ${proxy.host}:${proxy.port}: ${messageOf(cause)}`, { cause })
  } finally {
    clearTimeout(timer)
  }
}

function transport({ kind, host, port }: Proxy, { ca }: ProxyOptions): Duplex {
  if (kind !== 'https:') return connectTcp({ host, port, allowHalfOpen: true }).setNoDelay(true)
  return connectTls({
    host,
    port,
    servername: isIP(host) ? '' : host,
    ALPNProtocols: ['http/1.1'],
    minVersion: 'TLSv1.2',
    ...(ca === undefined ? {} : { ca }),
  })
}

interface Handshake {
  readonly target: ProxyTarget
  readonly stream: Duplex
  readonly reader: Reader
}

async function httpConnect(proxy: Proxy, { target, stream, reader }: Handshake): Promise<void> {
  const name = target.host.includes(':') ? `[${target.host}]` : target.host
  const where = `${name}:${target.port}`
  const basic = Buffer.from(`${proxy.user}:${proxy.password}`).toString('base64')
  const credentials = proxy.user === '' ? '' : `proxy-authorization: Basic ${basic}\r\n`
  stream.write(`CONNECT ${where} HTTP/1.1\r\nhost: ${where}\r\n${credentials}\r\n`)
  const head = await reader.until('\r\n\r\n')
  const status = /^HTTP\/1\.[01] (\d{3})[ \r]/.exec(head)?.[1]
  if (status === undefined) throw new Error('the answer is not HTTP')
  if (!status.startsWith('2')) throw new Error(`CONNECT ${where} was answered with ${status}`)
}

// RFC 1928, and RFC 1929 for a user and password.
async function socks5(proxy: Proxy, { target, stream, reader }: Handshake): Promise<void> {
  const method = proxy.user === '' ? 0 : 2
  stream.write(Uint8Array.of(5, 1, method))
  const [version, chosen] = await reader.bytes(2)
  if (version !== 5) throw new Error('the answer is not SOCKS5')
  if (chosen !== method) throw new Error('it wants another way to authenticate')
  if (method === 2) {
    stream.write(Buffer.concat([Uint8Array.of(1), short(proxy.user), short(proxy.password)]))
    const [, refused] = await reader.bytes(2)
    if (refused !== 0) throw new Error('user or password was refused')
  }
  const port = Uint8Array.of(target.port >> 8, target.port & 255)
  stream.write(Buffer.concat([Uint8Array.of(5, 1, 0), address(target.host), port]))
  const [, reply, , kind] = await reader.bytes(4)
  if (reply !== 0)
    throw new Error(`connecting to ${target.host}:${target.port} was refused with code ${reply}`)
  const bound = kind === 1 ? 4 : kind === 4 ? 16 : ((await reader.bytes(1))[0] ?? 0)
  await reader.bytes(bound + 2)
}

function short(text: string): Uint8Array {
  const bytes = Buffer.from(text)
  if (bytes.length > 255) throw new Error('user or password is longer than SOCKS5 allows')
  return Buffer.concat([Uint8Array.of(bytes.length), bytes])
}

/** A name is left to the proxy to resolve. */
function address(host: string): Uint8Array {
  if (isIP(host) === 4) return Uint8Array.of(1, ...host.split('.').map(Number))
  if (isIP(host) === 6) return Buffer.concat([Uint8Array.of(4), ipv6(host)])
  return Buffer.concat([Uint8Array.of(3), short(host)])
}

function ipv6(host: string): Uint8Array {
  const [head = '', tail] = host.split('::')
  const groups = (text: string) =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
  const before = groups(head)
  const after = tail === undefined ? [] : groups(tail)
  const middle = Array<number>(Math.max(0, 8 - before.length - after.length)).fill(0)
  return Uint8Array.from([...before, ...middle, ...after].flatMap((group) => [group >> 8, group & 255]))
}

interface Reader {
  bytes(count: number): Promise<Buffer>
  /** Text up to and with this end. */
  until(end: string): Promise<string>
  /** Gives back what was read too far. */
  release(): void
}

function createReader(stream: Duplex): Reader {
  let seen = Buffer.alloc(0)
  let failure: Error | undefined
  let wake: (() => void) | undefined
  // Reading on demand, not by 'data': a stream that was stopped in between would have to be started by its next user.
  const onReadable = () => {
    for (;;) {
      const chunk: unknown = stream.read()
      if (!(chunk instanceof Uint8Array)) break
      seen = Buffer.concat([seen, chunk])
    }
    wake?.()
  }
  const fail = (error?: Error) => {
    failure ??= error ?? new Error('the connection was closed')
    wake?.()
  }
  const onEnd = () => fail()
  stream.on('readable', onReadable).once('error', fail).once('end', onEnd).once('close', onEnd)
  const take = async (length: () => number): Promise<Buffer> => {
    for (;;) {
      const count = length()
      if (count >= 0 && seen.length >= count) {
        const taken = seen.subarray(0, count)
        seen = seen.subarray(count)
        return taken
      }
      if (failure) throw failure
      if (seen.length > answerLimit) throw new Error('the answer is too long')
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  return {
    bytes: (count) => take(() => count),
    until: async (end) => {
      const bytes = await take(() => {
        const at = seen.indexOf(end)
        return at < 0 ? -1 : at + end.length
      })
      return bytes.toString('latin1')
    },
    release: () => {
      stream.off('readable', onReadable).off('error', fail).off('end', onEnd).off('close', onEnd)
      if (seen.length > 0) stream.unshift(seen)
    },
  }
}
