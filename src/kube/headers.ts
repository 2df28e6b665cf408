// Which of the client's headers go on to the API server: everything but what could make it believe something that is
// not true. Whole families go by prefix, whatever their spelling.

import { badParameter } from '../errors.ts'
import type { HeaderList } from '../http/exchange.ts'
import { endToEnd } from '../http/headers.ts'

const droppedNames: ReadonlySet<string> = new Set([
  'authorization',
  'cookie',
  'forwarded',
  'proxy-authorization',
  'via',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-url',
  'x-rewrite-url',
  'x-real-ip',
  'x-client-ip',
  'true-client-ip',
  'content-length',
  'expect',
])
const droppedPrefixes = ['impersonate-', 'x-forwarded-', 'x-remote-', 'teleport-', 'x-teleport-', 'proxy-']
/** The names an intermediary could take for one of ours. */
const underscored = ['impersonate_', 'x_remote_', 'x_forwarded_', 'teleport_', 'authorization_']

export interface ForwardedFor {
  /** The client's socket address. */
  readonly client: string
  /** The authority the client asked for. */
  readonly host: string
  /** The path prefix under which the API was reached, usually empty. */
  readonly path: string
}

/** The client's headers that go on, and where the request came from. */
export function forwardedHeaders(headers: HeaderList, from: ForwardedFor): HeaderList {
  for (const [name] of headers) {
    if (underscored.some((one) => name.startsWith(one)))
      throw badParameter(`header ${JSON.stringify(name)} is not allowed`)
  }
  if (headers.filter(([name]) => name === 'authorization').length > 1)
    throw badParameter('header "authorization" is there more than once')
  const kept = endToEnd(headers).filter(
    ([name]) => !droppedNames.has(name) && !droppedPrefixes.some((one) => name.startsWith(one)),
  )
  return [
    ...kept,
    ['x-forwarded-proto', 'https'],
    ...(from.host ? ([['x-forwarded-host', from.host]] as const) : []),
    ...(from.path ? ([['x-forwarded-path', from.path]] as const) : []),
    ['x-forwarded-for', from.client],
  ]
}
