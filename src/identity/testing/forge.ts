// Certificates that differ from what we issue in one thing only.

import { sign } from 'node:crypto'
import type { Authority } from '../authority.ts'
import {
  bitString,
  boolean,
  element,
  explicit,
  objectIdentifier,
  octetString,
  readElement,
  readInside,
  sequence,
  tags,
} from '../der.ts'
import { digestOf, signatureAlgorithm } from '../encode-certificate.ts'

/** Fields of the signed body, in order. */
export const field = {
  version: 0,
  serial: 1,
  algorithm: 2,
  issuer: 3,
  validity: 4,
  subject: 5,
  publicKey: 6,
  extensions: 7,
} as const

/** A certificate with its body edited, signed anew by this authority. */
export function forge(
  der: Uint8Array,
  { authority, edit }: { authority: Authority; edit: (fields: Uint8Array[]) => Uint8Array[] },
): Uint8Array {
  const [body] = readInside(readElement(der, tags.sequence), tags.sequence)
  const fields = readInside(body, tags.sequence).map(({ bytes }) => bytes)
  const { key } = authority.signer
  const edited = sequence(...edit(fields))
  return sequence(edited, signatureAlgorithm(key), bitString(sign(digestOf(key), edited, key)))
}

/** Sets one extension (DER), or removes it when there is no value. */
export function withExtension(
  fields: Uint8Array[],
  { oid, value, critical = false }: { oid: string; value?: Uint8Array; critical?: boolean },
): Uint8Array[] {
  const name = objectIdentifier(oid)
  const [list] = readInside(readElement(fields[field.extensions] ?? new Uint8Array(), 0xa3), 0xa3)
  const kept = readInside(list, tags.sequence).filter(
    ({ content }) => Buffer.compare(content.subarray(0, name.length), name) !== 0,
  )
  const added = value ? [sequence(name, ...(critical ? [boolean(true)] : []), octetString(value))] : []
  const extensions = explicit(3, sequence(...kept.map(({ bytes }) => bytes), ...added))
  return fields.with(field.extensions, extensions)
}

/** An element that hides any bytes, such as another certificate, in well-formed DER. */
export function wrapped(bytes: Uint8Array): Uint8Array {
  return element(tags.octetString, bytes)
}
