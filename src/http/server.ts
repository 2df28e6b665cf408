// The engine on the platform's HTTP libraries: a service that turns connections into exchanges, HTTP/2 by its
// stream interface and HTTP/1.1 with upgrades. Where Bun's libraries leave a hole, the guard is here and says so.

import { createServer as createHttp1Server, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttp2Server, type Http2Session, type ServerHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import { messageOf } from '../errors.ts'
import { createLogger } from '../log.ts'
import type { Connection, Service } from '../net/connection.ts'
import { wireToDuplex } from '../net/duplex.ts'
import type { Exchange, ExchangeHandler } from './exchange.ts'
import { ClientExchange } from './client-exchange.ts'
import { http1Client } from './http1-client.ts'
import { http2Client } from './http2-client.ts'

const log = createLogger('http')

/** All headers of one request. Certificates and tokens are small; 300 groups fit. */
const maxHeaderBytes = 128 * 1024
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
  /** Answers an exchange whose handler threw before anything was sent. */
  onError: (exchange: Exchange, error: unknown) => Promise<void>
}

/** A service that parses HTTP and calls `handler` once per request. */
export function createHttpService(handler: ExchangeHandler, options: HttpServiceOptions): Service {
  const serve = (exchange: ClientExchange) => void run(handler, exchange, options)

  const http2 = createHttp2Server({
    settings: {
      initialWindowSize,
      maxConcurrentStreams,
      maxHeaderListSize: maxHeaderBytes,
      enablePush: false,
    },
    maxSessionMemory: 1000,
  })
  const connections = new WeakMap<Http2Session, { connection: Connection; carrier: Duplex }>()
  let starting: { connection: Connection; carrier: Duplex } | undefined
  http2.on('session', (session) => {
    // Emitting a connection makes its session at once.
    if (starting) connections.set(session, starting)
    session.on('error', (error) => log.debug('session failed', { error: messageOf(error) }))
    limitResets(session)
  })
  http2.on('sessionError', (error) => log.debug('session failed', { error: messageOf(error) }))
  http2.on('stream', (stream: ServerHttp2Stream, _headers, flags: number, raw?: string[]) => {
    stream.on('error', (error) => log.debug('stream failed', { error: messageOf(error) }))
    const found = stream.session ? connections.get(stream.session) : undefined
    if (!found || !stream.session) return void stream.destroy()
    serve(new ClientExchange(found.connection, http2Client(stream, { flags, raw: raw ?? [], ...found })))
  })

  const http1 = createHttp1Server({
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: headersTimeoutMs,
    requestTimeout: 0,
    keepAliveTimeout: keepAliveTimeoutMs,
  })
  http1.timeout = 0
  const sockets = new WeakMap<Duplex, Connection>()
  const found = (request: IncomingMessage) => sockets.get(request.socket)
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    const connection = found(request)
    if (!connection) return void request.socket.destroy()
    serve(new ClientExchange(connection, http1Client(request, { response })))
  }
  http1.on('request', onRequest)
  http1.on('checkContinue', onRequest)
  http1.on('upgrade', (request: IncomingMessage, socket: Duplex, rest: Buffer) => {
    const connection = found(request)
    if (!connection) return void socket.destroy()
    serve(new ClientExchange(connection, http1Client(request, { upgrade: { socket, rest } })))
  })
  http1.on('clientError', (error, socket) => {
    log.debug('not an HTTP request', { error: messageOf(error) })
    if (socket.writable)
      socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
    else socket.destroy()
  })

  return (connection) => {
    const carrier = wireToDuplex(connection.wire)
    carrier.on('error', (error) => log.debug('connection failed', { error: messageOf(error) }))
    if (connection.protocol === 'h2') {
      // With half-open sockets the session of a client that is gone would stay for ever.
      Object.assign(carrier, { allowHalfOpen: false })
      starting = { connection, carrier }
      http2.emit('connection', carrier)
      starting = undefined
    } else {
      sockets.set(carrier, connection)
      http1.emit('connection', carrier)
    }
  }
}

async function run(
  handler: ExchangeHandler,
  exchange: ClientExchange,
  options: HttpServiceOptions,
): Promise<void> {
  try {
    await handler(exchange)
    if (!exchange.done) throw new TypeError('handler ended without answering')
  } catch (error) {
    if (exchange.answered || exchange.signal.aborted) return exchange.abort(messageOf(error))
    try {
      await options.onError(exchange, error)
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
