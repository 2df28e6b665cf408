// How people prove who they are: one per cluster.

import { badParameter } from '../errors.ts'
import { parseEnvelope, resourceOf } from './envelope.ts'
import type { Fields } from './fields.ts'
import type { Resource } from './resource.ts'

export interface ClusterAuthPreferenceSpec {
  readonly type: string
  readonly second_factor: 'off' | 'otp' | 'webauthn' | 'on' | 'optional'
  readonly connector_name: string
  readonly allow_local_auth: boolean
  readonly require_session_mfa: boolean
  readonly locking_mode: 'best_effort' | 'strict'
  readonly disconnect_expired_cert: boolean
  readonly message_of_the_day: string
  /** Go duration. */
  readonly default_session_ttl: string
}

export type ClusterAuthPreference = Resource<'cluster_auth_preference', ClusterAuthPreferenceSpec>

export const authPreferenceName = 'cluster-auth-preference'

export function parseClusterAuthPreference(value: unknown): ClusterAuthPreference {
  const envelope = parseEnvelope(value, {
    kind: 'cluster_auth_preference',
    versions: ['v2'],
    name: authPreferenceName,
  })
  return resourceOf(envelope, envelope.fields.nested('spec', parseAuthPreferenceSpec))
}

export function parseAuthPreferenceSpec(fields: Fields): ClusterAuthPreferenceSpec {
  const type = fields.text('type', 'local')
  if (!['local', 'github', 'oidc', 'saml'].includes(type))
    throw badParameter(`authentication type ${JSON.stringify(type)} not supported`)
  const lockingMode = fields.text('locking_mode', 'best_effort')
  if (lockingMode !== 'best_effort' && lockingMode !== 'strict')
    throw badParameter(`locking mode ${JSON.stringify(lockingMode)} not supported`)
  const mfa = fields.raw('require_session_mfa')
  fields.ignore(
    'allow_passwordless',
    'allow_headless',
    'device_trust',
    'signature_algorithm_suite',
    'idp',
    'hardware_key',
    'u2f',
    'okta',
    'stable_unix_user_config',
  )
  return {
    type,
    second_factor: secondFactor(fields),
    connector_name: fields.text('connector_name'),
    allow_local_auth: fields.flag('allow_local_auth', true),
    require_session_mfa:
      mfa === 'session' || (typeof mfa === 'string' && mfa.startsWith('hardware_key'))
        ? true
        : fields.flag('require_session_mfa', false),
    locking_mode: lockingMode,
    disconnect_expired_cert: fields.flag('disconnect_expired_cert', false),
    message_of_the_day: fields.text('message_of_the_day'),
    default_session_ttl: fields.duration('default_session_ttl', '12h0m0s'),
  }
}

function secondFactor(fields: Fields): ClusterAuthPreferenceSpec['second_factor'] {
  const single = fields.raw('second_factor')
  const several = fields.texts('second_factors')
  const webauthn = fields.raw('webauthn')
  if (single !== undefined && several.length > 0)
    throw badParameter('must set either SecondFactor or SecondFactors, not both')
  if (several.length > 0) {
    for (const one of several)
      if (!['otp', 'webauthn', 'sso'].includes(one))
        throw badParameter(`second factor type ${JSON.stringify(one)} not supported`)
    if (!several.includes('otp'))
      throw badParameter('missing a local second factor method for local users (otp, webauthn)')
    return several.includes('webauthn') && webauthn !== undefined ? 'on' : 'otp'
  }
  if (single === undefined || single === '') return 'otp'
  // YAML 1.1 reads a bare on or off as a boolean.
  const text = single === true ? 'on' : single === false ? 'off' : fields.text('second_factor')
  const known = text === 'u2f' ? 'webauthn' : text
  if (known !== 'off' && known !== 'otp' && known !== 'webauthn' && known !== 'on' && known !== 'optional') {
    throw badParameter(`second factor type ${JSON.stringify(text)} not supported`)
  }
  if (known === 'webauthn' && webauthn === undefined)
    throw badParameter('missing required webauthn configuration')
  return known
}
