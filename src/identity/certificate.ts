// The certificates we issue: Identity → PEM. What an identity looks like inside is `subject.ts`; whether a presented
// certificate counts is `verify.ts`.

import { encodeCertificate, type Signer } from './encode-certificate.ts'
import type { HostIdentity, UserIdentity } from './identity.ts'
import { parsePublicKey } from './keys.ts'
import { decodeName, encodeName } from './name.ts'
import { fromPem, toPem } from './pem.ts'
import { readCertificate } from './read-certificate.ts'
import { hostSubject, userFromSubject, userSubject } from './subject.ts'

/** Clocks differ a little; a certificate counts from a minute before it was made. */
export const clockSkewMs = 60_000

/** An authority, of which only the signer matters here. */
interface Issuer {
  readonly signer: Signer
}

export interface UserCertificateRequest {
  readonly identity: UserIdentity
  /** SPKI PEM. */
  readonly publicKey: string
}

/** A certificate for a person or bot, PEM. Dates come from the identity. */
export function issueUserCertificate(
  { signer }: Issuer,
  { identity, publicKey }: UserCertificateRequest,
): string {
  const der = encodeCertificate(signer, {
    subject: encodeName(userSubject(identity)),
    publicKey: parsePublicKey(publicKey),
    notBefore: identity.notBefore,
    notAfter: identity.notAfter,
    purposes: ['clientAuth'],
    names: [],
  })
  return toPem('CERTIFICATE', der)
}

export interface HostCertificateRequest {
  readonly identity: HostIdentity
  readonly publicKey: string
  /** Names and addresses clients may know this host by, besides those every host has. */
  readonly names: readonly string[]
}

/** A certificate for a process, PEM. */
export function issueHostCertificate(
  { signer }: Issuer,
  { identity, publicKey, names }: HostCertificateRequest,
): string {
  const own = [`${identity.hostId}.${identity.cluster}`, '*.teleport.cluster.local', 'teleport.cluster.local']
  const der = encodeCertificate(signer, {
    subject: encodeName(hostSubject(identity)),
    publicKey: parsePublicKey(publicKey),
    notBefore: identity.notBefore,
    notAfter: identity.notAfter,
    purposes: ['serverAuth', 'clientAuth'],
    names: [...new Set([...own, ...names])],
  })
  return toPem('CERTIFICATE', der)
}

/** What a user certificate says, for its holder's own programs: nothing is proved here. */
export function readUserCertificate(pem: string): UserIdentity {
  const { subject, notBefore, notAfter } = readCertificate(fromPem('CERTIFICATE', pem))
  return userFromSubject(decodeName(subject), { notBefore, notAfter })
}
