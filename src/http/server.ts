// The engine on the platform's HTTP libraries: a service that turns connections into exchanges, HTTP/2 by its
// stream interface and HTTP/1.1 with upgrades. Where Bun's libraries leave a hole, the guard is here and says so.

import { messageOf } from '../errors.ts'
import { createLogger } from '../log.ts'
import type { Connection, Service } from '../net/connection.ts'
import { wireToDuplex } from '../net/duplex.ts'
import type { Exchange, ExchangeHandler } from './exchange.ts'
import type { ClientExchange } from './client-exchange.ts'
import { createHttp1Half } from './http1-server.ts'
import { createHttp2Half } from './http2-server.ts'
import { malformed } from './request-guard.ts'
import { headersTimeoutMs } from './server-half.ts'

const log = createLogger('http')

/** All headers of one request. Certificates and tokens are small; 300 groups fit. */
const defaultMaxHeaderBytes = 128 * 1024
export interface HttpServiceOptions {
  /** Answers an exchange whose handler threw before anything was sent. @default 500 in plain text */
  onError?: (exchange: Exchange, error: unknown) => Promise<void>
  /** All headers of one request. @default 128 KiB */
  maxHeaderBytes?: number
  /** @default headersTimeoutMs */
  headersTimeoutMs?: number
}

/** A service, and the ways to end it. */
export interface HttpService extends Service {
  (connection: Connection): void
  /** Tells clients to go elsewhere (GOAWAY, `connection: close`), waits for running requests, then cuts the rest. */
  drain(deadlineMs: number): Promise<void>
}

/** A service that parses HTTP and calls `handler` once per request. */
export function createHttpService(handler: ExchangeHandler, options: HttpServiceOptions = {}): HttpService {
  const { maxHeaderBytes = defaultMaxHeaderBytes, onError = answerPlainly } = options
  const serve = (exchange: ClientExchange) => void run(exchange, { handler, onError })
  const halfOptions = {
    serve,
    maxHeaderBytes,
    headersTimeoutMs: options.headersTimeoutMs ?? headersTimeoutMs,
  }
  const http2 = createHttp2Half(halfOptions)
  const http1 = createHttp1Half(halfOptions)
  const accept = (connection: Connection) => {
    const carrier = wireToDuplex(connection.wire)
    // The library, its request, and the relay of an upgrade each watch it; ten is too few.
    carrier.setMaxListeners(32)
    carrier.on('error', (error) => log.debug('connection failed', { error: messageOf(error) }))
    const half = connection.protocol === 'h2' ? http2 : http1
    half.accept({ connection, carrier })
  }
  const drain = async (deadlineMs: number) => {
    await Promise.all([http2.drain(deadlineMs), http1.drain(deadlineMs)])
  }
  return Object.assign(accept, { drain })
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
