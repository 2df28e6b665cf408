// Whether a lock is in force for somebody, and in which words they are told.

import type { Identity } from '../identity/identity.ts'
import type { Lock, LockTarget } from '../resources/lock.ts'

const targetNames: Readonly<Partial<Record<LockTarget, string>>> = {
  user: 'User',
  role: 'Role',
  login: 'Login',
  node: 'Node',
  server_id: 'ServerID',
  mfa_device: 'MFADevice',
  access_request: 'AccessRequest',
  device: 'Device',
  bot_instance_id: 'BotInstanceID',
  join_token: 'JoinToken',
}

/** The refusal for this identity, or undefined when no lock is in force. */
export function lockedBecause(
  locks: readonly Lock[],
  identity: Identity,
  now: number = Date.now(),
): string | undefined {
  for (const lock of locks) {
    if (lock.spec.expires && Date.parse(lock.spec.expires) <= now) continue
    const targets = Object.entries(lock.spec.target)
    // All targets of one lock must apply.
    if (targets.length === 0 || !targets.every(([target, value]) => applies(target, value, identity)))
      continue
    const named = targets.map(([target, value]) => `${nameOf(target)}:${JSON.stringify(value)}`).join(' ')
    const message = lock.spec.message ? `: ${lock.spec.message}` : ''
    return `lock targeting ${named} is in force${message}`
  }
  return undefined
}

function nameOf(target: string): string {
  return Object.entries(targetNames).find(([name]) => name === target)?.[1] ?? target
}

function applies(target: string, value: string | undefined, identity: Identity): boolean {
  if (value === undefined) return false
  if (identity.type === 'host')
    return (target === 'server_id' || target === 'node') && identity.hostId === value
  switch (target) {
    case 'user':
      return identity.username === value
    case 'role':
      return identity.roles.includes(value)
    case 'login':
      return identity.logins.includes(value)
    case 'mfa_device':
      return identity.mfaDevice === value
    case 'access_request':
      return identity.accessRequests.includes(value)
    case 'bot_instance_id':
      return identity.botInstance === value
    default:
      return false
  }
}
