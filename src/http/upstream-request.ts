// One request to an upstream as the two halves of the engine see it, whichever protocol carries it.

import { Agent, type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http'
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2'
import type { Duplex, Readable, Writable } from 'node:stream'
import { messageOf } from '../errors.ts'
import type { HeaderList, OutgoingHead, ResponseHead } from './exchange.ts'
import { fromRaw, headerValue, toRecord } from './headers.ts'
import { type Kick, noKick, sessionKick } from './pump.ts'

export interface UpstreamAnswer {
  readonly head: ResponseHead
  readonly body: Readable
  /** At the body's end: whether all of it came. A connection that was cut ends a body without an error. */
  whole(received: number): boolean
  trailers(): HeaderList
}

export interface UpstreamRequest {
  /** Where the request body goes; ended already when there is none. */
  readonly body: Writable
  readonly kick: Kick
  readonly answer: Promise<UpstreamAnswer>
  /** Tells the server that nobody waits any more. */
  cancel(): void
}

/** The connection could not take the request, and nothing of it was acted on. */
export class NotSent extends Error {
  override readonly name = 'NotSent'
}

export interface RequestOptions {
  readonly hasBody: boolean
  /** For HTTP's own needs. */
  readonly authority: string
  readonly scheme: 'http' | 'https'
}

const refusedStream = 7

/** An HTTP/2 session, the stream that carries it, and how far a GOAWAY said the server went. */
export interface Http2Carrier {
  readonly session: ClientHttp2Session
  readonly carrier: Duplex
  lastStream: number
}

/** A request on an HTTP/2 session. */
export function requestOverH2(
  connection: Http2Carrier,
  { head, options }: { head: OutgoingHead; options: RequestOptions },
): UpstreamRequest {
  const { session, carrier } = connection
  let stream: ClientHttp2Stream
  try {
    stream = session.request(
      {
        ...toRecord(head.headers),
        ':method': head.method,
        ':path': head.target,
        ':scheme': options.scheme,
        ':authority': options.authority,
      },
      { endStream: !options.hasBody },
    )
  } catch (cause) {
    throw new NotSent(messageOf(cause), { cause })
  }
  let trailers: HeaderList = []
  stream.on('trailers', (_headers, _flags, raw?: string[]) => {
    trailers = fromRaw(raw ?? [])
  })
  // Only at the end itself can a whole body be told from a cut one: later, the stream is gone in both cases.
  let alive = false
  stream.once('end', () => {
    alive = stream.rstCode === 0 && stream.session !== undefined && !stream.session.destroyed
  })
  const answer = new Promise<UpstreamAnswer>((resolve, reject) => {
    stream.once('response', (headers, _flags, raw?: string[]) => {
      const list = fromRaw(raw ?? [])
      resolve({
        head: { status: headers[':status'] ?? 0, headers: list },
        body: stream,
        whole: (received) => alive && lengthAgrees(head.method, headers[':status'] ?? 0, { list, received }),
        trailers: () => trailers,
      })
    })
    // A proof that nothing was acted on: the server said so, or the stream never got a number.
    const untouched = () =>
      stream.rstCode === refusedStream ||
      stream.id === undefined ||
      stream.id === 0 ||
      stream.id > connection.lastStream
    stream.on('error', (error) =>
      reject(untouched() ? new NotSent(messageOf(error), { cause: error }) : error),
    )
    stream.once('close', () =>
      reject(
        untouched()
          ? new NotSent('the connection was closed')
          : new Error('the server closed the stream without an answer'),
      ),
    )
  })
  // Whoever cancels does not wait for the answer.
  answer.catch(() => undefined)
  return {
    body: stream,
    kick: sessionKick(session, carrier),
    answer,
    cancel: () => {
      // NO_ERROR would read as a complete request; CANCEL is what a client that lost interest says.
      if (!stream.destroyed) stream.close(8)
    },
  }
}

function lengthAgrees(
  method: string,
  status: number,
  { list, received }: { list: HeaderList; received: number },
): boolean {
  const length = headerValue(list, 'content-length')
  if (length === undefined || method === 'HEAD' || status === 204 || status === 304) return true
  return Number(length) === received
}

/** An agent whose connections come from `dial`; they are kept for a while and used again. */
export function createKeepAliveAgent(dial: () => Promise<Duplex>): Agent {
  const agent = new Agent({ keepAlive: true, maxFreeSockets: 32, maxSockets: 1024, timeout: 0 })
  const create = (_options: unknown, done?: (error: Error | null, socket: Duplex) => void): undefined => {
    dial().then(
      (socket) => done?.(null, socket),
      (error: Error) => Reflect.apply(done ?? noKick, undefined, [error]),
    )
    return undefined
  }
  return Object.assign(agent, { createConnection: create })
}

/** A request over HTTP/1.1 on a connection of this agent. */
export function requestOverH1(
  agent: Agent,
  { head, options }: { head: OutgoingHead; options: RequestOptions },
): UpstreamRequest {
  const request: ClientRequest = requestHttp({
    agent,
    method: head.method,
    path: head.target,
    headers: { ...toRecord(head.headers), host: options.authority },
    setHost: false,
  })
  const answer = new Promise<UpstreamAnswer>((resolve, reject) => {
    request.once('response', (message: IncomingMessage) => {
      const list = fromRaw(message.rawHeaders)
      const status = message.statusCode ?? 0
      resolve({
        head: { status, headers: list },
        body: message,
        whole: (received) => message.complete && lengthAgrees(head.method, status, { list, received }),
        trailers: () => fromRaw(message.rawTrailers),
      })
    })
    request.once('error', (error) => {
      // A server may close a kept connection just when it is used again. It may also have acted and died: only what
      // changes nothing is asked twice (RFC 9112 9.3.1).
      reject(
        request.reusedSocket && ['GET', 'HEAD', 'OPTIONS'].includes(head.method)
          ? new NotSent(messageOf(error), { cause: error })
          : error,
      )
    })
    request.once('close', () => reject(new Error('the server closed the connection without an answer')))
  })
  answer.catch(() => undefined)
  if (!options.hasBody) request.end()
  else request.flushHeaders()
  return { body: request, kick: noKick, answer, cancel: () => void request.destroy() }
}
