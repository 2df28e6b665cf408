// Certificate authorities: one key with its self-signed certificate. The user authority signs people and bots, the
// host authority our own processes; neither is ever accepted in the place of the other.

import { createHash, createPublicKey, X509Certificate } from 'node:crypto'
import { clockSkewMs, oids, selfSigned } from './certificate.ts'
import { generateKeyPair } from './keys.ts'
import { subjectOf } from './name.ts'

export interface Authority {
  /** PEM. */
  readonly certificate: string
  /** PKCS#8 PEM. */
  readonly privateKey: string
  /** Encoded name, as it stands in what the authority issues. */
  readonly subject: Uint8Array
  readonly publicKeyDer: Uint8Array
}

const authorityLifetimeMs = 10 * 365 * 24 * 3600_000

/** A new authority named after the cluster. */
export function createAuthority(
  cluster: string,
  clock: () => number = Date.now,
): { certificate: string; privateKey: string } {
  const keys = generateKeyPair()
  const now = clock()
  const certificate = selfSigned(keys, {
    subject: [
      [oids.commonName, cluster],
      [oids.organization, cluster],
    ],
    dates: { notBefore: now - clockSkewMs, notAfter: now + authorityLifetimeMs },
    authority: true,
    names: [],
  })
  return { certificate, privateKey: keys.privateKey }
}

/** An authority ready to sign, from what is stored of it. */
export function loadAuthority(stored: { certificate: string; privateKey: string }): Authority {
  const certificate = new X509Certificate(stored.certificate)
  return {
    ...stored,
    subject: subjectOf(new Uint8Array(certificate.raw)),
    publicKeyDer: new Uint8Array(certificate.publicKey.export({ type: 'spki', format: 'der' })),
  }
}

/** What agents compare to know that they talk to the right cluster: a hash of the authority's public key. */
export function authorityPin(certificate: string): string {
  const spki = createPublicKey(certificate).export({ type: 'spki', format: 'der' })
  return `sha256:${createHash('sha256').update(spki).digest('hex')}`
}

/** A certificate for a web port that has none of its own. Browsers warn about it. */
export function selfSignedServerCertificate(
  names: readonly string[],
  clock: () => number = Date.now,
): { certificate: string; key: string } {
  const keys = generateKeyPair()
  const now = clock()
  const certificate = selfSigned(keys, {
    subject: [
      [oids.commonName, names[0] ?? 'localhost'],
      [oids.organization, 'Teleport'],
    ],
    dates: { notBefore: now - clockSkewMs, notAfter: now + 365 * 24 * 3600_000 },
    authority: false,
    names,
  })
  return { certificate, key: keys.privateKey }
}
