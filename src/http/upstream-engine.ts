// The upstream's connections: a few HTTP/2 sessions, or an HTTP/1.1 agent where the server speaks nothing newer.
// Handlers never see this; `server.ts` reaches it through `engineOf`.

import type { Agent } from 'node:http'
import { type ClientHttp2Session, connect } from 'node:http2'
import type { Duplex } from 'node:stream'
import { connectionProblem, messageOf, TeleportError } from '../errors.ts'
import { createLogger } from '../log.ts'
import { dialUpstream } from './dial.ts'
import type { OutgoingHead } from './exchange.ts'
import { checkOutgoing } from './headers.ts'
import type { Upstream, UpstreamOptions } from './upstream.ts'
import {
  createKeepAliveAgent,
  type Http2Carrier,
  NotSent,
  requestOverH1,
  requestOverH2,
  type UpstreamAnswer,
  type UpstreamRequest,
} from './upstream-request.ts'

const log = createLogger('http:upstream')

/** Streams on one session before another is opened, when the server allows more or does not say. */
const streamsPerSession = 250
/** Sessions to one upstream at once. */
const sessionLimit = 64
/** Idle sessions are asked for a sign of life this often, and closed when none comes before the next time. */
const pingIntervalMs = 15_000
/** A server's first frame holds its settings. */
const settingsTimeoutMs = 15_000
/** Window per stream: what one stalled response may occupy. */
const initialWindowSize = 1 << 20
/** Header blocks of an API server are small; a megabyte of them is an attack or a mistake. */
const maxHeaderListSize = 1 << 17
const responseTimeoutMs = 60_000

interface Session extends Http2Carrier {
  open: number
  limit: number
}

export interface OpenOptions {
  readonly hasBody: boolean
  /** Aborted when nobody waits for the answer any more. */
  readonly signal?: AbortSignal | undefined
}

export interface OpenedRequest {
  readonly request: UpstreamRequest
  readonly answer: Promise<UpstreamAnswer>
}

export class UpstreamEngine implements AsyncDisposable {
  readonly options: UpstreamOptions
  readonly #sessions = new Set<Session>()
  #opening: Promise<void> | undefined
  #agent: Agent | undefined
  #closed = false

  constructor(options: UpstreamOptions) {
    this.options = options
  }

  get authority(): string {
    const { host, port, tls } = this.options
    const name = host.includes(':') ? `[${host}]` : host
    return port === (tls ? 443 : 80) ? name : `${name}:${port}`
  }

  /**
   * Opens a request. One that provably never reached the server is sent once more on a fresh connection, unless it has a
   * body, which may have been read by then.
   */
  async open(head: OutgoingHead, options: OpenOptions): Promise<OpenedRequest> {
    checkOutgoing(head.headers)
    const first = await this.#start(head, options)
    if (options.hasBody) {
      const answer = this.#bounded(first).catch((error: unknown) => {
        throw this.#explain(error)
      })
      answer.catch(() => undefined)
      return { request: first, answer }
    }
    const attempt = { request: first }
    const answer = this.#bounded(first).catch(async (error: unknown) => {
      if (!(error instanceof NotSent) || options.signal?.aborted) throw this.#explain(error)
      log.debug('a pooled connection was gone, trying another', { upstream: this.options.name })
      attempt.request = await this.#start(head, options)
      return this.#bounded(attempt.request).catch((again: unknown) => {
        throw this.#explain(again)
      })
    })
    const cancel = () => attempt.request.cancel()
    // Whoever cancels does not wait for it.
    answer.catch(() => undefined)
    return { request: { body: first.body, kick: first.kick, answer, cancel }, answer }
  }

  async #start(head: OutgoingHead, { hasBody, signal }: OpenOptions): Promise<UpstreamRequest> {
    const options = {
      hasBody,
      authority: this.authority,
      scheme: this.options.tls ? 'https' : 'http',
    } as const
    for (let attempt = 0; ; attempt++) {
      if (signal?.aborted) throw connectionProblem('the client went away')
      const connection = await this.#connection()
      if (!('session' in connection)) return requestOverH1(connection, { head, options })
      try {
        const request = requestOverH2(connection, { head, options })
        request.body.once('close', () => {
          connection.open--
        })
        return request
      } catch (error) {
        connection.open--
        this.#sessions.delete(connection)
        if (!(error instanceof NotSent) || attempt > 0) throw this.#explain(error)
      }
    }
  }

  async #bounded(request: UpstreamRequest): Promise<UpstreamAnswer> {
    const limit = this.options.responseTimeoutMs ?? responseTimeoutMs
    let timer: Timer | undefined
    const timeout = new Promise<never>((_, reject) => {
      const expire = () => {
        request.cancel()
        reject(connectionProblem(`${this.options.name} did not answer within ${limit / 1000} s`))
      }
      // A server may take its time to read a body; the clock runs from its end.
      const start = () => {
        timer = setTimeout(expire, limit)
      }
      if (request.body.writableEnded) start()
      else request.body.once('finish', start)
    })
    try {
      return await Promise.race([request.answer, timeout])
    } catch (error) {
      throw error instanceof NotSent ? error : this.#explain(error)
    } finally {
      clearTimeout(timer)
    }
  }

  #explain(error: unknown): TeleportError {
    if (error instanceof TeleportError) return error
    return connectionProblem(
      `request to ${this.options.name} at ${this.authority} failed: ${messageOf(error)}`,
      { cause: error },
    )
  }

  async #connection(): Promise<Session | Agent> {
    // Requests that come while a connection is being made share it, as far as it has room.
    for (;;) {
      if (this.#closed) throw connectionProblem(`connection to ${this.options.name} is closed`)
      if (this.#agent) return this.#agent
      let best: Session | undefined
      for (const session of this.#sessions) {
        if (session.open < session.limit && (!best || session.open < best.open)) best = session
      }
      if (best) {
        // Taken here, in one turn with the choice: others choose before the request is made.
        best.open++
        return best
      }
      if (this.#sessions.size >= sessionLimit)
        throw connectionProblem(`too many requests in flight to ${this.options.name} at ${this.authority}`)
      this.#opening ??= this.#connect().finally(() => {
        this.#opening = undefined
      })
      await this.#opening
    }
  }

  async #connect(): Promise<void> {
    const { socket, protocol } = await dialUpstream(this.options, ['h2', 'http/1.1'])
    if (this.#closed) return void socket.destroy()
    if (protocol === 'http/1.1') return this.#useHttp1(socket)
    const { session, limit } = await openSession(socket)
    const entry: Session = {
      session,
      carrier: socket,
      open: 0,
      limit,
      lastStream: Number.POSITIVE_INFINITY,
    }
    const gone = () => void this.#sessions.delete(entry)
    session.on('remoteSettings', ({ maxConcurrentStreams = streamsPerSession }) => {
      entry.limit = streamLimit(maxConcurrentStreams)
    })
    session.on('goaway', (_code: number, lastStream: number) => {
      entry.lastStream = lastStream
      gone()
    })
    session.on('close', gone)
    session.on('error', (error) => {
      log.debug('session failed', { upstream: this.options.name, error: messageOf(error) })
      gone()
    })
    keepAlive(session, this.options.pingIntervalMs ?? pingIntervalMs)
    this.#sessions.add(entry)
  }

  #useHttp1(socket: Duplex): void {
    let first: Duplex | undefined = socket
    const agent = createKeepAliveAgent(async () => {
      const ready = first
      first = undefined
      return ready && !ready.destroyed ? ready : (await dialUpstream(this.options, ['http/1.1'])).socket
    })
    this.#agent = agent
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    this.#agent?.destroy()
    for (const { session } of this.#sessions) session.destroy()
    this.#sessions.clear()
  }
}

function openSession(socket: Duplex): Promise<{ session: ClientHttp2Session; limit: number }> {
  return new Promise((resolve, reject) => {
    // The library wants this said by the carrier; over an in-memory pair nobody negotiated it.
    if (!('alpnProtocol' in socket)) Object.defineProperty(socket, 'alpnProtocol', { value: 'h2' })
    Object.assign(socket, { allowHalfOpen: false })
    const session = connect('http://upstream.internal', {
      createConnection: () => socket,
      settings: { initialWindowSize, enablePush: false, maxHeaderListSize },
      maxHeaderListPairs: 512,
    })
    const timer = setTimeout(() => {
      session.destroy()
      reject(connectionProblem('the server did not begin an HTTP/2 session'))
    }, settingsTimeoutMs)
    session.once('error', reject)
    session.once('close', () => reject(connectionProblem('the server closed a new connection')))
    // Not 'connect': before the server's settings are here, nobody knows how many streams it takes.
    session.once('remoteSettings', ({ maxConcurrentStreams = streamsPerSession }) => {
      clearTimeout(timer)
      session.off('error', reject)
      resolve({ session, limit: streamLimit(maxConcurrentStreams) })
    })
    session.once('close', () => clearTimeout(timer))
  })
}

function streamLimit(announced: number): number {
  return Math.max(1, Math.min(announced, streamsPerSession))
}

function keepAlive(session: ClientHttp2Session, intervalMs: number): void {
  let waiting = false
  const timer = setInterval(() => {
    if (session.destroyed) return clearInterval(timer)
    if (waiting) return session.destroy(new Error('no sign of life'))
    waiting = true
    session.ping((error) => {
      if (!error) waiting = false
    })
  }, intervalMs)
  timer.unref()
  session.once('close', () => clearInterval(timer))
}

const engines = new WeakMap<Upstream, UpstreamEngine>()

export function bindEngine(upstream: Upstream, engine: UpstreamEngine): void {
  engines.set(upstream, engine)
}

export function engineOf(upstream: Upstream): UpstreamEngine {
  const engine = engines.get(upstream)
  if (!engine) throw new TypeError('an upstream comes from createUpstream')
  return engine
}
