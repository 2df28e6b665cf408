// Serves exchanges with a function from Request to Response, as web frameworks have it. The URL is built on a fixed
// name: frameworks find the path by searching the URL, and a client's Host header must not decide where it begins.

import type { Exchange } from './exchange.ts'
import { endToEnd } from './headers.ts'

export interface FetchBridgeOptions {
  /** Larger request bodies are refused. @default 4 MiB */
  bodyLimit?: number
}

const defaultBodyLimit = 4 << 20

export async function serveFetch(
  exchange: Exchange,
  handler: (request: Request) => Promise<Response>,
  { bodyLimit = defaultBodyLimit }: FetchBridgeOptions = {},
): Promise<void> {
  const { method, target, headers, hasBody } = exchange.request
  if (!target.startsWith('/')) {
    return exchange.answer({ status: 400, headers: [['content-type', 'text/plain']] }, 'bad request target')
  }
  const bodyless = method === 'GET' || method === 'HEAD'
  if (hasBody && bodyless) {
    return exchange.answer(
      { status: 400, headers: [['content-type', 'text/plain']] },
      `${method} takes no body`,
    )
  }
  const body = hasBody ? await exchange.readBody(bodyLimit) : undefined
  const request = new Request(`https://teleport.internal${target}`, {
    method,
    headers: new Headers(endToEnd(headers).map(([name, value]): [string, string] => [name, value])),
    signal: exchange.signal,
    ...(body && body.length > 0 ? { body } : {}),
  })
  const response = await handler(request)
  const head = { status: response.status, headers: [...response.headers] }
  await exchange.answer(head, response.body ?? undefined)
}
