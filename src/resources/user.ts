// Users. What proves who they are (password, second factors) is kept elsewhere and never part of the resource.

import { badParameter } from '../errors.ts'
import { parseEnvelope, resourceOf } from './envelope.ts'
import type { Fields } from './fields.ts'
import type { Resource } from './resource.ts'

export interface UserStatus {
  readonly is_locked: boolean
  readonly locked_message?: string
  readonly locked_time?: string
  readonly lock_expires?: string
}

export interface UserSpec {
  readonly roles: readonly string[]
  readonly traits: Readonly<Record<string, readonly string[]>>
  readonly status: UserStatus
  readonly created_by?: unknown
}

export type User = Resource<'user', UserSpec>

const reservedNames = ['system', '-teleport-internal-join']

export function parseUser(value: unknown): User {
  const envelope = parseEnvelope(value, { kind: 'user', versions: ['v2'] })
  if (reservedNames.includes(envelope.metadata.name))
    throw badParameter(`user name ${JSON.stringify(envelope.metadata.name)} is reserved`)
  const spec = envelope.fields.nested('spec', (fields): UserSpec => {
    fields.ignore('oidc_identities', 'saml_identities', 'github_identities', 'expires', 'trusted_device_ids')
    const createdBy = fields.raw('created_by')
    return {
      roles: fields.texts('roles'),
      traits: fields.textLists('traits'),
      status: fields.nested('status', parseStatus),
      ...(createdBy === undefined ? {} : { created_by: createdBy }),
    }
  })
  return resourceOf(envelope, spec)
}

function parseStatus(fields: Fields): UserStatus {
  fields.ignore('recovery_attempt_lock_expires')
  const [message, since, until] = [
    fields.optionalText('locked_message'),
    fields.optionalText('locked_time'),
    fields.optionalText('lock_expires'),
  ]
  return {
    is_locked: fields.flag('is_locked', false),
    ...(message ? { locked_message: message } : {}),
    ...(since ? { locked_time: since } : {}),
    ...(until ? { lock_expires: until } : {}),
  }
}
