// Provision tokens: what a process must prove to join, and as what. For the token method the name is the secret.

import { badParameter } from '../errors.ts'
import { parseEnvelope, resourceOf } from './envelope.ts'
import type { Fields } from './fields.ts'
import type { Resource } from './resource.ts'

export interface TokenSpec {
  readonly roles: readonly string[]
  readonly join_method: string
  readonly bot_name?: string
  readonly suggested_labels?: Readonly<Record<string, readonly string[]>>
  /** Of the method, as given. */
  readonly rules: Readonly<Record<string, unknown>>
}

export type Token = Resource<'token', TokenSpec>

const roleNames = [
  'Node',
  'Proxy',
  'Auth',
  'Kube',
  'App',
  'Db',
  'WindowsDesktop',
  'Discovery',
  'Bot',
  'Trusted_cluster',
  'Instance',
  'Okta',
  'MDM',
]
const methods = [
  'token',
  'ec2',
  'iam',
  'kubernetes',
  'github',
  'gitlab',
  'gcp',
  'azure',
  'circleci',
  'spacelift',
  'bitbucket',
  'terraform_cloud',
  'tpm',
  'oracle',
  'bound_keypair',
  'azure_devops',
  'env0',
]

export function parseToken(value: unknown): Token {
  const envelope = parseEnvelope(value, { kind: 'token', versions: ['v2'] })
  return resourceOf(envelope, envelope.fields.nested('spec', parseSpec))
}

/** The system role a user means, e.g. `Kube` for `kube`. Throws `bad-parameter` when there is none. */
export function parseSystemRole(text: string): string {
  const role = roleNames.find((name) => name.toLowerCase() === text.toLowerCase())
  if (!role)
    throw badParameter(`invalid role name: ${JSON.stringify(text)}`, {
      hint: `use one of ${roleNames.join(', ')}`,
    })
  return role
}

function parseSpec(fields: Fields): TokenSpec {
  const roles = fields.texts('roles').map(parseSystemRole)
  if (roles.length === 0) throw badParameter('provisioning token is missing roles')
  const hasAllow = fields.has('allow')
  const method = fields.text('join_method') || (hasAllow ? 'ec2' : 'token')
  if (!methods.includes(method)) throw badParameter(`unknown join method ${JSON.stringify(method)}`)
  const botName = fields.optionalText('bot_name')
  if (roles.includes('Bot') && !botName) throw badParameter('token with role "Bot" must set bot_name')
  if (!roles.includes('Bot') && botName) throw badParameter('can only set bot_name on token with role "Bot"')
  if (method === 'token' && hasAllow)
    throw badParameter('allow rules are not compatible with the "token" join method')
  const labels = fields.textLists('suggested_labels')
  fields.ignore('suggested_agent_matcher_labels', 'aws_iid_ttl')
  const rules = methodRules(fields, method)
  return {
    roles,
    join_method: method,
    ...(botName ? { bot_name: botName } : {}),
    ...(Object.keys(labels).length > 0 ? { suggested_labels: labels } : {}),
    rules,
  }
}

function methodRules(fields: Fields, method: string): Record<string, unknown> {
  const allow = fields.raw('allow')
  const own = fields.raw(method)
  switch (method) {
    case 'token':
      return {}
    case 'ec2':
    case 'iam':
      if (!Array.isArray(allow) || allow.length === 0)
        throw badParameter(`the ${JSON.stringify(method)} join method requires defined token allow rules`)
      return { allow }
    case 'kubernetes':
      return { kubernetes: fields.nested('kubernetes', parseKubernetes) }
    case 'github':
    case 'gitlab':
    case 'gcp':
    case 'azure':
      if (own === undefined)
        throw badParameter(
          `${JSON.stringify(method)} configuration must be provided for join method ${JSON.stringify(method)}`,
        )
      return { [method]: own }
    default:
      return own === undefined ? {} : { [method]: own }
  }
}

function parseKubernetes(fields: Fields): Record<string, unknown> {
  const type = fields.text('type', 'in_cluster')
  const allow = fields.list('allow', (rule) => ({ service_account: rule.text('service_account') }))
  if (allow.length === 0)
    throw badParameter('the "kubernetes" join method requires defined kubernetes allow rules')
  for (const [index, rule] of allow.entries()) {
    if (!/^[^:]+:[^:]+$/.test(rule.service_account)) {
      throw badParameter(
        `allow[${index}]: service account rule format is "namespace:service_account", got ${JSON.stringify(rule.service_account)} instead`,
      )
    }
  }
  const keys = fields.raw('static_jwks')
  if (type === 'static_jwks' && keys === undefined) throw badParameter('static_jwks requires jwks')
  const oidc = fields.raw('oidc')
  return {
    type,
    allow,
    ...(keys === undefined ? {} : { static_jwks: keys }),
    ...(oidc === undefined ? {} : { oidc }),
  }
}

export function formatToken(token: Token): Resource {
  const { rules, ...spec } = token.spec
  return { ...token, spec: { ...spec, ...rules } }
}
