// The server half for HTTP/1.1.

import { createServer as createHttp1Server, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { messageOf } from '../errors.ts'
import { createLogger } from '../log.ts'
import type { Connection } from '../net/connection.ts'
import { resetStream } from '../net/duplex.ts'
import { ClientExchange } from './client-exchange.ts'
import { http1Client } from './http1-client.ts'
import { createLife, createPatience, type Half, type HalfOptions, type Patience } from './server-half.ts'

const log = createLogger('http')

/** Idle HTTP/1.1 connections between requests. HTTP/2 clients ping. */
const keepAliveTimeoutMs = 120_000
/** Turns the requests of HTTP/1.1 connections into exchanges, upgrades included. */
export function createHttp1Half({ serve, maxHeaderBytes, headersTimeoutMs }: HalfOptions): Half {
  const server = createHttp1Server({
    maxHeaderSize: maxHeaderBytes,
    // Ours run instead; uploads and watches take as long as they take.
    headersTimeout: 0,
    requestTimeout: 0,
    keepAliveTimeout: 0,
  })
  server.timeout = 0
  /** Connections and how many of their requests are running. */
  const sockets = new Map<Duplex, { connection: Connection; patience: Patience; running: number }>()
  const life = createLife()
  let draining = false
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    const entry = sockets.get(request.socket)
    if (!entry) return void request.socket.destroy()
    entry.running++
    entry.patience.stop()
    response.once('close', () => {
      entry.running--
      if (entry.running > 0) return
      if (draining) request.socket.end()
      else entry.patience.start(keepAliveTimeoutMs)
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
    entry.patience.stop()
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
      const patience = createPatience(carrier)
      patience.start(headersTimeoutMs)
      sockets.set(carrier, { connection, patience, running: 0 })
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
