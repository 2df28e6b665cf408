// Identity ⇄ certificate subject, and the certificates we issue. Which attribute holds what is fixed by what other
// programs read: CN username, O roles, OU usage, L logins, street route, postal code traits, and names of our own
// under 1.3.9999. Lists are repeated attributes.

import { createHash, createPrivateKey, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIP } from 'node:net'
import type { Authority } from './authority.ts'
import {
  bitString,
  boolean,
  element,
  explicit,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  time,
  toPem,
} from './der.ts'
import type { HostIdentity, SystemRole, Traits, UserIdentity } from './identity.ts'
import { parsePublicKey } from './keys.ts'
import { type Attribute, encodeName } from './name.ts'

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
  const many = (oid: string) => subject.filter(([one]) => one === oid).map(([, value]) => value)
  const one = (oid: string) => {
    const values = many(oid)
    if (values.length > 1) throw new RangeError(`attribute ${oid} is there twice`)
    return values[0] ?? ''
  }
  const username = one(oids.commonName)
  if (username === '') throw new RangeError('subject has no name')
  return {
    type: 'user',
    username,
    cluster: one(oids.teleportCluster),
    roles: many(oids.organization),
    usage: many(oids.organizationalUnit),
    logins: many(oids.locality),
    traits: parseTraits(one(oids.postalCode)),
    routeToCluster: one(oids.street),
    kubernetesCluster: one(oids.kubernetesCluster),
    kubernetesUsers: many(oids.kubernetesUser),
    kubernetesGroups: many(oids.kubernetesGroup),
    userType: one(oids.userType) === 'sso' ? 'sso' : 'local',
    mfaDevice: one(oids.mfaDevice),
    loginIp: one(oids.loginIp),
    pinnedIp: one(oids.pinnedIp),
    renewable: one(oids.renewable) === 'true',
    generation: Number(one(oids.generation) || 0),
    disallowReissue: one(oids.disallowReissue) === 'true',
    impersonator: one(oids.impersonator),
    accessRequests: many(oids.accessRequest),
    allowedResourceIds: one(oids.allowedResourceIds),
    previousIdentityExpires:
      one(oids.previousIdentityExpires) === '' ? 0 : Date.parse(one(oids.previousIdentityExpires)),
    botName: one(oids.botName),
    botInstance: one(oids.botInstance),
    privateKeyPolicy: one(oids.privateKeyPolicy),
    ...dates,
  }
}

function parseTraits(text: string): Traits {
  if (text === '') return {}
  const value: unknown = JSON.parse(text)
  if (typeof value !== 'object' || value === null) throw new RangeError('traits are not an object')
  const traits: Record<string, string[]> = Object.create(null)
  for (const [name, list] of Object.entries(value)) {
    if (!Array.isArray(list) || !list.every((one) => typeof one === 'string'))
      throw new RangeError('a trait is not a list of strings')
    traits[name] = list
  }
  return { ...traits }
}

const systemRoles: readonly string[] = ['Admin', 'Auth', 'Proxy', 'Kube', 'Instance', 'Nop']

export function hostSubject(identity: HostIdentity): Attribute[] {
  return [
    [oids.commonName, `${identity.hostId}.${identity.cluster}`],
    ...identity.roles.map((role): Attribute => [oids.organization, role]),
    [oids.teleportCluster, identity.cluster],
  ]
}

/** The inverse of `hostSubject`. Throws a RangeError when the subject is not one of ours. */
export function hostFromSubject(subject: readonly Attribute[], dates: SubjectDates): HostIdentity {
  const values = (oid: string) => subject.filter(([one]) => one === oid).map(([, value]) => value)
  const cluster = values(oids.teleportCluster)[0] ?? ''
  const name = values(oids.commonName)[0] ?? ''
  const roles = values(oids.organization).filter((role): role is SystemRole => systemRoles.includes(role))
  if (cluster === '' || !name.endsWith(`.${cluster}`) || roles.length === 0)
    throw new RangeError('subject is not that of a host')
  return { type: 'host', hostId: name.slice(0, -cluster.length - 1), cluster, roles, ...dates }
}

/** Clocks differ a little; a certificate counts from a minute before it was made. */
export const clockSkewMs = 60_000

const extensionOids = {
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  alternativeName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  rsaWithSha256: '1.2.840.113549.1.1.11',
  ed25519: '1.3.101.112',
} as const

export interface UserCertificateRequest {
  readonly identity: UserIdentity
  /** SPKI PEM. */
  readonly publicKey: string
}

/** A certificate for a person or bot, PEM. Dates come from the identity. */
export function issueUserCertificate(
  authority: Authority,
  { identity, publicKey }: UserCertificateRequest,
): string {
  return issue(authority, {
    subject: userSubject(identity),
    publicKey: parsePublicKey(publicKey),
    dates: identity,
    usages: [extensionOids.clientAuth],
    names: [],
  })
}

export interface HostCertificateRequest {
  readonly identity: HostIdentity
  readonly publicKey: string
  /** Names and addresses clients may know this host by, besides those every host has. */
  readonly names: readonly string[]
}

/** A certificate for a process, PEM. */
export function issueHostCertificate(
  authority: Authority,
  { identity, publicKey, names }: HostCertificateRequest,
): string {
  const own = [`${identity.hostId}.${identity.cluster}`, '*.teleport.cluster.local', 'teleport.cluster.local']
  return issue(authority, {
    subject: hostSubject(identity),
    publicKey: parsePublicKey(publicKey),
    dates: identity,
    usages: [extensionOids.serverAuth, extensionOids.clientAuth],
    names: [...new Set([...own, ...names])],
  })
}

interface Template {
  readonly subject: readonly Attribute[]
  readonly publicKey: KeyObject
  readonly dates: SubjectDates
  readonly usages: readonly string[]
  readonly names: readonly string[]
}

function issue(authority: Authority, template: Template): string {
  const key = signingKey(authority)
  const algorithm = signatureAlgorithm(key)
  const spki = template.publicKey.export({ type: 'spki', format: 'der' })
  const keyUsage =
    template.publicKey.asymmetricKeyType === 'rsa'
      ? bitString(Uint8Array.of(0xa0), 5)
      : bitString(Uint8Array.of(0x80), 7)
  const extensions = [
    extension(extensionOids.keyUsage, keyUsage, true),
    extension(extensionOids.extendedKeyUsage, sequence(...template.usages.map(objectIdentifier))),
    extension(extensionOids.basicConstraints, sequence(), true),
    extension(extensionOids.subjectKeyId, octetString(keyId(spki))),
    extension(extensionOids.authorityKeyId, sequence(element(0x80, authorityKeyId(authority)))),
    ...(template.names.length > 0
      ? [extension(extensionOids.alternativeName, sequence(...template.names.map(alternativeName)))]
      : []),
  ]
  const body = sequence(
    explicit(0, integer(Uint8Array.of(2))),
    integer(serialNumber()),
    algorithm,
    authority.subject,
    sequence(time(template.dates.notBefore), time(template.dates.notAfter)),
    encodeName(template.subject),
    spki,
    explicit(3, sequence(...extensions)),
  )
  return toPem('CERTIFICATE', sequence(body, algorithm, bitString(signature(body, key))))
}

/** The parts a self-signed certificate is made of, for `authority.ts`. */
export function selfSigned(
  key: { privateKey: string; publicKey: string },
  template: {
    subject: readonly Attribute[]
    dates: SubjectDates
    authority: boolean
    names: readonly string[]
  },
): string {
  const privateKey = createPrivateKey(key.privateKey)
  const algorithm = signatureAlgorithm(privateKey)
  const spki = parsePublicKey(key.publicKey).export({ type: 'spki', format: 'der' })
  const name = encodeName(template.subject)
  const keyUsage = template.authority ? bitString(Uint8Array.of(0x86), 1) : bitString(Uint8Array.of(0x80), 7)
  const extensions = [
    extension(extensionOids.keyUsage, keyUsage, true),
    ...(template.authority
      ? []
      : [extension(extensionOids.extendedKeyUsage, sequence(objectIdentifier(extensionOids.serverAuth)))]),
    extension(
      extensionOids.basicConstraints,
      template.authority ? sequence(boolean(true)) : sequence(),
      true,
    ),
    extension(extensionOids.subjectKeyId, octetString(keyId(spki))),
    ...(template.names.length > 0
      ? [extension(extensionOids.alternativeName, sequence(...template.names.map(alternativeName)))]
      : []),
  ]
  const body = sequence(
    explicit(0, integer(Uint8Array.of(2))),
    integer(serialNumber()),
    algorithm,
    name,
    sequence(time(template.dates.notBefore), time(template.dates.notAfter)),
    name,
    spki,
    explicit(3, sequence(...extensions)),
  )
  return toPem('CERTIFICATE', sequence(body, algorithm, bitString(signature(body, privateKey))))
}

function extension(oid: string, value: Uint8Array, critical = false): Uint8Array {
  return sequence(objectIdentifier(oid), ...(critical ? [boolean(true)] : []), octetString(value))
}

// RFC 5280 4.2.1.6: [2] is a DNS name, [7] an address.
function alternativeName(name: string): Uint8Array {
  const version = isIP(name)
  if (version === 0) return element(0x82, new TextEncoder().encode(name))
  return element(0x87, version === 4 ? Uint8Array.from(name.split('.').map(Number)) : ipv6Bytes(name))
}

function ipv6Bytes(address: string): Uint8Array {
  const [left = '', right] = address.split('::')
  const groups = (text: string) =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
  const head = groups(left)
  const tail = right === undefined ? [] : groups(right)
  const all = [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => 0), ...tail]
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 255]))
}

// Sixteen random bytes, positive whatever the first one is: `integer` adds a zero before a high bit.
function serialNumber(): Uint8Array {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return bytes
}

export function keyId(spki: Uint8Array): Uint8Array {
  return createHash('sha256').update(spki).digest().subarray(0, 20)
}

const authorityKeys = new WeakMap<Authority, { key: KeyObject; id: Uint8Array }>()

function prepared(authority: Authority): { key: KeyObject; id: Uint8Array } {
  const known = authorityKeys.get(authority)
  if (known) return known
  const made = { key: createPrivateKey(authority.privateKey), id: keyId(authority.publicKeyDer) }
  authorityKeys.set(authority, made)
  return made
}

const signingKey = (authority: Authority) => prepared(authority).key
const authorityKeyId = (authority: Authority) => prepared(authority).id

function signatureAlgorithm(key: KeyObject): Uint8Array {
  switch (key.asymmetricKeyType) {
    case 'ec':
      return sequence(objectIdentifier(extensionOids.ecdsaWithSha256))
    case 'rsa':
      return sequence(objectIdentifier(extensionOids.rsaWithSha256), element(0x05))
    case 'ed25519':
      return sequence(objectIdentifier(extensionOids.ed25519))
    default:
      throw new TypeError(`cannot sign with a key of type ${key.asymmetricKeyType}`)
  }
}

function signature(body: Uint8Array, key: KeyObject): Uint8Array {
  return sign(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', body, key)
}
