// The client's half over HTTP/1.1.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Duplex, PassThrough } from 'node:stream'
import { badParameter } from '../errors.ts'
import type { ClientSide } from './client-side.ts'
import { fromRaw, headerValue, toRecord } from './headers.ts'
import { noKick } from './pump.ts'

/** How much of a request body may wait in memory before the client is made to wait. */
const bodyHighWater = 1 << 20
const bodyLowWater = 1 << 18

export type Http1Rest =
  | { readonly response: ServerResponse }
  | { readonly upgrade: { readonly socket: Duplex; readonly rest: Uint8Array } }

export function http1Client(request: IncomingMessage, rest: Http1Rest): ClientSide {
  const headers = fromRaw(request.rawHeaders)
  const length = headerValue(headers, 'content-length')
  const hasBody =
    headerValue(headers, 'transfer-encoding') !== undefined || (length !== undefined && length !== '0')
  const head = {
    method: request.method ?? '',
    target: request.url ?? '',
    authority: headerValue(headers, 'host') ?? '',
    headers,
    protocol: 'http/1.1' as const,
    hasBody: hasBody && 'response' in rest,
    upgrade: 'upgrade' in rest ? (headerValue(headers, 'upgrade') ?? '').toLowerCase() : '',
  }
  return 'response' in rest
    ? plainRequest(request, { head, response: rest.response })
    : upgradeRequest(request, { head, ...rest })
}

function plainRequest(
  request: IncomingMessage,
  { head, response }: { head: ClientSide['request']; response: ServerResponse },
): ClientSide {
  holdBack(request)
  return {
    request: head,
    body: request,
    response,
    kick: noKick,
    respond: (answer, last) => {
      if (response.headersSent || response.destroyed) return
      response.writeHead(answer.status, toRecord(answer.headers))
      if (last) response.end()
      else response.flushHeaders()
    },
    finish: (trailers) => {
      if (trailers.length > 0)
        response.addTrailers(trailers.map(([name, value]): [string, string] => [name, value]))
      response.end()
    },
    cut: () => void request.socket.destroy(),
    onGone: (callback) => {
      response.once('close', () => {
        if (!response.writableFinished) callback()
      })
    },
  }
}

// On a socket that was handed over, Bun reads a body as fast as it comes, wanted or not: a client could fill the
// memory. So the socket is stopped while much of the body waits.
function holdBack(request: IncomingMessage): void {
  const { socket } = request
  let held = false
  const check = () => {
    if (!held && request.readableLength > bodyHighWater) {
      held = true
      socket.pause()
    }
  }
  const release = () => {
    if (!held || request.readableLength > bodyLowWater) return
    held = false
    socket.resume()
  }
  // A reader that empties the buffer without a further chunk gives no event of its own.
  const timer = setInterval(release, 20)
  timer.unref()
  socket.on('data', check)
  // Listening for data sets a stream flowing, so this waits until somebody else does.
  const follow = (event: string | symbol) => {
    if (event !== 'data') return
    request.off('newListener', follow)
    request.on('data', release)
  }
  request.on('newListener', follow)
  request.once('close', () => {
    clearInterval(timer)
    socket.off('data', check)
    if (held) socket.resume()
  })
}

/** An upgrade request has no response object: until the upstream has agreed, an answer is written by hand. */
function upgradeRequest(
  request: IncomingMessage,
  { head, upgrade }: { head: ClientSide['request']; upgrade: { socket: Duplex; rest: Uint8Array } },
): ClientSide {
  const { socket } = upgrade
  // What the client sends meanwhile stays in the kernel.
  socket.pause()
  const response = new PassThrough()
  response.on('data', (chunk: Uint8Array) => {
    if (!socket.write(chunk)) response.pause()
  })
  socket.on('drain', () => response.resume())
  let finished = false
  return {
    request: head,
    body: request,
    response,
    kick: noKick,
    upgrade,
    respond: (answer, last) => {
      const lines = answer.headers
        .filter(([name]) => !['connection', 'transfer-encoding', 'keep-alive'].includes(name))
        .map(([name, value]) => {
          if (/[\0\r\n]/.test(name + value)) throw badParameter('header holds a control character')
          return `${name}: ${value}\r\n`
        })
      socket.write(
        `HTTP/1.1 ${answer.status} ${reason(answer.status)}\r\n${lines.join('')}connection: close\r\n\r\n`,
      )
      if (last) {
        finished = true
        socket.end()
      }
    },
    finish: () => {
      finished = true
      response.end()
      response.once('end', () => socket.end())
    },
    cut: () => void socket.destroy(),
    onGone: (callback) => {
      socket.once('close', () => {
        if (!finished) callback()
      })
    },
  }
}

function reason(status: number): string {
  return status < 400 ? 'OK' : 'Error'
}
