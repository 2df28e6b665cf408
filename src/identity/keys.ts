// Key pairs and public keys, as PEM at the edges.

import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { badParameter, messageOf } from '../errors.ts'
import { fromPem } from './pem.ts'

export interface KeyPair {
  /** SPKI PEM. */
  readonly publicKey: string
  /** PKCS#8 PEM. */
  readonly privateKey: string
}

const smallestRsaBits = 2048
/** Larger ones only make every handshake slow. */
const largestRsaBits = 8192

/** A new P-256 pair. */
export function generateKeyPair(): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  return {
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

/** A public key that certificates may be issued for: P-256, Ed25519, or RSA of 2048 to 8192 bits. */
export function parsePublicKey(pem: string): KeyObject {
  let key: KeyObject
  try {
    key = createPublicKey({ key: Buffer.from(fromPem('PUBLIC KEY', pem)), format: 'der', type: 'spki' })
  } catch (cause) {
    throw badParameter(`public key is not SPKI PEM: ${messageOf(cause)}`, { cause })
  }
  if (!isAcceptable(key))
    throw badParameter(
      `public key must be P-256, Ed25519 or RSA of ${smallestRsaBits} to ${largestRsaBits} bits`,
    )
  return key
}

function isAcceptable({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): boolean {
  switch (asymmetricKeyType) {
    case 'ec':
      return asymmetricKeyDetails?.namedCurve === 'prime256v1'
    case 'ed25519':
      return true
    case 'rsa': {
      const { modulusLength = 0, publicExponent = 0n } = asymmetricKeyDetails ?? {}
      // Exponents below 65537 are legal; 1 would let everyone sign.
      return modulusLength >= smallestRsaBits && modulusLength <= largestRsaBits && publicExponent >= 3n
    }
    default:
      return false
  }
}
