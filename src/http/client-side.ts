// What an exchange needs of the client's half, whichever protocol it speaks.

import type { Duplex, Readable, Writable } from 'node:stream'
import type { HeaderList, RequestHead, ResponseHead } from './exchange.ts'
import type { Kick } from './pump.ts'

export interface ClientSide {
  readonly request: RequestHead
  /** The request body; paused until somebody reads it. */
  readonly body: Readable
  /** Where the response body goes once `respond` was called. */
  readonly response: Writable
  readonly kick: Kick
  /** Sends the response head; `last` when no body follows. */
  respond(head: ResponseHead, last: boolean): void
  /** Ends the response in order. */
  finish(trailers: HeaderList): void
  /** Ends it so that the client cannot take it for complete. */
  cut(): void
  /** Calls back once, when the client is gone or has cancelled before the response was complete. */
  onGone(callback: () => void): void
  /** The raw connection, for a request that asks to leave HTTP/1.1. */
  readonly upgrade?: { readonly socket: Duplex; readonly rest: Uint8Array }
}
