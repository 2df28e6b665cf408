// One request: joins the client's half with an upstream, or with an answer of our own.

import { Readable } from 'node:stream'
import { connectionProblem, messageOf } from '../errors.ts'
import type { Connection } from '../net/connection.ts'
import type { ClientSide } from './client-side.ts'
import type {
  Exchange,
  ForwardOptions,
  ForwardOutcome,
  HeaderList,
  OutgoingHead,
  ResponseHead,
  UpgradeOptions,
  UpgradeOutcome,
} from './exchange.ts'
import { endToEnd, headerValue, withLength } from './headers.ts'
import { pump } from './pump.ts'
import { announcedLength } from './request-guard.ts'
import { relayUpgrade } from './upgrade.ts'
import { readAll, type Upstream } from './upstream.ts'
import { engineOf } from './upstream-engine.ts'
import type { UpstreamAnswer, UpstreamRequest } from './upstream-request.ts'

export class ClientExchange implements Exchange {
  readonly connection: Connection
  readonly #client: ClientSide
  readonly #gone = new AbortController()
  #answered = false
  #done = false

  constructor(connection: Connection, client: ClientSide) {
    this.connection = connection
    this.#client = client
    client.onGone(() => this.#gone.abort())
  }

  get request() {
    return this.#client.request
  }

  get signal(): AbortSignal {
    return this.#gone.signal
  }

  get answered(): boolean {
    return this.#answered
  }

  /** Whether something has ended the exchange. */
  get done(): boolean {
    return this.#done || this.signal.aborted
  }

  async forward(
    upstream: Upstream,
    head: OutgoingHead,
    options: ForwardOptions = {},
  ): Promise<ForwardOutcome> {
    const hasBody = options.body !== undefined || this.request.hasBody
    const { request, answer } = await engineOf(upstream).open(
      options.body === undefined ? head : withLength(head, options.body.length),
      { hasBody, signal: this.signal },
    )
    const cancel = () => request.cancel()
    this.signal.addEventListener('abort', cancel, { once: true })
    if (this.signal.aborted) cancel()
    let sent = () => options.body?.length ?? 0
    if (options.body !== undefined) {
      request.body.end(options.body)
      request.kick()
    } else if (hasBody) sent = this.#sendBody(request)
    try {
      return await this.#relay(await answer, { request, options, sent })
    } catch (error) {
      cancel()
      if (this.#answered) this.#cut()
      throw error
    } finally {
      this.signal.removeEventListener('abort', cancel)
    }
  }

  // The announced length goes on to the server, which may read by it: bytes beyond it would be a request of their own
  // on a connection that others share.
  #sendBody(request: UpstreamRequest): () => number {
    const { body } = this.#client
    const announced = announcedLength(this.request.headers)
    const moved = pump(body, request.body, request.kick)
    const cancel = () => request.cancel()
    if (announced !== undefined)
      body.on('data', () => {
        if (moved() <= announced) return
        cancel()
        this.#cut()
      })
    body.once('end', () => {
      if (announced !== undefined && moved() !== announced) return cancel()
      request.body.end()
      request.kick()
    })
    body.once('aborted', cancel)
    body.once('error', cancel)
    // An answer that comes before the body is through leaves a server that reads no more.
    request.body.once('close', () => body.resume())
    return moved
  }

  #relay(
    answer: UpstreamAnswer,
    { request, options, sent }: { request: UpstreamRequest; options: ForwardOptions; sent: () => number },
  ): Promise<ForwardOutcome> {
    const client = this.#client
    const changed = options.response?.(answer.head) ?? answer.head
    const bodyless = hasNoBody(this.request.method, changed.status)
    const { promise, resolve } = Promise.withResolvers<ForwardOutcome>()
    client.respond({ status: changed.status, headers: endToEnd(changed.headers) }, bodyless)
    this.#answered = true
    const received = bodyless ? drop(answer.body) : pump(answer.body, client.response, client.kick)
    const settle = (complete: boolean) => {
      if (this.#done) return
      this.#done = true
      if (!complete) {
        request.cancel()
        client.cut()
      } else if (!bodyless) {
        client.finish(endToEnd(answer.trailers()))
        client.kick()
      }
      resolve({ status: answer.head.status, complete, bytesSent: sent(), bytesReceived: received() })
    }
    // An end is not a proof of completeness: a connection that is cut ends its bodies, too.
    answer.body.once('end', () => settle(answer.whole(received())))
    answer.body.once('error', () => settle(false))
    answer.body.once('aborted', () => settle(false))
    answer.body.once('close', () => settle(false))
    if (this.signal.aborted) settle(false)
    else this.signal.addEventListener('abort', () => settle(false), { once: true })
    return promise
  }

  async upgrade(
    upstream: Upstream,
    head: OutgoingHead,
    options: UpgradeOptions = {},
  ): Promise<UpgradeOutcome> {
    const { upgrade } = this.#client
    if (!upgrade) throw new TypeError('this request does not ask for an upgrade')
    const outcome = await relayUpgrade({
      engine: engineOf(upstream),
      head,
      protocol: headerValue(this.request.headers, 'upgrade') ?? '',
      client: upgrade,
      options,
      refuse: (refusal, body) => this.answer(refusal, body),
      answered: () => {
        this.#answered = true
        this.#done = true
      },
    })
    this.#done = true
    return outcome
  }

  async answer(head: ResponseHead, body?: Uint8Array | string | ReadableStream<Uint8Array>): Promise<void> {
    if (this.#answered) throw new TypeError('an exchange is answered once')
    const client = this.#client
    const none = hasNoBody(this.request.method, head.status)
    if (body instanceof ReadableStream) {
      client.respond(head, none)
      this.#answered = true
      if (!none) return this.#stream(body)
      await body.cancel()
    } else {
      const bytes = typeof body === 'string' ? Buffer.from(body) : (body ?? new Uint8Array())
      const last = none || bytes.length === 0
      client.respond(isBodyStatus(head.status) ? withLength(head, bytes.length) : head, last)
      this.#answered = true
      if (!last) {
        client.response.write(bytes)
        client.finish([])
        client.kick()
      }
    }
    this.#done = true
  }

  /** For the engine: a request that no handler sees. */
  refuse(fault: string): Promise<void> {
    const headers: HeaderList = [['content-type', 'text/plain']]
    // What follows on an HTTP/1.1 connection cannot be told apart any more.
    const closing: HeaderList = this.request.protocol === 'h2' ? [] : [['connection', 'close']]
    return this.answer({ status: 400, headers: [...headers, ...closing] }, `${fault}\n`)
  }

  #stream(body: ReadableStream<Uint8Array>): Promise<void> {
    const client = this.#client
    const source = Readable.fromWeb(body)
    return new Promise((resolve, reject) => {
      pump(source, client.response, client.kick)
      source.once('end', () => {
        this.#done = true
        client.finish([])
        client.kick()
        resolve()
      })
      source.once('error', (error) => {
        // Our own end of a stream whose client is gone.
        if (this.signal.aborted) return resolve()
        this.#cut()
        reject(error)
      })
      const gone = () => {
        source.destroy()
        this.#done = true
        resolve()
      }
      if (this.signal.aborted) gone()
      else this.signal.addEventListener('abort', gone, { once: true })
    })
  }

  async readBody(limit: number): Promise<Uint8Array> {
    if (!this.request.hasBody) return new Uint8Array()
    const { body } = this.#client
    try {
      return await readAll(body, limit)
    } catch (error) {
      if (this.signal.aborted)
        throw connectionProblem(`the client went away: ${messageOf(error)}`, { cause: error })
      throw error
    }
  }

  abort(_reason: string): void {
    this.#cut()
  }

  #cut(): void {
    this.#done = true
    this.#gone.abort()
    this.#client.cut()
  }
}

function hasNoBody(method: string, status: number): boolean {
  return method === 'HEAD' || !isBodyStatus(status)
}

function isBodyStatus(status: number): boolean {
  return status !== 204 && status !== 304
}

/** Lets a body that nobody wants pass. */
function drop(body: Readable): () => number {
  body.resume()
  return () => 0
}
