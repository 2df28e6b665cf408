// The client's half over HTTP/1.1.

import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import { type Duplex, PassThrough } from 'node:stream'
import { badParameter } from '../errors.ts'
import { resetStream } from '../net/duplex.ts'
import type { ClientSide } from './client-side.ts'
import { fromRaw, headerValue, toRecord } from './headers.ts'
import { noKick } from './pump.ts'

/** How much of a request body may wait in memory before the client is made to wait. */
const bodyHighWater = 1 << 20
const bodyLowWater = 1 << 18
/** How often a stopped client's body is looked at: a megabyte each time is more than a link carries. */
const releaseIntervalMs = 5

export type Http1Rest =
  | {
      readonly response: ServerResponse
      /** Whether the connection is to be closed after this answer. */
      readonly lastRequest: () => boolean
    }
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
    ? plainRequest(request, { head, ...rest })
    : upgradeRequest(request, { head, ...rest })
}

function plainRequest(
  request: IncomingMessage,
  {
    head,
    response,
    lastRequest,
  }: { head: ClientSide['request']; response: ServerResponse; lastRequest: () => boolean },
): ClientSide {
  if (head.hasBody) holdBack(request)
  let mustContinue = headerValue(head.headers, 'expect')?.toLowerCase() === '100-continue'
  return {
    request: head,
    get body() {
      if (mustContinue && !response.headersSent) response.writeContinue()
      mustContinue = false
      return request
    },
    response,
    kick: noKick,
    respond: (answer, last) => {
      if (response.headersSent || response.destroyed) return
      const headers = toRecord(answer.headers)
      // A client that was told not to send its body, or that still sends one nobody reads, starts anew.
      if (lastRequest() || mustContinue || (last && head.hasBody && !request.readableEnded))
        headers['connection'] = 'close'
      response.writeHead(answer.status, headers)
      if (last) response.end()
      else response.flushHeaders()
    },
    finish: (trailers) => {
      // Bun drops them on connections that were handed over; RFC 9110 6.5.1 lets an intermediary do so.
      if (trailers.length > 0) response.addTrailers(toRecord(trailers))
      response.end()
    },
    // A mere close is the proper end of an answer without a length.
    cut: () => resetStream(request.socket),
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
  // A reader that empties the buffer without a further chunk gives no event of its own.
  let timer: Timer | undefined
  const release = () => {
    if (!timer || request.readableLength > bodyLowWater) return
    clearInterval(timer)
    timer = undefined
    socket.resume()
  }
  const check = () => {
    if (request.readableLength <= bodyHighWater) return
    // Again each time: whoever reads the request starts its socket, too.
    socket.pause()
    timer ??= setInterval(release, releaseIntervalMs)
  }
  socket.on('data', check)
  request.once('close', () => {
    socket.off('data', check)
    if (!timer) return
    clearInterval(timer)
    socket.resume()
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
    cut: () => resetStream(socket),
    onGone: (callback) => {
      socket.once('close', () => {
        if (!finished) callback()
      })
    },
  }
}

function reason(status: number): string {
  return STATUS_CODES[status] ?? 'Unknown'
}
