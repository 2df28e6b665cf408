// What the two halves of the server have in common: what they are given, how long they wait, and how they end.

import type { Duplex } from 'node:stream'
import type { Connection } from '../net/connection.ts'
import type { ClientExchange } from './client-exchange.ts'

/** A client that has connected must have sent its first request head (HTTP/2: its settings) by then. */
export const headersTimeoutMs = 30_000

export interface Served {
  readonly connection: Connection
  readonly carrier: Duplex
}

export interface Half {
  accept(served: Served): void
  drain(deadlineMs: number): Promise<void>
}

export interface HalfOptions {
  readonly serve: (exchange: ClientExchange) => void
  readonly maxHeaderBytes: number
  readonly headersTimeoutMs: number
}

/** Waits until nothing is left, but no longer than a deadline. */
export function createLife() {
  let resolveEmpty: (() => void) | undefined
  return {
    empty: () => resolveEmpty?.(),
    ended: async (deadlineMs: number) => {
      const { promise, resolve } = Promise.withResolvers<void>()
      resolveEmpty = resolve
      const timer = setTimeout(resolve, deadlineMs)
      await promise
      clearTimeout(timer)
    },
  }
}

export interface Patience {
  /** Cuts the connection unless `stop` is called before. */
  start(milliseconds: number): void
  stop(): void
}

/** Bun's own timeouts do not run on connections that were handed over, so a client could sit on one for ever. */
export function createPatience(carrier: Duplex): Patience {
  let timer: Timer | undefined
  const stop = () => clearTimeout(timer)
  carrier.once('close', stop)
  return {
    start: (milliseconds) => {
      stop()
      if (!carrier.destroyed) timer = setTimeout(() => carrier.destroy(), milliseconds)
    },
    stop,
  }
}
