// The world of a tctl command for tests: a client that answers what the test says, and ears for both outputs.

import type { AuthClient } from '../../../api/operations.ts'
import type { TctlContext } from '../context.ts'

export interface FakeContext extends TctlContext {
  readonly stdout: () => string
  readonly stderr: () => string
}

export function fakeContext(
  client: Partial<AuthClient>,
  more: { input?: string; env?: Record<string, string>; clock?: () => number } = {},
): FakeContext {
  let [stdout, stderr] = ['', '']
  return {
    client: onlyThese(client),
    out: (text) => void (stdout += text),
    note: (text) => void (stderr += text),
    readInput: async () => more.input ?? '',
    env: more.env ?? {},
    clock: more.clock ?? (() => Date.parse('2026-03-01T12:00:00Z')),
    stdout: () => stdout,
    stderr: () => stderr,
  }
}

/** A client whose other operations fail the test by their name. */
function onlyThese(client: Partial<AuthClient>): AuthClient {
  return new Proxy(client as AuthClient, {
    get(target, name, receiver) {
      const operation: unknown = Reflect.get(target, name, receiver)
      if (operation === undefined) throw new TypeError(`the command called ${String(name)}`)
      return operation
    },
  })
}

/** What a command that must fail says; fails itself when the command does not. */
export async function refusal(command: Promise<unknown>): Promise<string> {
  const error = await command.then(
    () => undefined,
    (one: unknown) => one,
  )
  if (error instanceof Error) return error.message
  throw new Error('the command was not refused')
}
