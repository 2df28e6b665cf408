// X.509 names as lists of attributes: one value each, in order, never joined or split at a separator (a comma in a
// name must not become two names, CVE-2026-35414).

import { badParameter } from '../errors.ts'
import {
  type Element,
  objectIdentifier,
  readElement,
  readInside,
  readObjectIdentifier,
  sequence,
  set,
  tags,
  utf8String,
} from './der.ts'

export type Attribute = readonly [oid: string, value: string]

export function encodeName(attributes: readonly Attribute[]): Uint8Array {
  return sequence(
    ...attributes.map(([oid, value]) => {
      checkNameValue(value)
      return set(sequence(objectIdentifier(oid), utf8String(value)))
    }),
  )
}

// Every text comes back as it was, newlines too: who prints it or puts it into a header escapes or refuses it there.
// Two kinds cannot be told from another name by everyone who reads them: a NUL ends the string for programs in C, and
// half a surrogate pair is written as the same replacement character whichever half it was.
function checkNameValue(value: string): void {
  if (value.includes('\0')) throw badParameter(`name ${JSON.stringify(value)} holds a NUL character`)
  if (!value.isWellFormed()) throw badParameter(`name ${JSON.stringify(value)} is not Unicode text`)
}

/** The attributes of an encoded name. Throws a RangeError when it is not one. */
export function decodeName(der: Uint8Array): Attribute[] {
  return readInside(readElement(der, tags.sequence), tags.sequence).map((relative) => {
    const [pair, ...more] = readInside(relative, tags.set)
    if (more.length > 0) throw new RangeError('name has attributes in pairs')
    const [oid, value, ...rest] = readInside(pair, tags.sequence)
    if (oid?.tag !== tags.objectIdentifier || !value || rest.length > 0)
      throw new RangeError('name attribute is malformed')
    return [readObjectIdentifier(oid.content), readText(value)]
  })
}

function readText({ tag, content }: Element): string {
  if (tag !== tags.utf8String && tag !== tags.printableString)
    throw new RangeError('name attribute is not a UTF-8 string')
  // Without `ignoreBOM` a leading byte order mark is dropped, and one name becomes another.
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content)
  if (text.includes('\0')) throw new RangeError('name attribute holds a NUL character')
  return text
}
