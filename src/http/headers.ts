// Header lists: names in lower case, repeated names kept apart. What may never pass from one connection to another
// is decided here, once, for both protocols.

import type { OutgoingHttpHeaders } from 'node:http'
import { badParameter } from '../errors.ts'
import type { HeaderList } from './exchange.ts'

/** Headers that belong to one connection (RFC 9110 7.6.1) and to the framing that each side does anew. */
const connectionHeaders: ReadonlySet<string> = new Set([
  'connection',
  // Answered by the side that reads the body.
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
])

/** From the flat list of the platform's parsers (`name, value, name, value…`), without pseudo headers. */
export function fromRaw(raw: readonly string[]): HeaderList {
  const list: [string, string][] = []
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = (raw[index] ?? '').toLowerCase()
    if (!name.startsWith(':')) list.push([name, raw[index + 1] ?? ''])
  }
  return list
}

/** For the platform's writers, which take an array for a repeated name. */
export function toRecord(headers: HeaderList): OutgoingHttpHeaders {
  const record: Record<string, string | string[]> = Object.create(null)
  for (const [name, value] of headers) {
    checkHeader(name, value)
    const known = record[name]
    if (known === undefined) record[name] = value
    else record[name] = Array.isArray(known) ? [...known, value] : [known, value]
  }
  return record
}

/** Without what belongs to the connection the headers came on, including what its Connection header names. */
export function endToEnd(headers: HeaderList): HeaderList {
  const named = new Set<string>()
  for (const [name, value] of headers) {
    if (name === 'connection') for (const token of value.split(',')) named.add(token.trim().toLowerCase())
  }
  return headers.filter(([name]) => !connectionHeaders.has(name) && !named.has(name))
}

/** Throws when our own code puts a header there that is the engine's business. */
export function checkOutgoing(headers: HeaderList): void {
  for (const [name] of headers)
    if (connectionHeaders.has(name)) throw new TypeError(`header ${name} is written by the engine`)
}

/** The same head for a body of so many bytes. */
export function withLength<Head extends { readonly headers: HeaderList }>(head: Head, length: number): Head {
  const others = head.headers.filter(([name]) => name !== 'content-length')
  return { ...head, headers: [...others, ['content-length', String(length)]] }
}

/** The first value of a header. */
export function headerValue(headers: HeaderList, name: string): string | undefined {
  return headers.find(([one]) => one === name)?.[1]
}

/** Throws when a header cannot be written without becoming two. */
export function checkHeader(name: string, value: string): void {
  if (!/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(name))
    throw badParameter(`header name ${JSON.stringify(name)} is not a token`)
  if (/[\0\r\n]/.test(value)) throw badParameter(`header ${name} holds a control character`)
}
