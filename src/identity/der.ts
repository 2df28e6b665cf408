// DER, as much of it as certificates need (X.690). Our own because the general library issues a few hundred
// certificates a second, and because what is verified and what is read must be the same bytes by the same reader.
// The reader is strict: one tag octet, the shortest length, nothing left over.

const encoder = new TextEncoder()
const utf8Bytes = (text: string) => encoder.encode(text)

/** Tags of the elements that certificates are made of. */
export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

/** One element: identifier octet, length, content. */
export function element(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const length = contents.reduce((sum, content) => sum + content.length, 0)
  const header = lengthOctets(length)
  const bytes = new Uint8Array(1 + header.length + length)
  bytes[0] = tag
  bytes.set(header, 1)
  let at = 1 + header.length
  for (const content of contents) {
    bytes.set(content, at)
    at += content.length
  }
  return bytes
}

function lengthOctets(length: number): number[] {
  if (length < 0x80) return [length]
  const octets: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256)
  return [0x80 | octets.length, ...octets]
}

export const sequence = (...contents: readonly Uint8Array[]) => element(tags.sequence, ...contents)
export const set = (...contents: readonly Uint8Array[]) => element(tags.set, ...contents)
export const octetString = (content: Uint8Array) => element(tags.octetString, content)
export const bitString = (content: Uint8Array, unused = 0) =>
  element(tags.bitString, Uint8Array.of(unused), content)
export const utf8String = (text: string) => element(tags.utf8String, utf8Bytes(text))
export const boolean = (value: boolean) => element(tags.boolean, Uint8Array.of(value ? 0xff : 0))
export const explicit = (tag: number, content: Uint8Array) => element(0xa0 | tag, content)

/** A non-negative integer from its big-endian bytes. */
export function integer(bytes: Uint8Array): Uint8Array {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start++
  const significant = bytes.subarray(start)
  const sign = (significant[0] ?? 0) & 0x80 ? [Uint8Array.of(0)] : []
  return element(tags.integer, ...sign, significant)
}

// Only constants of ours are looked up here, so it stays small.
const identifiers = new Map<string, Uint8Array>()

export function objectIdentifier(dotted: string): Uint8Array {
  const known = identifiers.get(dotted)
  if (known) return known
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const octets = [first * 40 + second]
  for (const arc of rest) {
    const groups = [arc & 0x7f]
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
      groups.unshift((left & 0x7f) | 0x80)
    octets.push(...groups)
  }
  const encoded = element(tags.objectIdentifier, Uint8Array.from(octets))
  identifiers.set(dotted, encoded)
  return encoded
}

/** UTCTime up to 2049, GeneralizedTime after, as RFC 5280 4.1.2.5 has it. Whole seconds. */
export function time(milliseconds: number): Uint8Array {
  const text = `${new Date(milliseconds).toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`
  // Years of more than four digits begin with a sign.
  if (!/^\d{14}Z$/.test(text)) throw new RangeError('date is outside of what a certificate can say')
  const year = Number(text.slice(0, 4))
  return 1950 <= year && year < 2050
    ? element(tags.utcTime, utf8Bytes(text.slice(2)))
    : element(tags.generalizedTime, utf8Bytes(text))
}

export interface Element {
  readonly tag: number
  readonly content: Uint8Array
  /** The whole element, header included. */
  readonly bytes: Uint8Array
}

/** The elements one after another in `bytes`. Throws a RangeError on anything that is not DER. */
export function readElements(bytes: Uint8Array): Element[] {
  const elements: Element[] = []
  let at = 0
  while (at < bytes.length) {
    const tag = byteAt(bytes, at)
    if ((tag & 0x1f) === 0x1f) throw new RangeError('DER tag has more than one octet')
    const { length, start } = readLength(bytes, at + 1)
    const end = start + length
    if (end > bytes.length) throw new RangeError('DER element is cut short')
    elements.push({ tag, content: bytes.subarray(start, end), bytes: bytes.subarray(at, end) })
    at = end
  }
  return elements
}

function readLength(bytes: Uint8Array, at: number): { length: number; start: number } {
  const first = byteAt(bytes, at)
  if (first < 0x80) return { length: first, start: at + 1 }
  const count = first & 0x7f
  if (count === 0 || count > 4) throw new RangeError('DER length is not definite or too long')
  let length = 0
  for (let index = 1; index <= count; index++) length = length * 256 + byteAt(bytes, at + index)
  if (length < 0x80 || length < 256 ** (count - 1)) throw new RangeError('DER length is not the shortest')
  return { length, start: at + 1 + count }
}

/** The one element that `bytes` are, if its tag is this one. */
export function readElement(bytes: Uint8Array, tag: number): Element {
  const [only, ...more] = readElements(bytes)
  if (!only || more.length > 0 || only.tag !== tag)
    throw new RangeError(`DER is not one element of tag ${tag}`)
  return only
}

/** The elements inside of an element, which must have this tag. */
export function readInside(outer: Element | undefined, tag: number): Element[] {
  if (outer?.tag !== tag) throw new RangeError(`DER element of tag ${tag} is missing`)
  return readElements(outer.content)
}

/** The dotted form of an identifier's content. */
export function readObjectIdentifier(content: Uint8Array): string {
  const first = byteAt(content, 0)
  const root = Math.min(2, Math.floor(first / 40))
  const arcs = [root, first - root * 40]
  let arc = 0
  for (const octet of content.subarray(1)) {
    arc = arc * 128 + (octet & 0x7f)
    if (arc > 0xffffffff) throw new RangeError('object identifier is too large')
    if ((octet & 0x80) === 0) {
      arcs.push(arc)
      arc = 0
    }
  }
  if (byteAt(content, content.length - 1) & 0x80 && content.length > 1)
    throw new RangeError('object identifier is cut short')
  return arcs.join('.')
}

/** Milliseconds since the epoch. */
export function readTime({ tag, content }: Element): number {
  const text = Buffer.from(content).toString('latin1')
  const short = tag === tags.utcTime
  const parts = (
    short ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/ : /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/
  ).exec(text)
  if (!parts || (!short && tag !== tags.generalizedTime)) throw new RangeError('DER time is malformed')
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.slice(1).map(Number)
  const full = short ? (year < 50 ? 2000 + year : 1900 + year) : year
  const milliseconds = Date.UTC(full, month - 1, day, hour, minute, second)
  // A month 13 or an hour 25 would silently become another date.
  const same = new Date(milliseconds).toISOString().replace(/[-:T]/g, '').slice(0, 14)
  if (same !== `${String(full).padStart(4, '0')}${text.slice(short ? 2 : 4, -1)}`)
    throw new RangeError('DER time is malformed')
  return milliseconds
}

function byteAt(bytes: Uint8Array, index: number): number {
  const byte = bytes[index]
  if (byte === undefined) throw new RangeError('DER element is cut short')
  return byte
}
