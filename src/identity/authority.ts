// Certificate authorities: one key with its self-signed certificate. The user authority signs people and bots, the
// host authority our own processes; neither is ever accepted in the place of the other.

import { createHash, createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto'
import { badParameter, messageOf } from '../errors.ts'
import { clockSkewMs } from './certificate.ts'
import { encodeCertificate, extensionOids, keyIdOf, type Signer } from './encode-certificate.ts'
import { generateKeyPair, type KeyPair } from './keys.ts'
import { encodeName } from './name.ts'
import { fromPem, toPem } from './pem.ts'
import { readCertificate, readIsAuthority, readOctets } from './read-certificate.ts'
import { oids } from './subject.ts'

export interface Authority {
  /** PEM. */
  readonly certificate: string
  readonly signer: Signer
}

const dayMs = 24 * 3600_000
const authorityLifetimeMs = 10 * 365 * dayMs
/** Some clients refuse server certificates that live longer than 825 days. */
const serverLifetimeMs = 365 * dayMs

/** A new authority named after the cluster. */
export function createAuthority(
  cluster: string,
  clock: () => number = Date.now,
): { certificate: string; privateKey: string } {
  const keys = generateKeyPair()
  const now = clock()
  const certificate = selfSigned(keys, {
    name: cluster,
    organization: cluster,
    notBefore: now - clockSkewMs,
    notAfter: now + authorityLifetimeMs,
    purposes: 'authority',
    names: [],
  })
  return { certificate, privateKey: keys.privateKey }
}

/** An authority ready to sign, from what is stored of it. Throws when the parts do not belong together. */
export function loadAuthority(stored: { certificate: string; privateKey: string }): Authority {
  try {
    const { subject, extensions } = readCertificate(fromPem('CERTIFICATE', stored.certificate))
    const constraints = extensions.get(extensionOids.basicConstraints)
    if (!constraints || !readIsAuthority(constraints.value))
      throw new RangeError('certificate is not that of an authority')
    const key = createPrivateKey(stored.privateKey)
    if (!new X509Certificate(stored.certificate).checkPrivateKey(key))
      throw new RangeError('private key is not that of the certificate')
    // Verifiers compare this with what our certificates say, so it must be the authority's own, however it was made.
    const keyId = extensions.get(extensionOids.subjectKeyId)
    const signer = { name: subject, key, ...(keyId ? { keyId: readOctets(keyId.value) } : {}) }
    return { certificate: stored.certificate, signer }
  } catch (cause) {
    throw badParameter(`certificate authority cannot be used: ${messageOf(cause)}`, { cause })
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
    name: names[0] ?? 'localhost',
    organization: 'Teleport',
    notBefore: now - clockSkewMs,
    notAfter: now + serverLifetimeMs,
    purposes: ['serverAuth'],
    names,
  })
  return { certificate, key: keys.privateKey }
}

interface SelfSigned {
  readonly name: string
  readonly organization: string
  readonly notBefore: number
  readonly notAfter: number
  readonly purposes: 'authority' | readonly ['serverAuth']
  readonly names: readonly string[]
}

function selfSigned(keys: KeyPair, { name, organization, ...template }: SelfSigned): string {
  const subject = encodeName([
    [oids.commonName, name],
    [oids.organization, organization],
  ])
  const publicKey = createPublicKey(keys.publicKey)
  const keyId = keyIdOf(publicKey.export({ type: 'spki', format: 'der' }))
  const signer = { name: subject, key: createPrivateKey(keys.privateKey), keyId }
  return toPem('CERTIFICATE', encodeCertificate(signer, { ...template, subject, publicKey }))
}
