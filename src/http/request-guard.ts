// What a request must be before any handler sees it. The platform's parsers let some of this through, and what one
// server reads as one request the next could read as two.

import type { HeaderList, RequestHead } from './exchange.ts'

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** Origin form, or the asterisk of OPTIONS; never white space, control characters or raw bytes above ASCII. */
const requestTarget = /^(?:\/[\x21-\x7e]*|\*)$/
/** RFC 9113 8.2.2: these belong to an HTTP/1.1 connection. `te: trailers` alone may be there. */
const notInHttp2: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
])

/** Why this request must be refused, or undefined when it is well-formed. */
export function malformed({ method, target, headers, protocol }: RequestHead): string | undefined {
  if (!token.test(method)) return 'malformed method'
  if (!requestTarget.test(target)) return 'malformed request target'
  let lengths = 0
  let coded = false
  for (const [name, value] of headers) {
    if (!token.test(name)) return 'malformed header name'
    if (/[\0\r\n]/.test(value)) return 'malformed header value'
    if (protocol === 'h2' && notInHttp2.has(name)) return `header ${name} has no place in HTTP/2`
    if (name === 'transfer-encoding') coded = true
    if (name !== 'content-length') continue
    lengths++
    if (!/^\d{1,15}$/.test(value)) return 'malformed content-length'
  }
  if (lengths > 1) return 'more than one content-length'
  return lengths > 0 && coded ? 'both content-length and transfer-encoding' : undefined
}

/** The length a message announces, or undefined when it announces none. */
export function announcedLength(headers: HeaderList): number | undefined {
  const value = headers.find(([name]) => name === 'content-length')?.[1]
  return value === undefined ? undefined : Number(value)
}
