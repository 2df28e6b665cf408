// Roles, versions v3 to v8. What is given is checked and kept as given; what is absent gets its version's default, so
// that a role read back means what it meant when it was written.

import { badParameter } from '../errors.ts'
import { type Envelope, parseEnvelope, resourceOf } from './envelope.ts'
import type { Fields } from './fields.ts'
import { type KubernetesResourceRule, parseKubernetesResources } from './kubernetes-resources.ts'
import type { Resource } from './resource.ts'
import { checkTemplate } from './template.ts'

export const roleVersions = ['v8', 'v7', 'v6', 'v5', 'v4', 'v3'] as const
export type LabelMatchers = Readonly<Record<string, readonly string[]>>

export interface ResourceRule {
  readonly resources: readonly string[]
  readonly verbs: readonly string[]
  readonly where?: string
}

export interface RoleConditions {
  readonly logins: readonly string[]
  readonly kubernetes_labels: LabelMatchers
  readonly kubernetes_labels_expression?: string
  readonly kubernetes_groups: readonly string[]
  readonly kubernetes_users: readonly string[]
  /** Absent in a deny, and in an allow whose version has no default. */
  readonly kubernetes_resources: readonly KubernetesResourceRule[]
  readonly rules: readonly ResourceRule[]
  readonly impersonate?: { readonly users: readonly string[]; readonly roles: readonly string[] }
  readonly require_session_join: readonly unknown[]
  readonly join_sessions: readonly unknown[]
  /** Fields of other features, kept so that reading and writing a role loses nothing. */
  readonly other: Readonly<Record<string, unknown>>
}

export interface RoleOptions {
  /** Go durations. */
  readonly max_session_ttl: string
  readonly client_idle_timeout: string
  readonly disconnect_expired_cert: boolean
  readonly require_session_mfa: boolean
  readonly pin_source_ip: boolean
  readonly max_kubernetes_connections: number
  readonly max_connections: number
  readonly max_sessions: number
  readonly lock: string
  readonly record_session: 'strict' | 'best_effort'
  readonly other: Readonly<Record<string, unknown>>
}

export interface RoleSpec {
  readonly allow: RoleConditions
  readonly deny: RoleConditions
  readonly options: RoleOptions
}

export type Role = Resource<'role', RoleSpec>

const otherConditions = [
  'node_labels',
  'node_labels_expression',
  'app_labels',
  'app_labels_expression',
  'db_labels',
  'db_labels_expression',
  'db_names',
  'db_users',
  'db_roles',
  'db_service_labels',
  'db_service_labels_expression',
  'db_permissions',
  'cluster_labels',
  'cluster_labels_expression',
  'windows_desktop_labels',
  'windows_desktop_labels_expression',
  'windows_desktop_logins',
  'desktop_groups',
  'host_groups',
  'host_sudoers',
  'aws_role_arns',
  'azure_identities',
  'gcp_service_accounts',
  'request',
  'review_requests',
  'group_labels',
  'group_labels_expression',
  'spiffe',
  'github_permissions',
  'account_assignments',
  'workload_identity_labels',
  'workload_identity_labels_expression',
  'mcp',
  'namespaces',
] as const

const otherOptions = [
  'forward_agent',
  'cert_format',
  'port_forwarding',
  'ssh_port_forwarding',
  'permit_x11_forwarding',
  'request_access',
  'request_prompt',
  'enhanced_recording',
  'ssh_file_copy',
  'cert_extensions',
  'create_host_user',
  'create_host_user_mode',
  'create_host_user_default_shell',
  'create_desktop_user',
  'create_db_user',
  'create_db_user_mode',
  'desktop_clipboard',
  'desktop_directory_sharing',
  'device_trust_mode',
  'idp',
  'mfa_verification_interval',
  'session_recording',
] as const

export function parseRole(value: unknown): Role {
  const envelope = parseEnvelope(value, {
    kind: 'role',
    versions: roleVersions,
    badVersion: (version) => `unrecognized role version: ${version}`,
  })
  const spec = envelope.fields.nested('spec', (fields) => parseSpec(fields, envelope))
  return resourceOf(envelope, spec)
}

function parseSpec(fields: Fields, { version }: Envelope<'role'>): RoleSpec {
  return {
    allow: fields.nested('allow', (inner) => parseConditions(inner, { version, deny: false })),
    deny: fields.nested('deny', (inner) => parseConditions(inner, { version, deny: true })),
    options: fields.nested('options', parseOptions),
  }
}

function parseConditions(
  fields: Fields,
  { version, deny }: { version: string; deny: boolean },
): RoleConditions {
  const logins = templates(fields, 'logins')
  if (!deny && logins.includes('*')) throw badParameter('wildcard matcher is not allowed in logins')
  const labels = labelMatchers(fields, 'kubernetes_labels')
  // v3 reaches every cluster unless it says otherwise; later versions reach none.
  const kubernetesLabels =
    !deny && version === 'v3' && !fields.has('kubernetes_labels') ? { '*': ['*'] } : labels
  const expression = fields.optionalText('kubernetes_labels_expression')
  const hasLabels = Object.keys(kubernetesLabels).length > 0 || expression !== undefined
  return {
    logins,
    kubernetes_labels: kubernetesLabels,
    ...(expression ? { kubernetes_labels_expression: expression } : {}),
    kubernetes_groups: templates(fields, 'kubernetes_groups'),
    kubernetes_users: templates(fields, 'kubernetes_users'),
    kubernetes_resources: parseKubernetesResources(fields, { version, deny, hasLabels }),
    rules: fields.list('rules', parseRule),
    ...(fields.has('impersonate') ? { impersonate: fields.nested('impersonate', parseImpersonate) } : {}),
    require_session_join: listOfAnything(fields, 'require_session_join'),
    join_sessions: listOfAnything(fields, 'join_sessions'),
    other: keep(fields, otherConditions),
  }
}

const ruleVerbs = [
  '*',
  'list',
  'create',
  'read',
  'readnosecrets',
  'update',
  'delete',
  'rotate',
  'use',
  'enroll',
  'create_enroll_token',
]

function parseRule(fields: Fields): ResourceRule {
  const resources = fields.texts('resources')
  const verbs = fields.texts('verbs')
  const where = fields.optionalText('where')
  fields.ignore('actions')
  if (resources.length === 0)
    throw badParameter(`${fields.at('resources')} must name a kind of resource or *`)
  for (const verb of verbs)
    if (!ruleVerbs.includes(verb))
      throw badParameter(`${fields.at('verbs')}: ${JSON.stringify(verb)} is not a verb`, {
        hint: `use one of ${ruleVerbs.join(', ')}`,
      })
  return { resources, verbs, ...(where ? { where } : {}) }
}

function parseImpersonate(fields: Fields): { users: string[]; roles: string[] } {
  fields.ignore('where')
  return { users: fields.texts('users'), roles: fields.texts('roles') }
}

function parseOptions(fields: Fields): RoleOptions {
  const lock = fields.text('lock')
  if (!['', 'strict', 'best_effort'].includes(lock))
    throw badParameter(`invalid value for role option lock: ${lock}`)
  const mfa = fields.raw('require_session_mfa')
  return {
    max_session_ttl: fields.duration('max_session_ttl', '30h0m0s'),
    client_idle_timeout: fields.duration('client_idle_timeout', '0s'),
    disconnect_expired_cert: fields.flag('disconnect_expired_cert', false),
    require_session_mfa:
      typeof mfa === 'string' && mfa.startsWith('hardware_key')
        ? true
        : mfa === 'session' || fields.flag('require_session_mfa', false),
    pin_source_ip: fields.flag('pin_source_ip', false),
    max_kubernetes_connections: fields.count('max_kubernetes_connections', 0),
    max_connections: fields.count('max_connections', 0),
    max_sessions: fields.count('max_sessions', 0),
    lock,
    record_session: recordSession(fields),
    other: keep(fields, otherOptions),
  }
}

function recordSession(fields: Fields): 'strict' | 'best_effort' {
  return fields.nested('record_session', (inner) => {
    const mode = inner.text('default', 'best_effort')
    inner.ignore('ssh', 'desktop')
    if (mode !== 'strict' && mode !== 'best_effort')
      throw badParameter(`invalid value for role option record_session: ${mode}`)
    return mode
  })
}

function templates(fields: Fields, name: string): string[] {
  const values = fields.texts(name)
  for (const value of values) checkTemplate(value, fields.at(name))
  return values
}

function labelMatchers(fields: Fields, name: string): Record<string, string[]> {
  const labels = fields.textLists(name)
  for (const [key, values] of Object.entries(labels)) {
    if (key === '*' && !(values.length === 1 && values[0] === '*'))
      throw badParameter('selector *:<val> is not supported')
    for (const value of values) checkTemplate(value, fields.at(name))
  }
  return labels
}

function listOfAnything(fields: Fields, name: string): unknown[] {
  const value = fields.raw(name)
  if (value === undefined) return []
  if (!Array.isArray(value)) throw badParameter(`${fields.at(name)} must be a list`)
  return value
}

function keep(fields: Fields, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(names.filter((name) => fields.has(name)).map((name) => [name, fields.raw(name)]))
}

/** The role as files and the API have it. */
export function formatRole(role: Role): Resource {
  const { allow, deny, options } = role.spec
  return {
    ...role,
    spec: { allow: formatConditions(allow), deny: formatConditions(deny), options: formatOptions(options) },
  }
}

function formatConditions({ other, ...conditions }: RoleConditions): Record<string, unknown> {
  const given = Object.entries({ ...other, ...conditions }).filter(([, value]) => !isEmpty(value))
  return Object.fromEntries(given.sort(([left], [right]) => (left < right ? -1 : 1)))
}

function formatOptions({ other, record_session, ...options }: RoleOptions): Record<string, unknown> {
  const given = { ...other, ...options, record_session: { default: record_session } }
  return Object.fromEntries(
    Object.entries(given)
      .filter(([, value]) => value !== '' && value !== 0 && value !== '0s' && value !== false)
      .sort(([left], [right]) => (left < right ? -1 : 1)),
  )
}

function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}
