// Who may read and write resources: the `rules` of roles for people, a fixed table for our own processes. Deny first.

import { accessDenied } from '../errors.ts'
import type { Identity } from '../identity/identity.ts'
import type { ResourceRule, Role } from '../resources/role.ts'

export type ResourceVerb = 'list' | 'create' | 'read' | 'readnosecrets' | 'update' | 'delete'

/** What processes may do, by system role. `Admin` is the data directory's own identity. */
const processRules: Readonly<Record<string, readonly ResourceRule[]>> = {
  Admin: [{ resources: ['*'], verbs: ['*'] }],
  Auth: [{ resources: ['*'], verbs: ['*'] }],
  Proxy: [
    {
      resources: [
        'role',
        'user',
        'kube_server',
        'proxy',
        'lock',
        'cluster_name',
        'cluster_auth_preference',
        'cluster_networking_config',
        'session_recording_config',
        'cert_authority',
      ],
      verbs: ['list', 'readnosecrets'],
    },
  ],
  Kube: [
    {
      resources: [
        'role',
        'kube_server',
        'lock',
        'cluster_name',
        'cluster_auth_preference',
        'cluster_networking_config',
        'session_recording_config',
        'cert_authority',
      ],
      verbs: ['list', 'readnosecrets'],
    },
    { resources: ['kube_cluster'], verbs: ['list', 'read'] },
  ],
  Instance: [],
  Nop: [],
}

/** What every user may read: without it nobody could ask for anything. */
const implicitRules: readonly ResourceRule[] = [
  {
    resources: [
      'cluster_auth_preference',
      'cluster_name',
      'cluster_networking_config',
      'session_recording_config',
    ],
    verbs: ['readnosecrets', 'list'],
  },
]

export interface RuleQuestion {
  readonly identity: Identity
  /** The roles a user has; empty for a process. */
  readonly roles: readonly Role[]
}

/** Throws `access-denied` unless the caller may do this with resources of this kind. */
export function checkRule({ identity, roles }: RuleQuestion, verb: ResourceVerb, kind: string): void {
  if (allowsRule({ identity, roles }, verb, kind)) return
  const name = identity.type === 'user' ? identity.username : identity.hostId
  throw accessDenied(`access denied to perform action ${JSON.stringify(verb)} on ${JSON.stringify(kind)}`, {
    hint: `${identity.type} ${JSON.stringify(name)} has no rule that allows it`,
  })
}

export function allowsRule({ identity, roles }: RuleQuestion, verb: ResourceVerb, kind: string): boolean {
  if (identity.type === 'host') {
    return identity.roles.some((role) => (processRules[role] ?? []).some((rule) => covers(rule, verb, kind)))
  }
  if (roles.some((role) => role.spec.deny.rules.some((rule) => covers(rule, verb, kind)))) return false
  return [
    ...implicitRules,
    ...roles.flatMap((role) => role.spec.allow.rules.filter((rule) => rule.where === undefined)),
  ].some((rule) => covers(rule, verb, kind))
}

// A rule with a condition allows nothing until conditions are evaluated; in a deny it denies whatever the condition.
function covers(rule: ResourceRule, verb: ResourceVerb, kind: string): boolean {
  if (!rule.resources.includes('*') && !rule.resources.includes(kind)) return false
  if (rule.verbs.includes('*') || rule.verbs.includes(verb)) return true
  // Who may read everything may read the part without secrets.
  return verb === 'readnosecrets' && rule.verbs.includes('read')
}
