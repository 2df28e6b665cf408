// Access is a pure function from (identity, roles, cluster, request) to a `Grant` or a refusal. A `Grant` can
// only be made in this room, and the code that reaches an API server takes one as argument.
// Roles are compiled once per (roles, traits); a decision is then string compares. Deny always wins.

import { accessDenied, badParameter, notFound } from '../errors.ts'
import type { UserIdentity } from '../identity/identity.ts'
import type { ClusterAuthPreference } from '../resources/cluster-auth-preference.ts'
import type { ClusterNetworkingConfig } from '../resources/cluster-configs.ts'
import { parseDuration } from '../resources/duration.ts'
import { allowsEverything } from '../resources/kubernetes-resources.ts'
import type { Role, RoleConditions } from '../resources/role.ts'
import { compileExpression, type ExpressionUser } from './expression.ts'
import { compileLabels, type Labels, type LabelsMatcher } from './labels.ts'
import { expandAll } from './traits.ts'

// Not exported: nobody else can make one.
const granted = Symbol('granted')

/** Limits that live connections of this identity are held to. Times in milliseconds, 0 is none. */
export interface SessionLimits {
  readonly clientIdleTimeout: number
  readonly clientIdleTimeoutMessage: string
  /** When to cut the connection because the certificate has expired, milliseconds since the epoch. */
  readonly disconnectAt: number
  /** Kubernetes connections of this user at once, over the whole cluster. */
  readonly maxKubernetesConnections: number
  readonly recordSession: 'strict' | 'best_effort'
}

/** The right to send one request to one Kubernetes cluster as these principals. */
export interface Grant {
  readonly [granted]: true
  readonly username: string
  readonly kubernetesCluster: string
  /** Principals the roles allow; `impersonate.ts` picks from them what the API server will see. */
  readonly kubernetesUsers: readonly string[]
  /** Includes `system:authenticated`. */
  readonly kubernetesGroups: readonly string[]
  readonly limits: SessionLimits
}

interface CompiledRole {
  readonly name: string
  readonly allows: LabelsMatcher
  readonly denies: LabelsMatcher
  readonly users: readonly string[]
  readonly groups: readonly string[]
  readonly deniedUsers: readonly string[]
  readonly deniedGroups: readonly string[]
  /** Whether its object rules are everything; narrower ones give nothing until objects are told apart. */
  readonly everything: boolean
  readonly deniesObjects: boolean
  readonly maxSessionTtl: number
}

/** What the roles of one user come to, before a cluster is known. */
export interface Policy {
  readonly roles: readonly CompiledRole[]
  readonly options: {
    readonly clientIdleTimeout: number
    readonly disconnectExpiredCert: boolean
    readonly requireSessionMfa: boolean
    readonly pinSourceIp: boolean
    readonly maxKubernetesConnections: number
    readonly recordSession: 'strict' | 'best_effort'
  }
}

const wantsModeration = (role: Role) => role.spec.allow.require_session_join.length > 0

export function compilePolicy(roles: readonly Role[], identity: ExpressionUser): Policy {
  const options = roles.map((role) => role.spec.options)
  return {
    roles: roles.map((role) => compileRole(role, identity)),
    options: {
      clientIdleTimeout: smallestPositive(options.map((one) => parseDuration(one.client_idle_timeout))),
      disconnectExpiredCert: options.some((one) => one.disconnect_expired_cert),
      requireSessionMfa: options.some((one) => one.require_session_mfa),
      pinSourceIp: options.some((one) => one.pin_source_ip),
      maxKubernetesConnections: smallestPositive(options.map((one) => one.max_kubernetes_connections)),
      recordSession: options.some((one) => one.record_session === 'strict') ? 'strict' : 'best_effort',
    },
  }
}

function compileRole(role: Role, user: ExpressionUser): CompiledRole {
  const { traits } = user
  const { allow, deny, options } = role.spec
  const allowLabels = compileLabels(allow.kubernetes_labels, traits)
  const denyLabels = compileLabels(deny.kubernetes_labels, traits)
  return {
    name: role.metadata.name,
    allows: allowMatcher(allow, allowLabels, user),
    denies: denyMatcher(deny, denyLabels, user),
    users: expandAll(allow.kubernetes_users, traits),
    groups: expandAll(allow.kubernetes_groups, traits),
    deniedUsers: expandAll(deny.kubernetes_users, traits),
    deniedGroups: expandAll(deny.kubernetes_groups, traits),
    everything: allowsEverything(role.version, allow.kubernetes_resources),
    // Sessions that need a moderator cannot be held yet, so such a role lets nobody in either.
    deniesObjects: deny.kubernetes_resources.length > 0 || wantsModeration(role),
    maxSessionTtl: parseDuration(options.max_session_ttl),
  }
}

/** Labels and expression must both match when both are given. */
function allowMatcher(
  { kubernetes_labels, kubernetes_labels_expression }: RoleConditions,
  labels: LabelsMatcher,
  user: ExpressionUser,
): LabelsMatcher {
  if (kubernetes_labels_expression === undefined) return labels
  const expression = compileExpression(kubernetes_labels_expression, user)
  if (Object.keys(kubernetes_labels).length === 0) return expression
  return (given) => labels(given) && expression(given)
}

/** Either one denies. */
function denyMatcher(
  { kubernetes_labels_expression }: RoleConditions,
  labels: LabelsMatcher,
  user: ExpressionUser,
): LabelsMatcher {
  if (kubernetes_labels_expression === undefined) return labels
  const expression = compileExpression(kubernetes_labels_expression, user)
  return (given) => labels(given) || expression(given)
}

/** Whether the cluster is shown to this user at all. */
export function canSeeCluster(policy: Policy, labels: Labels): boolean {
  return policy.roles.some((role) => role.allows(labels)) && !policy.roles.some((role) => role.denies(labels))
}

export interface KubernetesQuestion {
  readonly identity: UserIdentity
  readonly policy: Policy
  readonly cluster: { readonly name: string; readonly labels: Labels }
  readonly preference: ClusterAuthPreference
  readonly networking: ClusterNetworkingConfig
  /** The client's socket address. */
  readonly clientAddress: string
}

const authenticated = 'system:authenticated'
/** A session is at least this long for the rule that only roles with a long enough life contribute. */
const shortestSessionMs = 3600_000

/** The right to send requests to this cluster, or a refusal in words. */
export function authorizeKubernetes(question: KubernetesQuestion): Grant {
  const { identity, policy, cluster, preference } = question
  checkPinnedAddress(question)
  if (
    (policy.options.requireSessionMfa || preference.spec.require_session_mfa) &&
    identity.mfaDevice === ''
  ) {
    throw accessDenied('session MFA is required, and per-session MFA is not supported in this build')
  }
  if (identity.accessRequests.length > 0 || identity.allowedResourceIds !== '') {
    throw accessDenied('certificates with access requests are not supported in this build')
  }
  if (!canSeeCluster(policy, cluster.labels))
    throw accessDenied(`kubernetes cluster ${JSON.stringify(cluster.name)} not found`)
  const { users, groups } = principals(policy, cluster)
  if (users.length === 0 && groups.length === 0) {
    throw notFound(
      "Your user's Teleport role does not allow Kubernetes access. Please ask cluster administrator to ensure your role has appropriate kubernetes_groups and kubernetes_users set.",
    )
  }
  return {
    [granted]: true,
    username: identity.username,
    kubernetesCluster: cluster.name,
    kubernetesUsers: users.length > 0 ? users : [identity.username],
    kubernetesGroups: groups.includes(authenticated) ? groups : [...groups, authenticated],
    limits: sessionLimits(question),
  }
}

function principals(
  policy: Policy,
  cluster: KubernetesQuestion['cluster'],
): { users: string[]; groups: string[] } {
  const longest = Math.max(...policy.roles.map((role) => role.maxSessionTtl))
  const needed = Math.min(shortestSessionMs, longest)
  const reaching = policy.roles.filter((role) => role.allows(cluster.labels))
  if (policy.roles.some((role) => role.deniesObjects))
    throw narrower(policy.roles.filter((role) => role.deniesObjects))
  const whole = reaching.filter((role) => role.everything)
  if (whole.length === 0) throw narrower(reaching)
  const granting = whole.filter((role) => role.maxSessionTtl >= needed)
  if (granting.length === 0) throw accessDenied('no role allows a session of this length')
  const denied = policy.roles.filter(
    (role) => role.denies(cluster.labels) || role.deniedUsers.length + role.deniedGroups.length > 0,
  )
  const without = (values: readonly string[], taken: readonly string[]) =>
    [...new Set(values)].filter((value) => !taken.includes(value))
  return {
    users: without(
      granting.flatMap((role) => role.users),
      denied.flatMap((role) => role.deniedUsers),
    ),
    groups: without(
      granting.flatMap((role) => role.groups),
      denied.flatMap((role) => role.deniedGroups),
    ),
  }
}

function narrower(roles: readonly CompiledRole[]): Error {
  const names = roles.map((role) => role.name).join(', ')
  return accessDenied(
    `access through role ${names} is not possible: its kubernetes_resources or require_session_join limit it, and this build cannot apply such limits`,
    { hint: 'until it can, only roles whose kubernetes_resources cover everything give access' },
  )
}

function checkPinnedAddress({ identity, policy, clientAddress }: KubernetesQuestion): void {
  if (identity.pinnedIp === '' && policy.options.pinSourceIp)
    throw accessDenied('pinned IP is required for the user, but is not present on identity')
  if (identity.pinnedIp !== '' && identity.pinnedIp !== clientAddress)
    throw accessDenied("pinned IP doesn't match observed client IP")
}

function sessionLimits({ identity, policy, preference, networking }: KubernetesQuestion): SessionLimits {
  const { options } = policy
  const cut = options.disconnectExpiredCert || preference.spec.disconnect_expired_cert
  return {
    clientIdleTimeout: smallestPositive([
      options.clientIdleTimeout,
      parseDuration(networking.spec.client_idle_timeout),
    ]),
    clientIdleTimeoutMessage: networking.spec.client_idle_timeout_message,
    disconnectAt: cut ? identity.previousIdentityExpires || identity.notAfter : 0,
    maxKubernetesConnections: options.maxKubernetesConnections,
    recordSession: options.recordSession,
  }
}

function smallestPositive(values: readonly number[]): number {
  const positive = values.filter((value) => value > 0)
  return positive.length === 0 ? 0 : Math.min(...positive)
}

/** The roles a user's certificate names, from all there are. Throws when one of them is gone. */
export function rolesNamed(names: readonly string[], find: (name: string) => Role | undefined): Role[] {
  return names.map((name) => {
    const role = find(name)
    if (!role) throw badParameter(`role ${JSON.stringify(name)} is not found`)
    return role
  })
}
