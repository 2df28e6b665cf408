// Identity ⇄ certificate subject. Which attribute holds what is fixed by what other programs read: CN username, O
// roles, OU usage, L logins, street route, postal code traits, and names of our own under 1.3.9999. Lists are
// repeated attributes; what is empty is left out.

import type { HostIdentity, SystemRole, Traits, UserIdentity } from './identity.ts'
import type { Attribute } from './name.ts'

export const oids = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  organizationalUnit: '2.5.4.11',
  locality: '2.5.4.7',
  street: '2.5.4.9',
  postalCode: '2.5.4.17',
  kubernetesUser: '1.3.9999.1.1',
  kubernetesGroup: '1.3.9999.1.2',
  kubernetesCluster: '1.3.9999.1.3',
  teleportCluster: '1.3.9999.1.7',
  mfaDevice: '1.3.9999.1.8',
  loginIp: '1.3.9999.1.9',
  renewable: '1.3.9999.1.13',
  generation: '1.3.9999.1.14',
  privateKeyPolicy: '1.3.9999.1.15',
  userType: '1.3.9999.1.20',
  impersonator: '1.3.9999.2.7',
  accessRequest: '1.3.9999.2.8',
  disallowReissue: '1.3.9999.2.9',
  allowedResourceIds: '1.3.9999.2.10',
  previousIdentityExpires: '1.3.9999.2.12',
  pinnedIp: '1.3.9999.2.15',
  botName: '1.3.9999.2.18',
  botInstance: '1.3.9999.2.20',
} as const

export function userSubject(identity: UserIdentity): Attribute[] {
  const one = (oid: string, value: string): Attribute[] => (value === '' ? [] : [[oid, value]])
  const many = (oid: string, values: readonly string[]): Attribute[] => values.map((value) => [oid, value])
  return [
    [oids.commonName, identity.username],
    ...many(oids.organization, identity.roles),
    ...many(oids.organizationalUnit, identity.usage),
    ...many(oids.locality, identity.logins),
    ...one(oids.street, identity.routeToCluster),
    ...one(oids.postalCode, Object.keys(identity.traits).length === 0 ? '' : JSON.stringify(identity.traits)),
    ...many(oids.kubernetesUser, identity.kubernetesUsers),
    ...many(oids.kubernetesGroup, identity.kubernetesGroups),
    ...one(oids.kubernetesCluster, identity.kubernetesCluster),
    [oids.teleportCluster, identity.cluster],
    ...one(oids.mfaDevice, identity.mfaDevice),
    ...one(oids.loginIp, identity.loginIp),
    ...one(oids.renewable, identity.renewable ? 'true' : ''),
    ...one(oids.generation, identity.generation === 0 ? '' : String(identity.generation)),
    ...one(oids.privateKeyPolicy, identity.privateKeyPolicy),
    [oids.userType, identity.userType],
    ...one(oids.impersonator, identity.impersonator),
    ...many(oids.accessRequest, identity.accessRequests),
    ...one(oids.disallowReissue, identity.disallowReissue ? 'true' : ''),
    ...one(oids.allowedResourceIds, identity.allowedResourceIds),
    ...one(
      oids.previousIdentityExpires,
      identity.previousIdentityExpires === 0 ? '' : new Date(identity.previousIdentityExpires).toISOString(),
    ),
    ...one(oids.pinnedIp, identity.pinnedIp),
    ...one(oids.botName, identity.botName),
    ...one(oids.botInstance, identity.botInstance),
  ]
}

export interface SubjectDates {
  readonly notBefore: number
  readonly notAfter: number
}

/** The inverse of `userSubject`. Throws a RangeError when the subject is not one of ours. */
export function userFromSubject(subject: readonly Attribute[], dates: SubjectDates): UserIdentity {
  const { one, many, flag } = attributesOf(subject)
  const username = one(oids.commonName)
  const cluster = one(oids.teleportCluster)
  const userType = one(oids.userType)
  // Hosts have no user type, so that theirs is never taken for a user's subject.
  if (username === '' || cluster === '' || (userType !== 'local' && userType !== 'sso'))
    throw new RangeError('subject is not that of a user')
  return {
    type: 'user',
    username,
    cluster,
    roles: many(oids.organization),
    usage: many(oids.organizationalUnit),
    logins: many(oids.locality),
    traits: parseTraits(one(oids.postalCode)),
    routeToCluster: one(oids.street),
    kubernetesCluster: one(oids.kubernetesCluster),
    kubernetesUsers: many(oids.kubernetesUser),
    kubernetesGroups: many(oids.kubernetesGroup),
    userType,
    mfaDevice: one(oids.mfaDevice),
    loginIp: one(oids.loginIp),
    pinnedIp: one(oids.pinnedIp),
    renewable: flag(oids.renewable),
    generation: parseCount(one(oids.generation)),
    disallowReissue: flag(oids.disallowReissue),
    impersonator: one(oids.impersonator),
    accessRequests: many(oids.accessRequest),
    allowedResourceIds: one(oids.allowedResourceIds),
    previousIdentityExpires: parseDate(one(oids.previousIdentityExpires)),
    botName: one(oids.botName),
    botInstance: one(oids.botInstance),
    privateKeyPolicy: one(oids.privateKeyPolicy),
    ...dates,
  }
}

const systemRoles: readonly string[] = [
  'Admin',
  'Auth',
  'Proxy',
  'Kube',
  'Instance',
  'Nop',
] satisfies SystemRole[]

export function hostSubject(identity: HostIdentity): Attribute[] {
  return [
    [oids.commonName, `${identity.hostId}.${identity.cluster}`],
    ...identity.roles.map((role): Attribute => [oids.organization, role]),
    [oids.teleportCluster, identity.cluster],
  ]
}

/** The inverse of `hostSubject`. Throws a RangeError when the subject is not one of ours. */
export function hostFromSubject(subject: readonly Attribute[], dates: SubjectDates): HostIdentity {
  const { one, many } = attributesOf(subject)
  const cluster = one(oids.teleportCluster)
  const name = one(oids.commonName)
  const hostId = name.slice(0, -cluster.length - 1)
  // A role that this version does not know yet gives nothing.
  const roles = many(oids.organization).filter((role): role is SystemRole => systemRoles.includes(role))
  if (cluster === '' || hostId === '' || name !== `${hostId}.${cluster}` || roles.length === 0)
    throw new RangeError('subject is not that of a host')
  if (one(oids.userType) !== '') throw new RangeError('subject is that of a user')
  return { type: 'host', hostId, cluster, roles, ...dates }
}

function attributesOf(subject: readonly Attribute[]) {
  const many = (oid: string) => subject.filter(([known]) => known === oid).map(([, value]) => value)
  const one = (oid: string) => {
    const values = many(oid)
    if (values.length > 1) throw new RangeError(`subject has attribute ${oid} twice`)
    return values[0] ?? ''
  }
  const flag = (oid: string) => {
    const value = one(oid)
    if (value !== '' && value !== 'true') throw new RangeError(`subject attribute ${oid} is not true`)
    return value === 'true'
  }
  return { one, many, flag }
}

function parseTraits(text: string): Traits {
  if (text === '') return {}
  const value: unknown = JSON.parse(text)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new RangeError('traits are not an object')
  return Object.fromEntries(
    Object.entries(value).map(([name, list]: [string, unknown]) => {
      if (!Array.isArray(list) || !list.every((one) => typeof one === 'string'))
        throw new RangeError('a trait is not a list of strings')
      return [name, list]
    }),
  )
}

function parseCount(text: string): number {
  if (text === '') return 0
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new RangeError('generation is not a number')
  return Number(text)
}

function parseDate(text: string): number {
  if (text === '') return 0
  const milliseconds = Date.parse(text)
  if (Number.isNaN(milliseconds)) throw new RangeError('date of the previous identity is malformed')
  return milliseconds
}
