// The bytes of an X.509 v3 certificate (RFC 5280), written and signed.

import { createHash, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import { badParameter } from '../errors.ts'
import {
  bitString,
  boolean,
  element,
  explicit,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  tags,
  time,
} from './der.ts'

export const extensionOids = {
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  alternativeName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
} as const

export const purposeOids = {
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const

/** What both ends of our connections still take: the preamble of a hop holds 64 KiB, with more than this in it. */
export const maxCertificateBytes = 60 * 1024

/** Whose name and key stand behind a certificate. */
export interface Signer {
  readonly name: Uint8Array
  readonly key: KeyObject
  /** The subject key identifier of the signer's own certificate, if it has one. */
  readonly keyId?: Uint8Array
}

export interface CertificateTemplate {
  /** Encoded name. */
  readonly subject: Uint8Array
  readonly publicKey: KeyObject
  readonly notBefore: number
  readonly notAfter: number
  /** An authority, or what else the key may be used for. */
  readonly purposes: 'authority' | readonly (keyof typeof purposeOids)[]
  /** DNS names and IP addresses. */
  readonly names: readonly string[]
}

/** A certificate signed by this signer, DER. */
export function encodeCertificate(signer: Signer, template: CertificateTemplate): Uint8Array {
  const algorithm = signatureAlgorithm(signer.key)
  const publicKey = template.publicKey.export({ type: 'spki', format: 'der' })
  const body = sequence(
    explicit(0, integer(Uint8Array.of(2))),
    integer(serialNumber()),
    algorithm,
    signer.name,
    sequence(time(template.notBefore), time(template.notAfter)),
    template.subject,
    publicKey,
    explicit(3, sequence(...extensions(signer, template), keyIdExtension(publicKey))),
  )
  const certificate = sequence(body, algorithm, bitString(signBody(body, signer.key)))
  if (certificate.length > maxCertificateBytes) {
    throw badParameter(
      `certificate of ${certificate.length} bytes would be larger than ${maxCertificateBytes} bytes`,
      { hint: 'the user has too many traits, roles or groups' },
    )
  }
  return certificate
}

function extensions(signer: Signer, template: CertificateTemplate): Uint8Array[] {
  const { purposes, names } = template
  const authority = purposes === 'authority'
  const list = [
    extension(extensionOids.keyUsage, keyUsage(template), { critical: true }),
    extension(extensionOids.basicConstraints, authority ? sequence(boolean(true)) : sequence(), {
      critical: true,
    }),
  ]
  if (!authority) {
    const identifiers = purposes.map((purpose) => objectIdentifier(purposeOids[purpose]))
    list.push(extension(extensionOids.extendedKeyUsage, sequence(...identifiers)))
  }
  if (signer.keyId) list.push(extension(extensionOids.authorityKeyId, sequence(element(0x80, signer.keyId))))
  if (names.length > 0)
    list.push(extension(extensionOids.alternativeName, sequence(...names.map(alternativeName))))
  return list
}

// RFC 5280 4.2.1.3, counted from the highest bit: 0 digitalSignature, 2 keyEncipherment, 5 keyCertSign, 6 cRLSign.
function keyUsage({ purposes, publicKey }: CertificateTemplate): Uint8Array {
  if (purposes === 'authority') return bitString(Uint8Array.of(0b1000_0110), 1)
  return publicKey.asymmetricKeyType === 'rsa'
    ? bitString(Uint8Array.of(0b1010_0000), 5)
    : bitString(Uint8Array.of(0b1000_0000), 7)
}

function keyIdExtension(publicKey: Uint8Array): Uint8Array {
  return extension(extensionOids.subjectKeyId, octetString(keyIdOf(publicKey)))
}

function extension(oid: string, value: Uint8Array, { critical = false } = {}): Uint8Array {
  return sequence(objectIdentifier(oid), ...(critical ? [boolean(true)] : []), octetString(value))
}

/** RFC 7093 2, method 1: the first 160 bits of a SHA-256, here of the whole key information. */
export function keyIdOf(publicKey: Uint8Array): Uint8Array {
  return createHash('sha256').update(publicKey).digest().subarray(0, 20)
}

// RFC 5280 4.2.1.6: [2] is a DNS name, [7] an address.
function alternativeName(name: string): Uint8Array {
  const address = addressBytes(name)
  if (address) return element(0x87, address)
  const ascii = /^[\0-\x7f]*$/.test(name) ? name : domainToASCII(name)
  if (!/^[A-Za-z0-9_*][A-Za-z0-9_.*-]{0,252}$/.test(ascii))
    throw badParameter(`${JSON.stringify(name)} is neither a DNS name nor an IP address`)
  return element(0x82, Buffer.from(ascii, 'latin1'))
}

function addressBytes(name: string): Uint8Array | undefined {
  const version = isIP(name)
  if (version === 0) return undefined
  if (version === 4) return Uint8Array.from(name.split('.').map(Number))
  // The zone says by which interface, not who. The URL parser writes a dotted tail in hexadecimal.
  const canonical = new URL(`http://[${name.replace(/%.*$/, '')}]`).hostname.slice(1, -1)
  const [left = '', right = ''] = canonical.split('::')
  const groups = (text: string) =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
  const head = groups(left)
  const tail = groups(right)
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => 0)
  return Uint8Array.from([...head, ...zeros, ...tail].flatMap((group) => [group >> 8, group & 255]))
}

// Sixteen random bytes that read as a positive number of that length.
function serialNumber(): Uint8Array {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return bytes
}

/** The algorithm that a key of this type signs with: the only one that is taken of it. */
export function signatureAlgorithm(key: KeyObject): Uint8Array {
  switch (key.asymmetricKeyType) {
    case 'ec':
      return sequence(objectIdentifier('1.2.840.10045.4.3.2')) // ecdsa-with-SHA256
    case 'rsa':
      return sequence(objectIdentifier('1.2.840.113549.1.1.11'), element(tags.null)) // sha256WithRSAEncryption
    case 'ed25519':
      return sequence(objectIdentifier('1.3.101.112'))
    default:
      throw new TypeError(`keys of type ${key.asymmetricKeyType} do not sign certificates`)
  }
}

/** The digest to name to node's `sign` and `verify`: Ed25519 has its own. */
export function digestOf(key: KeyObject): 'sha256' | null {
  return key.asymmetricKeyType === 'ed25519' ? null : 'sha256'
}

function signBody(body: Uint8Array, key: KeyObject): Uint8Array {
  return sign(digestOf(key), body, key)
}
