// Moves a body from one stream to another with back-pressure, and keeps Bun's HTTP/2 sessions moving.

import type { Http2Session } from 'node:http2'
import type { Duplex, Readable, Writable } from 'node:stream'

/** Called after bytes were written to a stream of this session. */
export type Kick = () => void

/** For streams that need none. */
export const noKick: Kick = () => {}

/**
 * Bun leaves DATA of one stream in its session's queue while another stream of the session waits for window, until
 * a frame arrives or the carrier drains. One synthetic drain per turn makes it look again.
 */
export function sessionKick(session: Http2Session, carrier: Duplex): Kick {
  let planned = false
  return () => {
    if (planned || session.destroyed) return
    planned = true
    queueMicrotask(() => {
      planned = false
      if (!carrier.destroyed) carrier.emit('drain')
    })
  }
}

/** Pipes without ending: what an end means is the caller's to say. Returns the number of bytes moved so far. */
export function pump(from: Readable, to: Writable, kick: Kick): () => number {
  let moved = 0
  from.on('data', (chunk: Uint8Array) => {
    moved += chunk.length
    if (to.destroyed || to.writableEnded) return
    if (!to.write(chunk)) from.pause()
    kick()
  })
  to.on('drain', () => from.resume())
  return () => moved
}
