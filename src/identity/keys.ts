// Key pairs and public keys, as PEM at the edges.

import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { badParameter, messageOf } from '../errors.ts'

export interface KeyPair {
  /** SPKI PEM. */
  readonly publicKey: string
  /** PKCS#8 PEM. */
  readonly privateKey: string
}

const smallestRsaBits = 2048

/** A new P-256 pair. */
export function generateKeyPair(): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  return {
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

/** A public key that certificates may be issued for: P-256, Ed25519, or RSA of 2048 bits and more. */
export function parsePublicKey(pem: string): KeyObject {
  let key: KeyObject
  try {
    if (!pem.includes('-----BEGIN PUBLIC KEY-----')) throw new Error('no PUBLIC KEY block')
    key = createPublicKey(pem)
  } catch (cause) {
    throw badParameter(`public key is not SPKI PEM: ${messageOf(cause)}`, { cause })
  }
  const details = key.asymmetricKeyDetails
  const good =
    (key.asymmetricKeyType === 'ec' && details?.namedCurve === 'prime256v1') ||
    key.asymmetricKeyType === 'ed25519' ||
    (key.asymmetricKeyType === 'rsa' && (details?.modulusLength ?? 0) >= smallestRsaBits)
  if (!good) throw badParameter('public key must be P-256, Ed25519 or RSA of at least 2048 bits')
  return key
}
