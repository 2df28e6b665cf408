// The fields of an X.509 v3 certificate, read strictly: what the signature covers is exactly what is looked at.

import { readElement, readElements, readInside, readObjectIdentifier, readTime, tags } from './der.ts'

export interface Extension {
  readonly critical: boolean
  /** DER, as the extension defines it. */
  readonly value: Uint8Array
}

export interface CertificateFields {
  /** The signed bytes. */
  readonly body: Uint8Array
  readonly signatureAlgorithm: Uint8Array
  readonly signature: Uint8Array
  /** Encoded names. */
  readonly issuer: Uint8Array
  readonly subject: Uint8Array
  readonly notBefore: number
  readonly notAfter: number
  /** SPKI. */
  readonly publicKey: Uint8Array
  /** By object identifier. */
  readonly extensions: ReadonlyMap<string, Extension>
}

/** Throws a RangeError when the bytes are not exactly one certificate of version 3. */
export function readCertificate(der: Uint8Array): CertificateFields {
  const [body, algorithm, signature, ...more] = readInside(readElement(der, tags.sequence), tags.sequence)
  if (!body || algorithm?.tag !== tags.sequence || more.length > 0)
    throw new RangeError('certificate is malformed')
  const [version, serial, innerAlgorithm, issuer, validity, subject, publicKey, ...rest] = readInside(
    body,
    tags.sequence,
  )
  if (version?.tag !== 0xa0 || Buffer.compare(version.content, Uint8Array.of(tags.integer, 1, 2)) !== 0)
    throw new RangeError('certificate is not of version 3')
  if (serial?.tag !== tags.integer || issuer?.tag !== tags.sequence)
    throw new RangeError('certificate is malformed')
  if (subject?.tag !== tags.sequence || publicKey?.tag !== tags.sequence)
    throw new RangeError('certificate is malformed')
  if (!innerAlgorithm || Buffer.compare(innerAlgorithm.bytes, algorithm.bytes) !== 0)
    throw new RangeError('certificate names two signature algorithms')
  const [notBefore, notAfter, ...others] = readInside(validity, tags.sequence)
  if (!notBefore || !notAfter || others.length > 0) throw new RangeError('certificate has no dates')
  const [extensions, ...unknown] = rest
  if (unknown.length > 0) throw new RangeError('certificate is malformed')
  return {
    body: body.bytes,
    signatureAlgorithm: algorithm.bytes,
    signature: wholeBitString(signature),
    issuer: issuer.bytes,
    subject: subject.bytes,
    notBefore: readTime(notBefore),
    notAfter: readTime(notAfter),
    publicKey: publicKey.bytes,
    extensions: extensions ? readExtensions(extensions.tag, extensions.content) : new Map(),
  }
}

function wholeBitString(element: { tag: number; content: Uint8Array } | undefined): Uint8Array {
  if (element?.tag !== tags.bitString || element.content[0] !== 0)
    throw new RangeError('certificate has no signature')
  return element.content.subarray(1)
}

function readExtensions(tag: number, content: Uint8Array): Map<string, Extension> {
  if (tag !== 0xa3) throw new RangeError('certificate is malformed')
  const extensions = new Map<string, Extension>()
  for (const one of readInside(readElement(content, tags.sequence), tags.sequence)) {
    const fields = readInside(one, tags.sequence)
    const critical = fields[1]?.tag === tags.boolean
    const [oid, value] = critical ? [fields[0], fields[2]] : fields
    if (oid?.tag !== tags.objectIdentifier || value?.tag !== tags.octetString)
      throw new RangeError('certificate extension is malformed')
    if (fields.length !== (critical ? 3 : 2)) throw new RangeError('certificate extension is malformed')
    const name = readObjectIdentifier(oid.content)
    if (extensions.has(name)) throw new RangeError(`certificate has extension ${name} twice`)
    extensions.set(name, { critical, value: value.content })
  }
  return extensions
}

/** The object identifiers in an extended key usage. */
export function readPurposes(value: Uint8Array): string[] {
  return readInside(readElement(value, tags.sequence), tags.sequence).map(({ tag, content }) => {
    if (tag !== tags.objectIdentifier) throw new RangeError('extended key usage is malformed')
    return readObjectIdentifier(content)
  })
}

/** Whether basic constraints make the holder an authority. */
export function readIsAuthority(value: Uint8Array): boolean {
  const [first] = readInside(readElement(value, tags.sequence), tags.sequence)
  return first?.tag === tags.boolean && first.content[0] !== 0
}

/** The first octet of a key usage: bit 0 of RFC 5280 4.2.1.3 is its highest. */
export function readKeyUsage(value: Uint8Array): number {
  return readElement(value, tags.bitString).content[1] ?? 0
}

/** The content of an octet string, such as a subject key identifier. */
export function readOctets(value: Uint8Array): Uint8Array {
  const [only, ...more] = readElements(value)
  if (only?.tag !== tags.octetString || more.length > 0)
    throw new RangeError('extension is not an octet string')
  return only.content
}
