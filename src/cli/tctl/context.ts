// What every tctl command gets besides its own input: how to reach auth, and where its words go.

import type { AuthClient } from '../../api/operations.ts'

export interface Output {
  /** What the command was asked for; the only thing on standard output. */
  out(text: string): void
  /** Everything else: progress, hints, warnings. */
  note(text: string): void
}

export interface TctlContext extends Output {
  client: AuthClient
  /** Standard input, whole. */
  readInput(): Promise<string>
  /** Asks the person at the terminal; absent when nobody is there. */
  confirm?(question: string): Promise<boolean>
  readonly env: Readonly<Record<string, string | undefined>>
  /** @default Date.now */
  clock?: () => number
}
