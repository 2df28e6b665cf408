// The engine on the platform's HTTP libraries: a service that turns connections into exchanges, HTTP/2 by its
// stream interface and HTTP/1.1 with upgrades. Where Bun's libraries leave a hole, the guard is here and says so.

import { createServer as createHttp1Server, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttp2Server, type Http2Session, type ServerHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import { messageOf } from '../errors.ts'
import { createLogger } from '../log.ts'
import type { Connection, Service } from '../net/connection.ts'
import { resetStream, wireToDuplex } from '../net/duplex.ts'
import type { Exchange, ExchangeHandler } from './exchange.ts'
import { ClientExchange } from './client-exchange.ts'
import { http1Client } from './http1-client.ts'
import { http2Client } from './http2-client.ts'
import { malformed } from './request-guard.ts'

const log = createLogger('http')

/** All headers of one request. Certificates and tokens are small; 300 groups fit. */
const defaultMaxHeaderBytes = 128 * 1024
/** Window per stream: what one stalled request body may occupy. */
const initialWindowSize = 1 << 20
/** Watches of one client on one connection: dashboards open hundreds. */
const maxConcurrentStreams = 2000
const headersTimeoutMs = 30_000
/** Idle HTTP/1.1 connections between requests. HTTP/2 clients ping. */
const keepAliveTimeoutMs = 120_000
/** Streams one connection may reset before it counts as an attack, refilled by a hundredth each second. */
const resetBudget = 1000

export interface HttpServiceOptions {
  /** Answers an exchange whose handler threw before anything was sent. @default 500 in plain text */
  onError?: (exchange: Exchange, error: unknown) => Promise<void>
  /** All headers of one request. @default 128 KiB */
  maxHeaderBytes?: number
}

/** A service, and the ways to end it. */
export interface HttpService extends Service {
  (connection: Connection): void
  /** Tells clients to go elsewhere (GOAWAY, `connection: close`), waits for running requests, then cuts the rest. */
  drain(deadlineMs: number): Promise<void>
}

interface Served {
  readonly connection: Connection
  readonly carrier: Duplex
}

/** A service that parses HTTP and calls `handler` once per request. */
export function createHttpService(handler: ExchangeHandler, options: HttpServiceOptions = {}): HttpService {
  const { maxHeaderBytes = defaultMaxHeaderBytes, onError = answerPlainly } = options
  const serve = (exchange: ClientExchange) => void run(exchange, { handler, onError })
  const http2 = createHttp2Half(serve, maxHeaderBytes)
  const http1 = createHttp1Half(serve, maxHeaderBytes)
  const accept = (connection: Connection) => {
    const carrier = wireToDuplex(connection.wire)
    carrier.on('error', (error) => log.debug('connection failed', { error: messageOf(error) }))
    const half = connection.protocol === 'h2' ? http2 : http1
    half.accept({ connection, carrier })
  }
  const drain = async (deadlineMs: number) => {
    await Promise.all([http2.drain(deadlineMs), http1.drain(deadlineMs)])
  }
  return Object.assign(accept, { drain })
}

interface Half {
  accept(served: Served): void
  drain(deadlineMs: number): Promise<void>
}

function createHttp2Half(serve: (exchange: ClientExchange) => void, maxHeaderBytes: number): Half {
  const server = createHttp2Server({
    settings: {
      initialWindowSize,
      maxConcurrentStreams,
      maxHeaderListSize: maxHeaderBytes,
      enablePush: false,
    },
    maxSessionMemory: 1000,
  })
  const sessions = new Map<Http2Session, Served>()
  const life = createLife()
  let starting: Served | undefined
  server.on('session', (session) => {
    // Emitting a connection makes its session at once.
    if (starting) sessions.set(session, starting)
    session.on('error', (error) => log.debug('session failed', { error: messageOf(error) }))
    session.once('close', () => {
      sessions.delete(session)
      if (sessions.size === 0) life.empty()
    })
    limitResets(session)
  })
  server.on('sessionError', (error) => log.debug('session failed', { error: messageOf(error) }))
  server.on('stream', (stream: ServerHttp2Stream, _headers, flags: number, raw?: string[]) => {
    stream.on('error', (error) => log.debug('stream failed', { error: messageOf(error) }))
    const served = stream.session ? sessions.get(stream.session) : undefined
    if (!served) return void stream.destroy()
    serve(new ClientExchange(served.connection, http2Client(stream, { flags, raw: raw ?? [], ...served })))
  })
  return {
    accept: (served) => {
      // With half-open sockets the session of a client that is gone would stay for ever.
      Object.assign(served.carrier, { allowHalfOpen: false })
      starting = served
      server.emit('connection', served.carrier)
      starting = undefined
    },
    drain: async (deadlineMs) => {
      for (const session of sessions.keys()) session.close()
      if (sessions.size > 0) await life.ended(deadlineMs)
      for (const [session, { carrier }] of sessions) {
        session.destroy()
        resetStream(carrier)
      }
    },
  }
}

function createHttp1Half(serve: (exchange: ClientExchange) => void, maxHeaderBytes: number): Half {
  const server = createHttp1Server({
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: headersTimeoutMs,
    requestTimeout: 0,
    keepAliveTimeout: keepAliveTimeoutMs,
  })
  server.timeout = 0
  /** Connections and how many of their requests are running. */
  const sockets = new Map<Duplex, { connection: Connection; running: number }>()
  const life = createLife()
  let draining = false
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    const entry = sockets.get(request.socket)
    if (!entry) return void request.socket.destroy()
    entry.running++
    response.once('close', () => {
      entry.running--
      if (draining && entry.running === 0) request.socket.end()
    })
    serve(
      new ClientExchange(entry.connection, http1Client(request, { response, lastRequest: () => draining })),
    )
  }
  server.on('request', onRequest)
  // The answer to `expect: 100-continue` goes out when somebody reads the body.
  server.on('checkContinue', onRequest)
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, rest: Buffer) => {
    const entry = sockets.get(request.socket)
    if (!entry) return void socket.destroy()
    entry.running++
    serve(new ClientExchange(entry.connection, http1Client(request, { upgrade: { socket, rest } })))
  })
  server.on('clientError', (error, socket) => {
    log.debug('not an HTTP request', { error: messageOf(error) })
    if (socket.writable)
      socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
    else socket.destroy()
  })
  return {
    accept: ({ connection, carrier }) => {
      sockets.set(carrier, { connection, running: 0 })
      carrier.once('close', () => {
        sockets.delete(carrier)
        if (sockets.size === 0) life.empty()
      })
      server.emit('connection', carrier)
    },
    drain: async (deadlineMs) => {
      draining = true
      for (const [socket, { running }] of sockets) if (running === 0) socket.end()
      if (sockets.size > 0) await life.ended(deadlineMs)
      for (const socket of sockets.keys()) resetStream(socket)
    },
  }
}

/** Waits until nothing is left, but no longer than a deadline. */
function createLife() {
  let resolveEmpty: (() => void) | undefined
  return {
    empty: () => resolveEmpty?.(),
    ended: async (deadlineMs: number) => {
      const { promise, resolve } = Promise.withResolvers<void>()
      resolveEmpty = resolve
      const timer = setTimeout(resolve, deadlineMs)
      await promise
      clearTimeout(timer)
    },
  }
}

async function answerPlainly(exchange: Exchange, error: unknown): Promise<void> {
  log.error('request failed', { error: messageOf(error) })
  await exchange.answer({ status: 500, headers: [['content-type', 'text/plain']] }, 'internal error\n')
}

async function run(
  exchange: ClientExchange,
  { handler, onError }: { handler: ExchangeHandler; onError: NonNullable<HttpServiceOptions['onError']> },
): Promise<void> {
  try {
    const fault = malformed(exchange.request)
    if (fault !== undefined) return await exchange.refuse(fault)
    await handler(exchange)
    if (!exchange.done) throw new TypeError('handler ended without answering')
  } catch (error) {
    if (exchange.answered || exchange.signal.aborted) return exchange.abort(messageOf(error))
    try {
      await onError(exchange, error)
    } catch (failure) {
      log.error('could not answer a failed request', { error: messageOf(failure) })
      exchange.abort(messageOf(failure))
    }
  }
}

// Opening and resetting streams in a loop costs a server more than its client.
function limitResets(session: Http2Session): void {
  let budget = resetBudget
  let last = Date.now()
  session.on('stream', (stream: ServerHttp2Stream) => {
    stream.once('close', () => {
      if (stream.rstCode === 0) return
      const now = Date.now()
      budget = Math.min(resetBudget, budget + ((now - last) / 1000) * (resetBudget / 100)) - 1
      last = now
      if (budget < 0) session.destroy(new Error('too many streams were reset'))
    })
  })
}
