// The one function that decides whether a presented chain is valid, and who its holder is. What a certificate says
// is parsed once and remembered; dates, locks and the trust in its authority are looked at again at every request,
// since a resumed TLS session shows a certificate long after it has expired.

import { createHash, X509Certificate } from 'node:crypto'
import { accessDenied, messageOf, TeleportError, unauthenticated } from '../errors.ts'
import { hostFromSubject, userFromSubject } from './certificate.ts'
import { readElements, readObjectIdentifier } from './der.ts'
import type { Identity } from './identity.ts'
import { decodeName, subjectOf } from './name.ts'

export interface TrustedAuthorities {
  /** PEM. */
  readonly user: readonly string[]
  readonly host: readonly string[]
}

export interface VerifierOptions {
  readonly authorities: () => TrustedAuthorities
  /** The reason when this identity is locked, in words for its holder. */
  readonly lockedBecause?: (identity: Identity) => string | undefined
  /** @default Date.now */
  readonly clock?: () => number
}

export interface Verifier {
  /** Who holds this chain. Throws `unauthenticated` or `access-denied`. */
  verify(peer: readonly Uint8Array[]): Identity
  /** Whether an identity that was verified before may go on. Throws as `verify` does. */
  check(identity: Identity): void
}

/** Certificates whose parse is remembered. */
const cacheSize = 10_000
/** A certificate with 300 groups fits several times. */
const maxCertificateBytes = 64 * 1024

interface Parsed {
  readonly identity: Identity
  /** The authority that signed it. */
  readonly issuer: string
}

export function createVerifier(options: VerifierOptions): Verifier {
  const clock = options.clock ?? Date.now
  const cache = new Map<string, Parsed>()

  function check(identity: Identity): void {
    const now = clock()
    if (now < identity.notBefore) throw unauthenticated('certificate is not valid yet')
    if (now >= identity.notAfter)
      throw unauthenticated('certificate has expired', { hint: 'log in again: tsh login' })
    const locked = options.lockedBecause?.(identity)
    if (locked !== undefined) throw accessDenied(locked)
  }

  return {
    check,
    verify(peer) {
      const [leaf, ...more] = peer
      if (!leaf) throw unauthenticated('only mutual TLS authentication is supported')
      if (more.length > 0) throw unauthenticated('intermediaries are not supported')
      const trusted = options.authorities()
      const key = createHash('sha256').update(leaf).digest('base64')
      let parsed = cache.get(key)
      if (!parsed || !isTrusted(parsed, trusted)) {
        parsed = parse(leaf, trusted)
        if (cache.size >= cacheSize) cache.clear()
        cache.set(key, parsed)
      }
      check(parsed.identity)
      return parsed.identity
    },
  }
}

function isTrusted({ identity, issuer }: Parsed, trusted: TrustedAuthorities): boolean {
  return trusted[identity.type].includes(issuer)
}

function parse(der: Uint8Array, trusted: TrustedAuthorities): Parsed {
  try {
    if (der.length > maxCertificateBytes) throw new RangeError('certificate is too large')
    const certificate = new X509Certificate(der)
    const dates = { notBefore: Date.parse(certificate.validFrom), notAfter: Date.parse(certificate.validTo) }
    checkExtensions(der, certificate)
    const subject = decodeName(subjectOf(der))
    for (const type of ['user', 'host'] as const) {
      const issuer = trusted[type].find((pem) => issued(certificate, pem))
      if (issuer === undefined) continue
      const identity = type === 'user' ? userFromSubject(subject, dates) : hostFromSubject(subject, dates)
      return { identity, issuer }
    }
  } catch (cause) {
    if (cause instanceof TeleportError) throw cause
    throw unauthenticated(`certificate is not valid: ${messageOf(cause)}`, { cause })
  }
  throw unauthenticated('certificate is signed by an unknown authority')
}

const authorityCache = new Map<string, X509Certificate>()

function issued(certificate: X509Certificate, authorityPem: string): boolean {
  let authority = authorityCache.get(authorityPem)
  if (!authority) {
    authority = new X509Certificate(authorityPem)
    if (authorityCache.size >= 64) authorityCache.clear()
    authorityCache.set(authorityPem, authority)
  }
  return certificate.checkIssued(authority) && certificate.verify(authority.publicKey)
}

const clientAuth = '1.3.6.1.5.5.7.3.2'
/** Extensions this code understands; a critical one besides these must not be passed over (RFC 5280 4.2). */
const understood = new Set(['2.5.29.15', '2.5.29.37', '2.5.29.19', '2.5.29.17'])

function checkExtensions(der: Uint8Array, certificate: X509Certificate): void {
  if (certificate.ca) throw new RangeError('an authority cannot be a client')
  const usage: readonly string[] = certificate.keyUsage ?? []
  if (!usage.includes(clientAuth)) throw new RangeError('certificate is not for clients')
  const [outer] = readElements(der)
  const [body] = readElements(outer?.content ?? new Uint8Array())
  const wrapped = readElements(body?.content ?? new Uint8Array()).find((field) => field.tag === 0xa3)
  const [list] = readElements(wrapped?.content ?? new Uint8Array())
  for (const extension of readElements(list?.content ?? new Uint8Array())) {
    const [oid, critical] = readElements(extension.content)
    if (!oid || critical?.tag !== 0x01) continue
    const name = readObjectIdentifier(oid.content)
    if (critical.content[0] !== 0 && !understood.has(name))
      throw new RangeError(`critical extension ${name} is unknown`)
  }
}
