// The server half for HTTP/2.

import { createServer as createHttp2Server, type Http2Session, type ServerHttp2Stream } from 'node:http2'
import { messageOf } from '../errors.ts'
import { createLogger } from '../log.ts'
import { resetStream } from '../net/duplex.ts'
import { ClientExchange } from './client-exchange.ts'
import { http2Client } from './http2-client.ts'
import { createLife, createPatience, type Half, type HalfOptions, type Served } from './server-half.ts'

const log = createLogger('http')

/** Window per stream: what one stalled request body may occupy. */
const initialWindowSize = 1 << 20
/** Watches of one client on one connection: dashboards open hundreds. */
const maxConcurrentStreams = 2000
/** Streams one connection may reset before it counts as an attack, refilled by a hundredth each second. */
const resetBudget = 1000

/** Turns the streams of HTTP/2 connections into exchanges, by the library's stream interface. */
export function createHttp2Half({ serve, maxHeaderBytes, headersTimeoutMs }: HalfOptions): Half {
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
    if (starting) {
      sessions.set(session, starting)
      const patience = createPatience(starting.carrier)
      patience.start(headersTimeoutMs)
      session.once('remoteSettings', () => patience.stop())
    }
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
