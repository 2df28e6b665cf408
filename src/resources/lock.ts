// Locks: while one is there, whoever it targets gets nowhere.

import { badParameter } from '../errors.ts'
import { parseEnvelope, resourceOf } from './envelope.ts'
import type { Resource } from './resource.ts'

export const lockTargets = [
  'user',
  'role',
  'login',
  'node',
  'server_id',
  'mfa_device',
  'windows_desktop',
  'access_request',
  'device',
  'bot_instance_id',
  'join_token',
] as const
export type LockTarget = (typeof lockTargets)[number]

export interface LockSpec {
  readonly target: Readonly<Partial<Record<LockTarget, string>>>
  readonly message?: string
  /** RFC 3339. */
  readonly expires?: string
}

export type Lock = Resource<'lock', LockSpec>

export function parseLock(value: unknown): Lock {
  const envelope = parseEnvelope(value, { kind: 'lock', versions: ['v2'] })
  const spec = envelope.fields.nested('spec', (fields): LockSpec => {
    const target = fields.nested('target', (inner) =>
      Object.fromEntries(
        lockTargets.map((name) => [name, inner.text(name)] as const).filter(([, one]) => one !== ''),
      ),
    )
    if (Object.keys(target).length === 0) throw badParameter('at least one target field must be set')
    const message = fields.optionalText('message')
    const expires = fields.optionalText('expires')
    if (expires && Number.isNaN(Date.parse(expires)))
      throw badParameter('spec.expires must be a time such as 2026-01-31T12:00:00Z')
    fields.ignore('created_at', 'created_by')
    return {
      target,
      ...(message ? { message } : {}),
      ...(expires ? { expires: new Date(expires).toISOString() } : {}),
    }
  })
  return resourceOf(envelope, spec)
}
