// DER, as much of it as certificates need (X.690). Writing is our own because the general library issues a few
// hundred certificates a second; reading covers names, whose attribute values must come back byte for byte.

const utf8 = new TextEncoder()

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

export const sequence = (...contents: readonly Uint8Array[]) => element(0x30, ...contents)
export const set = (...contents: readonly Uint8Array[]) => element(0x31, ...contents)
export const octetString = (content: Uint8Array) => element(0x04, content)
export const bitString = (content: Uint8Array, unused = 0) => element(0x03, Uint8Array.of(unused), content)
export const utf8String = (text: string) => element(0x0c, utf8.encode(text))
export const boolean = (value: boolean) => element(0x01, Uint8Array.of(value ? 0xff : 0))
export const explicit = (tag: number, content: Uint8Array) => element(0xa0 | tag, content)

/** A non-negative integer from its big-endian bytes. */
export function integer(bytes: Uint8Array): Uint8Array {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start++
  const significant = bytes.subarray(start)
  return element(0x02, ...((significant[0] ?? 0) & 0x80 ? [Uint8Array.of(0)] : []), significant)
}

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
  const encoded = element(0x06, Uint8Array.from(octets))
  identifiers.set(dotted, encoded)
  return encoded
}

/** UTCTime up to 2049, GeneralizedTime after, as RFC 5280 4.1.2.5 has it. Whole seconds. */
export function time(milliseconds: number): Uint8Array {
  const text = `${new Date(milliseconds).toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`
  const year = Number(text.slice(0, 4))
  return year < 2050 ? element(0x17, utf8.encode(text.slice(2))) : element(0x18, utf8.encode(text))
}

/** A PEM block of these bytes. */
export function toPem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
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
    let length = byteAt(bytes, at + 1)
    let start = at + 2
    if (length >= 0x80) {
      const count = length & 0x7f
      if (count === 0 || count > 4) throw new RangeError('DER length is not definite or too long')
      length = 0
      for (let index = 0; index < count; index++) length = length * 256 + byteAt(bytes, start + index)
      start += count
    }
    if (start + length > bytes.length) throw new RangeError('DER element is cut short')
    elements.push({
      tag,
      content: bytes.subarray(start, start + length),
      bytes: bytes.subarray(at, start + length),
    })
    at = start + length
  }
  return elements
}

/** The dotted form of an identifier's content. */
export function readObjectIdentifier(content: Uint8Array): string {
  const first = byteAt(content, 0)
  const arcs = [Math.min(2, Math.floor(first / 40))]
  arcs.push(first - (arcs[0] ?? 0) * 40)
  let arc = 0
  for (const octet of content.subarray(1)) {
    arc = arc * 128 + (octet & 0x7f)
    if ((octet & 0x80) === 0) {
      arcs.push(arc)
      arc = 0
    }
  }
  return arcs.join('.')
}

function byteAt(bytes: Uint8Array, index: number): number {
  const byte = bytes[index]
  if (byte === undefined) throw new RangeError('DER element is cut short')
  return byte
}
