// Certificates for people and processes: what they say comes from the user's roles and traits now, and how long they
// live is the shortest of what was asked for and what every role allows.

import { compilePolicy } from '../../access/access.ts'
import { accessDenied, badParameter } from '../../errors.ts'
import type { Authority } from '../../identity/authority.ts'
import { clockSkewMs, issueHostCertificate, issueUserCertificate } from '../../identity/certificate.ts'
import type { HostIdentity, SystemRole, UserIdentity } from '../../identity/identity.ts'
import { parseDuration, trimDuration } from '../../resources/duration.ts'
import type { Role } from '../../resources/role.ts'
import type { User } from '../../resources/user.ts'

const hostLifetimeMs = 10 * 365 * 24 * 3600_000

export interface UserCertificateInput {
  readonly user: User
  readonly roles: readonly Role[]
  readonly cluster: string
  readonly publicKey: string
  readonly lifetimeMs: number
  readonly now: number
  readonly routeToCluster?: string
  readonly kubernetesCluster?: string
  readonly usage?: readonly string[]
  readonly loginIp?: string
  /** Present when a role asks for it: the only address the certificate works from. */
  readonly previous?: UserIdentity
}

/** A user certificate and the identity it carries. */
export function signUser(
  authority: Authority,
  input: UserCertificateInput,
): { certificate: string; identity: UserIdentity } {
  const { user, roles, now, previous } = input
  const traits = user.spec.traits
  const policy = compilePolicy(roles, { username: user.metadata.name, roles: user.spec.roles, traits })
  const loginIp = input.loginIp ?? previous?.loginIp ?? ''
  const identity: UserIdentity = {
    type: 'user',
    username: user.metadata.name,
    cluster: input.cluster,
    roles: user.spec.roles,
    usage: input.usage ?? [],
    logins: traits['logins'] ?? [],
    traits,
    routeToCluster: input.routeToCluster ?? '',
    kubernetesCluster: input.kubernetesCluster ?? '',
    kubernetesUsers: [...new Set(policy.roles.flatMap((role) => role.users))],
    kubernetesGroups: [...new Set(policy.roles.flatMap((role) => role.groups))],
    userType: 'local',
    mfaDevice: '',
    loginIp,
    pinnedIp: policy.options.pinSourceIp ? loginIp : '',
    renewable: false,
    generation: 0,
    disallowReissue: false,
    impersonator: '',
    accessRequests: [],
    allowedResourceIds: '',
    previousIdentityExpires: 0,
    botName: '',
    botInstance: '',
    privateKeyPolicy: '',
    // Certificates know whole seconds.
    notBefore: Math.floor((now - clockSkewMs) / 1000) * 1000,
    notAfter: Math.floor((now + input.lifetimeMs) / 1000) * 1000,
  }
  return { certificate: issueUserCertificate(authority, { identity, publicKey: input.publicKey }), identity }
}

/** How long a login may last: what is asked for, clipped to what every role allows. */
export function loginLifetime(
  roles: readonly Role[],
  { asked, preferred }: { asked: string | undefined; preferred: string },
): number {
  const wanted = parseDuration(asked ?? preferred)
  return Math.min(wanted, ...roles.map((role) => parseDuration(role.spec.options.max_session_ttl)))
}

/** The same for signed credentials, where asking for too much is an error and not a surprise later. */
export function signedLifetime(
  roles: readonly Role[],
  { asked, unlimited }: { asked: string; unlimited: boolean },
): number {
  const wanted = parseDuration(asked)
  if (wanted <= 0) throw badParameter(`TTL ${JSON.stringify(asked)} must be positive`)
  const most = Math.min(...roles.map((role) => parseDuration(role.spec.options.max_session_ttl)))
  if (!unlimited && wanted > most) {
    throw badParameter(
      `The credential was not issued because the requested TTL of ${trimDuration(asked)} exceeded the maximum allowed value of ${trimDuration(`${most / 1000}s`)}. To successfully request a credential, please reduce the requested TTL.`,
    )
  }
  return wanted
}

const hostRoles: readonly SystemRole[] = ['Admin', 'Auth', 'Proxy', 'Kube']

export interface HostCertificateInput {
  readonly hostId: string
  readonly roles: readonly string[]
  readonly cluster: string
  readonly publicKey: string
  readonly names: readonly string[]
  readonly now: number
}

export function signHost(
  authority: Authority,
  input: HostCertificateInput,
): { certificate: string; identity: HostIdentity } {
  const roles = input.roles.map((name) => {
    const role = hostRoles.find((one) => one === name)
    if (!role) throw accessDenied(`certificates for role ${JSON.stringify(name)} are not issued`)
    return role
  })
  const identity: HostIdentity = {
    type: 'host',
    hostId: input.hostId,
    cluster: input.cluster,
    roles,
    notBefore: Math.floor((input.now - clockSkewMs) / 1000) * 1000,
    notAfter: Math.floor((input.now + hostLifetimeMs) / 1000) * 1000,
  }
  return {
    certificate: issueHostCertificate(authority, {
      identity,
      publicKey: input.publicKey,
      names: input.names,
    }),
    identity,
  }
}
