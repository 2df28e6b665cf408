// One request: joins the client's half with an upstream, or with an answer of our own.

import { Readable } from 'node:stream'
import { connectionProblem, messageOf } from '../errors.ts'
import type { Connection } from '../net/connection.ts'
import type { ClientSide } from './client-side.ts'
import type {
  Exchange,
  ForwardOptions,
  ForwardOutcome,
  OutgoingHead,
  ResponseHead,
  UpgradeOptions,
  UpgradeOutcome,
} from './exchange.ts'
import { endToEnd, headerValue } from './headers.ts'
import { pump } from './pump.ts'
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
    const { request, answer } = await engineOf(upstream).open(head, hasBody)
    const cancel = () => request.cancel()
    this.signal.addEventListener('abort', cancel, { once: true })
    if (this.signal.aborted) cancel()
    let sent = () => options.body?.length ?? 0
    if (options.body !== undefined) request.body.end(options.body)
    else if (hasBody) sent = this.#sendBody(request)
    try {
      const response = await answer
      return await this.#relay(response, { request, options, sent })
    } catch (error) {
      cancel()
      if (!this.#answered) throw error
      this.#cut()
      throw error
    } finally {
      this.signal.removeEventListener('abort', cancel)
    }
  }

  #sendBody(request: UpstreamRequest): () => number {
    const { body } = this.#client
    const moved = pump(body, request.body, request.kick)
    body.once('end', () => {
      request.body.end()
      request.kick()
    })
    body.once('aborted', () => request.cancel())
    body.once('error', () => request.cancel())
    return moved
  }

  #relay(
    answer: UpstreamAnswer,
    { request, options, sent }: { request: UpstreamRequest; options: ForwardOptions; sent: () => number },
  ): Promise<ForwardOutcome> {
    const client = this.#client
    const changed = options.response?.(answer.head) ?? answer.head
    const bodyless = this.request.method === 'HEAD' || [204, 304].includes(changed.status)
    const { promise, resolve } = Promise.withResolvers<ForwardOutcome>()
    this.#answered = true
    client.respond({ status: changed.status, headers: endToEnd(changed.headers) }, bodyless)
    const received = pump(answer.body, client.response, client.kick)
    const settle = (complete: boolean) => {
      if (this.#done) return
      this.#done = true
      if (!complete) {
        request.cancel()
        client.cut()
      } else if (!bodyless) {
        client.finish(answer.trailers())
        client.kick()
      }
      resolve({ status: answer.head.status, complete, bytesSent: sent(), bytesReceived: received() })
    }
    // An end is not a proof of completeness: a connection that is cut ends its bodies, too.
    answer.body.once('end', () => settle(answer.whole(received())))
    answer.body.once('error', () => settle(false))
    answer.body.once('aborted', () => settle(false))
    answer.body.once('close', () => settle(false))
    this.signal.addEventListener('abort', () => settle(false), { once: true })
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
    this.#answered = true
    const client = this.#client
    if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) {
      const bytes = typeof body === 'string' ? Buffer.from(body) : (body ?? new Uint8Array())
      const last = this.request.method === 'HEAD' || bytes.length === 0
      client.respond({ ...head, headers: [...head.headers, ['content-length', String(bytes.length)]] }, last)
      if (!last) {
        client.response.write(bytes)
        client.finish([])
        client.kick()
      }
      this.#done = true
      return
    }
    client.respond(head, false)
    await this.#stream(body)
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
