// `tctl lock …`: cuts a user, role, device or process off until the lock is removed or expires.

import { randomUUID } from 'node:crypto'
import { badParameter } from '../../errors.ts'
import { parseDuration } from '../../resources/duration.ts'
import { parseLock } from '../../resources/lock.ts'
import type { TctlContext } from './context.ts'

export interface LockInput {
  /** Field of the lock's target and its value, e.g. `user: alice`. */
  target: Readonly<Record<string, string>>
  message?: string
  expires?: string
  ttl?: string
}

export async function lock(
  input: LockInput,
  { client, out, clock = Date.now }: TctlContext,
): Promise<number> {
  if (input.expires && input.ttl) throw badParameter('use only one of --expires and --ttl')
  const expires = input.ttl ? new Date(clock() + parseDuration(input.ttl)).toISOString() : input.expires
  const name = randomUUID()
  await client.createResource(
    parseLock({
      kind: 'lock',
      version: 'v2',
      metadata: { name },
      spec: {
        target: input.target,
        ...(input.message ? { message: input.message } : {}),
        ...(expires ? { expires } : {}),
      },
    }),
  )
  out(`Created a lock with name "${name}".\n`)
  return 0
}
