// The hop: a connection's way into another process. A preamble says what the client's TLS handshake proved; after it
// come the client's bytes. Layout and rules are in SPEC.md. Encoding and decoding are pure, the wires are below.

import { badParameter, connectionProblem, limitExceeded, type TeleportError } from '../errors.ts'
import type { Connection, Sink, Wire } from './connection.ts'

const magic = Uint8Array.of(0x89, 0x48, 0x4f, 0x50)
const version = 1
const headBytes = 9
/** The whole preamble, head included. */
export const preambleLimit = 65_536
const certificateLimit = 8
/** A preamble must be whole by then. */
export const preambleDeadlineMs = 5_000

/** What crosses before the bytes. */
export interface Preamble extends Omit<Connection, 'wire'> {
  readonly target: HopTarget
}

export interface HopTarget {
  /** Teleport cluster; empty means the receiver's own. */
  readonly cluster: string
  /** Empty when the connection is for the Teleport cluster itself. */
  readonly kubernetesCluster: string
}

/** Throws `limit-exceeded` when it is longer than a preamble may be. */
export function encodePreamble({ protocol, serverName, client, target, peer }: Preamble): Uint8Array {
  if (peer.length > certificateLimit)
    throw limitExceeded(`a certificate chain holds at most ${certificateLimit} certificates`)
  const parts = [
    ...sized(Buffer.from(protocol)),
    ...sized(Buffer.from(serverName)),
    ...sized(Buffer.from(client.host)),
    u16(client.port),
    ...sized(Buffer.from(target.cluster)),
    ...sized(Buffer.from(target.kubernetesCluster)),
    Uint8Array.of(peer.length),
    ...peer.flatMap(sized),
  ]
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  if (headBytes + length > preambleLimit) throw limitExceeded('the certificate chain is too long for a hop')
  const head = Buffer.alloc(headBytes)
  head.set(magic)
  head.writeUInt8(version, 4)
  head.writeUInt32BE(length, 5)
  return Buffer.concat([head, ...parts])
}

function sized(bytes: Uint8Array): Uint8Array[] {
  if (bytes.length > 0xffff) throw limitExceeded('a field of a hop is too long')
  return [u16(bytes.length), bytes]
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 255)
}

export interface PreambleDecoder {
  /** The preamble, once it is whole; undefined until then. */
  readonly preamble: Preamble | undefined
  /** Takes what belongs to the preamble of `bytes[start, end)` and returns how much that was. Throws at a wrong byte. */
  push(bytes: Uint8Array, start: number, end: number): number
}

/** Reads one preamble from pieces of any size. */
export function createPreambleDecoder(): PreambleDecoder {
  // Grows with what has come, not with what was announced.
  let seen = Buffer.alloc(0)
  let preamble: Preamble | undefined
  return {
    get preamble() {
      return preamble
    },
    push(bytes, start, end) {
      if (preamble) return 0
      const before = seen.length
      seen = Buffer.concat([seen, bytes.subarray(start, Math.min(end, start + preambleLimit - before))])
      const total = totalLength(seen)
      if (total === undefined || seen.length < total) return seen.length - before
      preamble = decodeBody(seen.subarray(headBytes, total))
      seen = Buffer.alloc(0)
      return total - before
    },
  }
}

/** The preamble's length, or undefined while that is not known. Throws as soon as the head cannot be right. */
function totalLength(seen: Buffer): number | undefined {
  for (let index = 0; index < magic.length && index < seen.length; index++)
    if (seen[index] !== magic[index]) throw wrong('does not begin like one')
  if (seen.length > magic.length && seen[magic.length] !== version)
    throw wrong(`has version ${seen[magic.length]}, known is ${version}`)
  if (seen.length < headBytes) return undefined
  const total = headBytes + seen.readUInt32BE(5)
  if (total > preambleLimit) throw wrong(`is longer than ${preambleLimit} bytes`)
  return total
}

function decodeBody(body: Buffer): Preamble {
  let at = 0
  const take = (length: number) => {
    if (at + length > body.length) throw wrong('ends inside a field')
    at += length
    return body.subarray(at - length, at)
  }
  const number = (length: 1 | 2) => take(length).readUIntBE(0, length)
  const text = () => {
    try {
      // A byte order mark is part of the name, so that a name reads back as it was written.
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(take(number(2)))
    } catch (error) {
      throw error instanceof TypeError ? wrong('holds text that is not UTF-8') : error
    }
  }
  const protocol = text()
  if (protocol !== 'h2' && protocol !== 'http/1.1') throw wrong('names an unknown protocol')
  const serverName = text()
  const client = { host: text(), port: number(2) }
  const target = { cluster: text(), kubernetesCluster: text() }
  const count = number(1)
  if (count > certificateLimit) throw wrong(`holds more than ${certificateLimit} certificates`)
  const peer = Array.from({ length: count }, () => new Uint8Array(take(number(2))))
  if (at !== body.length) throw wrong('goes on after its last field')
  return { protocol, serverName, client, target, peer }
}

function wrong(what: string): TeleportError {
  return badParameter(`hop preamble ${what}`)
}

/** Starts a hop over a fresh stream: what is written to the returned wire follows the preamble. */
export function openHop(wire: Wire, preamble: Preamble): Wire {
  const bytes = encodePreamble(preamble)
  let sent = 0
  let ending = false
  const flush = () => {
    if (sent < bytes.length) sent += wire.write(bytes, sent, bytes.length)
    if (sent === bytes.length && ending) wire.end()
    return sent === bytes.length
  }
  flush()
  return {
    write: (data, start, end) => (flush() ? wire.write(data, start, end) : 0),
    end: () => {
      ending = true
      flush()
    },
    reset: () => wire.reset(),
    resume: () => wire.resume(),
    attach: (sink) =>
      wire.attach({
        data: (data, start, end) => sink.data(data, start, end),
        drained: () => {
          if (sent === bytes.length || flush()) sink.drained()
        },
        ended: () => sink.ended(),
        closed: (error) => sink.closed(error),
      }),
  }
}

export interface AcceptedHop {
  readonly connection: Connection
  readonly target: HopTarget
}

/**
 * Reads the preamble of a stream. Rejects, and resets the stream, when there is none that is right and in time.
 * Nothing it says is proved yet but the sender's word: the chain is the caller's to verify.
 */
export function acceptHop(
  wire: Wire,
  { deadlineMs = preambleDeadlineMs }: { deadlineMs?: number } = {},
): Promise<AcceptedHop> {
  const decoder = createPreambleDecoder()
  const rest = new LateWire(wire)
  return new Promise((resolve, reject) => {
    let failed = false
    let done = false
    const fail = (error: Error) => {
      if (failed) return
      failed = true
      clearTimeout(timer)
      wire.reset()
      reject(error)
    }
    const timer = setTimeout(
      () => fail(connectionProblem(`no hop preamble within ${deadlineMs / 1000} s`)),
      deadlineMs,
    )
    const early = () => fail(connectionProblem('the stream ended inside the hop preamble'))
    wire.attach({
      data: (bytes, start, end) => {
        if (failed) return end - start
        if (done) return rest.data(bytes, start, end)
        try {
          const taken = decoder.push(bytes, start, end)
          const { preamble } = decoder
          if (!preamble) return taken
          done = true
          clearTimeout(timer)
          const { target, ...head } = preamble
          resolve({ connection: { ...head, wire: rest }, target })
          return taken
        } catch (error) {
          fail(error instanceof Error ? error : new TypeError(String(error)))
          return end - start
        }
      },
      drained: () => rest.drained(),
      ended: () => (done ? rest.ended() : early()),
      closed: (error) => (done ? rest.closed(error) : early()),
    })
  })
}

/** A wire whose beginning somebody else has read: what comes before it gets a sink of its own waits. */
class LateWire implements Wire, Sink {
  readonly #wire: Wire
  #sink: Sink | undefined
  #ended = false
  #closed: { error: Error | undefined } | undefined

  constructor(wire: Wire) {
    this.#wire = wire
  }

  write(bytes: Uint8Array, start: number, end: number): number {
    return this.#wire.write(bytes, start, end)
  }
  end(): void {
    this.#wire.end()
  }
  reset(): void {
    this.#wire.reset()
  }
  resume(): void {
    this.#wire.resume()
  }

  attach(sink: Sink): void {
    if (this.#sink) throw new TypeError('a wire has one sink')
    this.#sink = sink
    const missed = { ended: this.#ended, closed: this.#closed }
    // Never inside the caller's call, like any wire.
    queueMicrotask(() => {
      if (missed.ended) sink.ended()
      if (missed.closed) sink.closed(missed.closed.error)
      else this.#wire.resume()
    })
  }

  data(bytes: Uint8Array, start: number, end: number): number {
    return this.#sink?.data(bytes, start, end) ?? 0
  }
  drained(): void {
    this.#sink?.drained()
  }
  ended(): void {
    this.#ended = true
    this.#sink?.ended()
  }
  closed(error?: Error): void {
    this.#closed = { error }
    this.#sink?.closed(error)
  }
}
