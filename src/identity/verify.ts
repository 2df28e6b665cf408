// The one function that decides whether a presented chain is valid, and who its holder is. What a certificate says
// is read once and remembered; dates, locks and the trust in its authority are looked at again at every request,
// since a resumed TLS session shows a certificate long after it has expired.
//
// The bytes may come from another process that only forwards them, so they are read by one strict reader: a library
// that also takes PEM, or ignores what follows, would verify one certificate while we read the name in another.

import { createHash, createPublicKey, type KeyObject, verify as verifySignature } from 'node:crypto'
import { accessDenied, messageOf, TeleportError, unauthenticated } from '../errors.ts'
import {
  digestOf,
  extensionOids,
  maxCertificateBytes,
  purposeOids,
  signatureAlgorithm,
} from './encode-certificate.ts'
import type { Identity } from './identity.ts'
import { createMemory } from './memory.ts'
import { decodeName } from './name.ts'
import { fromPem } from './pem.ts'
import {
  type CertificateFields,
  readCertificate,
  readIsAuthority,
  readKeyUsage,
  readPurposes,
} from './read-certificate.ts'
import { hostFromSubject, oids, userFromSubject } from './subject.ts'

export interface TrustedAuthorities {
  /** PEM. */
  readonly user: readonly string[]
  readonly host: readonly string[]
}

export interface VerifierOptions {
  /** Who is trusted now; asked at every call. */
  readonly authorities: () => TrustedAuthorities
  /** The reason when this identity is locked, in words for its holder. */
  readonly lockedBecause?: (identity: Identity) => string | undefined
  /** @default Date.now */
  readonly clock?: () => number
}

export interface Verifier {
  /** Who holds this chain. Throws `unauthenticated` or `access-denied`. */
  verify(peer: readonly Uint8Array[]): Identity
  /** Whether an identity that this verifier has given out may go on. Throws as `verify` does. */
  check(identity: Identity): void
}

/** Of certificates that are remembered; what is forgotten is only read again. A usual one has 1 KiB. */
const rememberedBytes = 16 * 1024 * 1024
/** The same of authorities: two a kind while a cluster rotates, and those of clusters it trusts. */
const rememberedAuthorityBytes = 1024 * 1024

interface TrustAnchor {
  readonly pem: string
  readonly name: Uint8Array
  /** The cluster it speaks for, and for no other. */
  readonly cluster: string
  readonly key: KeyObject
  readonly notBefore: number
  readonly notAfter: number
}

type Anchors = Readonly<Record<Identity['type'], readonly TrustAnchor[]>>

export function createVerifier(options: VerifierOptions): Verifier {
  const clock = options.clock ?? Date.now
  const knownAnchors = createMemory<TrustAnchor>(rememberedAuthorityBytes)
  const anchorOf = (pem: string) =>
    knownAnchors.get(pem) ?? knownAnchors.set(pem, { value: readAnchor(pem), bytes: pem.length })
  const readAnchors = ({ user, host }: TrustedAuthorities): Anchors => ({
    user: user.map(anchorOf),
    host: host.map(anchorOf),
  })
  const identities = createMemory<Identity>(rememberedBytes)
  const anchors = new WeakMap<Identity, TrustAnchor>()

  function check(identity: Identity): void {
    const anchor = anchors.get(identity)
    if (!anchor) throw new TypeError('identity was not verified here')
    if (!isTrusted(identity)) throw unknownAuthority()
    const now = clock()
    checkDates(anchor, { now, what: 'certificate authority' })
    const hint = identity.type === 'user' ? { hint: 'log in again: tsh login' } : {}
    checkDates(identity, { now, what: 'certificate', ...hint })
    const locked = options.lockedBecause?.(identity)
    if (locked !== undefined) throw accessDenied(locked)
  }

  function isTrusted(identity: Identity): boolean {
    const anchor = anchors.get(identity)
    return anchor !== undefined && options.authorities()[identity.type].includes(anchor.pem)
  }

  function read(der: Uint8Array, trusted: Anchors): Identity {
    if (der.length > maxCertificateBytes)
      throw new RangeError(`it is larger than ${maxCertificateBytes} bytes`)
    const fields = readCertificate(der)
    for (const type of ['user', 'host'] as const) {
      const anchor = trusted[type].find((one) => isSignedBy(fields, one))
      if (!anchor) continue
      const identity = readIdentity(fields, type)
      if (identity.cluster !== anchor.cluster)
        throw new RangeError(`its authority does not speak for cluster ${JSON.stringify(identity.cluster)}`)
      anchors.set(identity, anchor)
      return identity
    }
    throw unknownAuthority()
  }

  return {
    check,
    verify(peer) {
      const [leaf, ...more] = peer
      if (!leaf) throw unauthenticated('only mutual TLS authentication is supported')
      if (more.length > 0) throw unauthenticated('intermediaries are not supported')
      const fingerprint = createHash('sha256').update(leaf).digest('base64')
      let identity = identities.get(fingerprint)
      // An authority may also come back with the same key in another certificate.
      if (!identity || !isTrusted(identity)) {
        const trusted = readAnchors(options.authorities())
        identity = refusingMalformed(() => read(leaf, trusted))
        identities.set(fingerprint, { value: identity, bytes: leaf.length })
      }
      check(identity)
      return identity
    },
  }
}

function unknownAuthority(): TeleportError {
  return unauthenticated('certificate is signed by an unknown authority')
}

function checkDates(
  { notBefore, notAfter }: { notBefore: number; notAfter: number },
  { now, what, hint }: { now: number; what: string; hint?: string },
): void {
  if (now < notBefore) throw unauthenticated(`${what} is not valid yet`)
  // Written so that a date that is no number refuses.
  if (!(now < notAfter)) throw unauthenticated(`${what} has expired`, hint === undefined ? {} : { hint })
}

function refusingMalformed<Result>(read: () => Result): Result {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof TeleportError) throw cause
    throw unauthenticated(`certificate is not valid: ${messageOf(cause)}`, { cause })
  }
}

function readAnchor(pem: string): TrustAnchor {
  const { subject, notBefore, notAfter, publicKey } = readCertificate(fromPem('CERTIFICATE', pem))
  const [cluster = ''] = decodeName(subject).flatMap(([oid, value]) =>
    oid === oids.commonName ? [value] : [],
  )
  const key = createPublicKey({ key: Buffer.from(publicKey), format: 'der', type: 'spki' })
  return { pem, name: subject, cluster, key, notBefore, notAfter }
}

function isSignedBy(fields: CertificateFields, { name, key }: TrustAnchor): boolean {
  return (
    Buffer.compare(fields.issuer, name) === 0 &&
    Buffer.compare(fields.signatureAlgorithm, signatureAlgorithm(key)) === 0 &&
    verifySignature(digestOf(key), fields.body, key, fields.signature)
  )
}

function readIdentity(fields: CertificateFields, type: Identity['type']): Identity {
  checkExtensions(fields, type)
  const { notBefore, notAfter } = fields
  const subject = decodeName(fields.subject)
  return type === 'user'
    ? userFromSubject(subject, { notBefore, notAfter })
    : hostFromSubject(subject, { notBefore, notAfter })
}

/** Extensions this code understands; a critical one besides these must not be passed over (RFC 5280 4.2). */
const understood: ReadonlySet<string> = new Set(Object.values(extensionOids))

function checkExtensions({ extensions }: CertificateFields, type: Identity['type']): void {
  for (const [oid, { critical }] of extensions)
    if (critical && !understood.has(oid)) throw new RangeError(`its critical extension ${oid} is unknown`)
  const valueOf = (oid: string) => extensions.get(oid)?.value
  const constraints = valueOf(extensionOids.basicConstraints)
  if (constraints && readIsAuthority(constraints)) throw new RangeError('an authority cannot be a client')
  const usage = valueOf(extensionOids.keyUsage)
  // Alone, or with keyEncipherment for RSA: a key that signs certificates is none of a client.
  if (!usage || (readKeyUsage(usage) & 0b1101_1111) !== 0b1000_0000)
    throw new RangeError('its key is not for digital signatures alone')
  const purposes = readPurposes(valueOf(extensionOids.extendedKeyUsage) ?? new Uint8Array())
  if (!purposes.includes(purposeOids.clientAuth)) throw new RangeError('it is not for clients')
  if (purposes.includes(purposeOids.serverAuth) !== (type === 'host'))
    throw new RangeError(`its authority signs ${type}s alone`)
}
