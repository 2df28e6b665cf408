// Leaving HTTP: the request goes up on a connection of its own, and after the 101 bytes are relayed both ways with
// half-closes. A refusal is relayed whole and then both connections are closed: a connection that an upgrade has
// touched is never used for anything else (CVE-2018-1002105).

import type { Duplex } from 'node:stream'
import { badParameter, connectionProblem, messageOf } from '../errors.ts'
import { resetStream } from '../net/duplex.ts'
import { dialUpstream } from './dial.ts'
import type {
  HeaderList,
  OutgoingHead,
  ResponseHead,
  UpgradedSession,
  UpgradeOptions,
  UpgradeOutcome,
  UpgradeTap,
} from './exchange.ts'
import { checkHeader, checkOutgoing, headerValue } from './headers.ts'
import type { UpstreamEngine } from './upstream-engine.ts'

const answerTimeoutMs = 30_000
const maxHeadBytes = 64 * 1024
/** A refusal is a Status object; more than this of it is not relayed. */
const maxRefusalBytes = 64 * 1024
/** How long a refusal's body may take. */
const refusalTimeoutMs = 5_000
/** After an orderly end, how long the two sides may take to close. */
const endGraceMs = 5_000
/** Lines and names as RFC 9112 has them; anything else from a server ends the relay. */
const statusLine = /^HTTP\/1\.[01] (\d{3})(?: [^\r\n\0]*)?$/
const fieldLine = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*?)[ \t]*$/

export interface UpgradeInput {
  readonly engine: UpstreamEngine
  readonly head: OutgoingHead
  /** The client's Upgrade header. */
  readonly protocol: string
  /** The client's raw connection, paused, and what it sent after its request. */
  readonly client: { readonly socket: Duplex; readonly rest: Uint8Array }
  readonly options: UpgradeOptions
  /** Sends a refusal to the client. */
  readonly refuse: (head: ResponseHead, body: Uint8Array) => Promise<void>
  /** Called when the client has got its 101. */
  readonly answered: () => void
}

export async function relayUpgrade(input: UpgradeInput): Promise<UpgradeOutcome> {
  const { engine, client } = input
  checkOutgoing(input.head.headers)
  const { socket: upstream } = await dialUpstream(engine.options, ['http/1.1'])
  const clientGone = () => void upstream.destroy()
  client.socket.once('close', clientGone)
  if (client.socket.destroyed) clientGone()
  try {
    upstream.write(requestText(input))
    const { head, rest } = await readHead(upstream)
    if (head.status !== 101) return await relayRefusal(input, { upstream, head, rest })
    client.socket.off('close', clientGone)
    return await relay(input, { upstream, head, rest })
  } catch (error) {
    upstream.destroy()
    throw error
  }
}

function requestText({ engine, head, protocol }: UpgradeInput): string {
  if (!/^[A-Z]+$/.test(head.method) || !/^\/[\x21-\x7e]*$/.test(head.target))
    throw badParameter('malformed method or target')
  const headers: HeaderList = [
    ['host', engine.authority],
    ['connection', 'Upgrade'],
    ['upgrade', protocol],
    ...head.headers,
  ]
  let text = `${head.method} ${head.target} HTTP/1.1\r\n`
  for (const [name, value] of headers) {
    checkHeader(name, value)
    text += `${name}: ${value}\r\n`
  }
  return `${text}\r\n`
}

/** Reads one response head, and what came after it in the same read. */
function readHead(stream: Duplex): Promise<{ head: ResponseHead; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    let seen = Buffer.alloc(0)
    const settle = (action: () => void) => {
      clearTimeout(timer)
      stream.off('data', onData).off('end', onEnd).off('error', onError).off('close', onEnd)
      stream.pause()
      action()
    }
    const onData = (chunk: Buffer) => {
      seen = Buffer.concat([seen, chunk])
      for (;;) {
        const end = seen.indexOf('\r\n\r\n')
        if (end < 0 && seen.length <= maxHeadBytes) return
        const text = seen.subarray(0, Math.max(end, 0)).toString('latin1')
        const head = end < 0 || end > maxHeadBytes ? undefined : parseHead(text)
        seen = seen.subarray(end + 4)
        // An interim answer, e.g. 100 or 103, comes before the one that counts.
        if (head && head.status < 200 && head.status !== 101) continue
        return settle(() => {
          if (head) resolve({ head, rest: seen })
          else reject(connectionProblem('the server answered the upgrade with something that is not HTTP'))
        })
      }
    }
    const onEnd = () =>
      settle(() =>
        reject(connectionProblem('the server closed the connection before it answered the upgrade')),
      )
    const onError = (cause: Error) =>
      settle(() => reject(connectionProblem(`upgrade failed: ${messageOf(cause)}`, { cause })))
    const timer = setTimeout(
      () =>
        settle(() =>
          reject(
            connectionProblem(`the server did not answer the upgrade within ${answerTimeoutMs / 1000} s`),
          ),
        ),
      answerTimeoutMs,
    )
    stream.on('data', onData).once('end', onEnd).once('error', onError).once('close', onEnd)
  })
}

/** A response head without its empty line, or undefined when it is none. */
export function parseHead(text: string): ResponseHead | undefined {
  const [first = '', ...lines] = text.split('\r\n')
  const status = statusLine.exec(first)?.[1]
  if (status === undefined) return undefined
  const headers: [string, string][] = []
  for (const line of lines) {
    const field = fieldLine.exec(line)
    if (!field?.[1]) return undefined
    headers.push([field[1].toLowerCase(), field[2] ?? ''])
  }
  return { status: Number(status), headers }
}

interface Upgraded {
  readonly upstream: Duplex
  readonly head: ResponseHead
  readonly rest: Buffer
}

async function relayRefusal(
  { client, refuse }: UpgradeInput,
  { upstream, head, rest }: Upgraded,
): Promise<UpgradeOutcome> {
  const body = await readRefusal(upstream, { head, rest })
  upstream.destroy()
  const headers = head.headers.filter(
    ([name]) => !['content-length', 'transfer-encoding', 'connection'].includes(name),
  )
  await refuse({ status: head.status, headers }, body)
  return {
    status: head.status,
    refusal: Buffer.from(body).toString('utf8'),
    orderly: true,
    bytesFromClient: client.rest.length,
    bytesFromServer: body.length,
  }
}

/** The body of a refusal by its length, its chunks, or the end of the connection. */
function readRefusal(
  upstream: Duplex,
  { head, rest }: { head: ResponseHead; rest: Buffer },
): Promise<Uint8Array> {
  const length = headerValue(head.headers, 'content-length')
  const chunked = headerValue(head.headers, 'transfer-encoding')?.toLowerCase() === 'chunked'
  const wanted = length === undefined ? maxRefusalBytes : Math.min(Number(length) || 0, maxRefusalBytes)
  return new Promise((resolve) => {
    let seen = rest
    const taken = () =>
      chunked ? dechunk(seen) : { body: seen.subarray(0, wanted), complete: seen.length >= wanted }
    const finish = () => {
      clearTimeout(timer)
      upstream.off('data', onData)
      resolve(taken().body.subarray(0, maxRefusalBytes))
    }
    // Chunks cost their framing, too.
    const complete = () => taken().complete || seen.length >= 2 * maxRefusalBytes
    const onData = (chunk: Buffer) => {
      seen = Buffer.concat([seen, chunk])
      if (complete()) finish()
    }
    // What has come by then is all that is told.
    const timer = setTimeout(finish, refusalTimeoutMs)
    if (complete()) return finish()
    upstream.on('data', onData).once('end', finish).once('close', finish).once('error', finish)
    upstream.resume()
  })
}

/** The data of a chunked body as far as it goes, and whether its last chunk is there. */
export function dechunk(bytes: Buffer): { body: Buffer; complete: boolean } {
  const parts: Buffer[] = []
  let at = 0
  for (;;) {
    const end = bytes.indexOf('\r\n', at)
    const line = end < 0 ? '' : bytes.subarray(at, end).toString('latin1')
    const digits = /^([0-9A-Fa-f]{1,8})(?:[ \t]*;.*)?$/.exec(line)?.[1]
    const size = digits === undefined ? undefined : Number.parseInt(digits, 16)
    // A line that is no size ends the body as well: nothing after it can be understood.
    if (size === undefined) return { body: Buffer.concat(parts), complete: end >= 0 }
    if (size === 0) return { body: Buffer.concat(parts), complete: true }
    parts.push(bytes.subarray(end + 2, end + 2 + size))
    at = end + 2 + size + 2
  }
}

function relay(input: UpgradeInput, { upstream, head, rest }: Upgraded): Promise<UpgradeOutcome> {
  const client = input.client.socket
  const bytes = { client: 0, server: 0 }
  const now = () => Date.now()
  let lastActivity = now()
  let orderly = true
  const session: UpgradedSession = {
    response: head,
    get lastActivity() {
      return lastActivity
    },
    sendToClient: (data) => {
      if (!client.writableEnded && !client.destroyed) client.write(data)
    },
    end: () => {
      client.end()
      upstream.end()
      // Whoever does not close its own side by then is cut.
      setTimeout(() => {
        client.destroy()
        upstream.destroy()
      }, endGraceMs).unref()
    },
    reset: () => {
      orderly = false
      resetStream(client)
      resetStream(upstream)
    },
  }
  const tap: UpgradeTap | undefined = input.options.opened?.(session)
  client.write(responseText(head))
  input.answered()

  return new Promise((resolve) => {
    const forward = (
      from: Duplex,
      to: Duplex,
      { seen, first }: { seen: (chunk: Uint8Array) => void; first: Uint8Array },
    ) => {
      const onData = (chunk: Uint8Array) => {
        lastActivity = now()
        seen(chunk)
        if (!to.destroyed && !to.writableEnded && !to.write(chunk)) from.pause()
      }
      if (first.length > 0) onData(first)
      from.on('data', onData)
      to.on('drain', () => from.resume())
      from.once('end', () => {
        if (!to.writableEnded) to.end()
      })
      const ended = () => from.readableEnded
      from.once('error', () => {
        orderly = false
        resetStream(to)
      })
      from.once('close', () => {
        if (!ended()) {
          orderly = false
          resetStream(to)
        }
      })
      from.resume()
    }
    forward(client, upstream, {
      first: input.client.rest,
      seen: (chunk) => {
        bytes.client += chunk.length
        tap?.fromClient(chunk)
      },
    })
    forward(upstream, client, {
      first: rest,
      seen: (chunk) => {
        bytes.server += chunk.length
        tap?.fromServer(chunk)
      },
    })
    let open = 2
    const closed = () => {
      open--
      if (open > 0) return
      resolve({
        status: 101,
        refusal: '',
        orderly,
        bytesFromClient: bytes.client,
        bytesFromServer: bytes.server,
      })
    }
    client.once('close', closed)
    upstream.once('close', closed)
    if (client.destroyed) closed()
    if (upstream.destroyed) closed()
  })
}

function responseText(head: ResponseHead): string {
  const lines = head.headers.map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 101 Switching Protocols\r\n${lines.join('')}\r\n`
}
