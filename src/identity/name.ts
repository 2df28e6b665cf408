// X.509 names as lists of attributes: one value each, in order, never joined or split at a separator (a comma in a
// name must not become two names, CVE-2026-35414).

import { badParameter } from '../errors.ts'
import { objectIdentifier, readElements, readObjectIdentifier, sequence, set, utf8String } from './der.ts'

export type Attribute = readonly [oid: string, value: string]

/** Longer than any sensible name, list of traits included. */
const maxValueLength = 64 * 1024
const utf8StringTag = 0x0c
const printableStringTag = 0x13
const ia5StringTag = 0x16

/** Control characters do not belong into names: NUL ends strings in C, a newline forges log lines. */
export function checkNameValue(value: string): void {
  if (/[\0-\x1f\x7f]/.test(value)) throw badParameter(`${JSON.stringify(value)} holds a control character`)
  if (value.length > maxValueLength) throw badParameter(`name of ${value.length} characters is too long`)
}

export function encodeName(attributes: readonly Attribute[]): Uint8Array {
  return sequence(
    ...attributes.map(([oid, value]) => {
      checkNameValue(value)
      return set(sequence(objectIdentifier(oid), utf8String(value)))
    }),
  )
}

/** The attributes of an encoded name. Throws a RangeError when it is not one. */
export function decodeName(der: Uint8Array): Attribute[] {
  const [name] = readElements(der)
  if (!name) throw new RangeError('name is empty')
  const attributes: Attribute[] = []
  for (const relative of readElements(name.content)) {
    for (const pair of readElements(relative.content)) {
      const [oid, value] = readElements(pair.content)
      if (!oid || !value) throw new RangeError('attribute is cut short')
      if (![utf8StringTag, printableStringTag, ia5StringTag].includes(value.tag)) {
        throw new RangeError('attribute value is not a UTF-8 string')
      }
      attributes.push([
        readObjectIdentifier(oid.content),
        new TextDecoder('utf-8', { fatal: true }).decode(value.content),
      ])
    }
  }
  return attributes
}

/** The subject's bytes inside a certificate. */
export function subjectOf(certificate: Uint8Array): Uint8Array {
  const [outer] = readElements(certificate)
  const [body] = readElements(outer?.content ?? new Uint8Array())
  const fields = readElements(body?.content ?? new Uint8Array())
  // version [0], serial, signature, issuer, validity, subject
  const subject = fields[fields[0]?.tag === 0xa0 ? 5 : 4]
  if (!subject) throw new RangeError('certificate has no subject')
  return subject.bytes
}
