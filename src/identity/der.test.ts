import { describe, expect, it } from 'bun:test'
import fc from 'fast-check'
import {
  bitString,
  element,
  integer,
  objectIdentifier,
  readElement,
  readElements,
  readInside,
  readObjectIdentifier,
  readTime,
  sequence,
  tags,
  time,
  utf8String,
} from './der.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const bytes = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'))

describe('writing', () => {
  it.each([
    ['a short sequence', sequence(utf8String('a'), integer(Uint8Array.of(2))), '3006 0c0161 020102'],
    ['an integer whose high bit is set', integer(Uint8Array.of(0x80)), '0202 0080'],
    ['an integer with leading zeros', integer(Uint8Array.of(0, 0, 1)), '0201 01'],
    ['zero', integer(Uint8Array.of(0, 0)), '0201 00'],
    ['bits', bitString(Uint8Array.of(0xa0), 5), '0302 05a0'],
    ['an identifier', objectIdentifier('1.2.840.10045.4.3.2'), '0608 2a8648ce3d040302'],
    ['an identifier of ours', objectIdentifier('1.3.9999.1.20'), '0605 2bce0f0114'],
  ])('%s', (_, written, expected) => {
    expect(hex(written)).toBe(expected.replaceAll(' ', ''))
  })

  it.each([
    [127, '047f'],
    [128, '048180'],
    [255, '0481ff'],
    [256, '04820100'],
    [65_536, '0483010000'],
  ])('a length of %d in the fewest octets', (length, header) => {
    const written = element(tags.octetString, new Uint8Array(length))
    expect(hex(written.subarray(0, written.length - length))).toBe(header)
    expect(readElement(written, tags.octetString).content.length).toBe(length)
  })

  it.each([
    ['1950-01-01T00:00:00Z', '170d 3530303130313030303030305a'],
    ['2049-12-31T23:59:59.999Z', '170d 3439313233313233353935395a'],
    ['2050-01-01T00:00:00Z', '180f 32303530303130313030303030305a'],
  ])('%s', (date, expected) => {
    const written = time(Date.parse(date))
    expect(hex(written)).toBe(expected.replaceAll(' ', ''))
    const [read] = readElements(written)
    expect(readTime(read!)).toBe(Math.floor(Date.parse(date) / 1000) * 1000)
  })

  it('refuses dates that do not fit', () => {
    expect(() => time(Date.parse('+010000-01-01T00:00:00Z'))).toThrow('date is outside')
    expect(() => time(Number.MAX_SAFE_INTEGER)).toThrow(RangeError)
  })
})

describe('reading', () => {
  it.each([
    ['nothing after the tag', '30', 'cut short'],
    ['less than the length says', '3003 0201', 'cut short'],
    ['no room for the length', '3082 01', 'cut short'],
    ['an indefinite length', '3080 0000', 'not definite'],
    ['a length of five octets', '3085 0000000001 00', 'too long'],
    ['a long form that could be short', '308101 00', 'not the shortest'],
    ['a length with a leading zero', '30820080' + '00'.repeat(128), 'not the shortest'],
    ['a tag of several octets', '1f8101 00', 'more than one octet'],
  ])('refuses %s', (_, encoded, problem) => {
    expect(() => readElements(bytes(encoded))).toThrow(problem)
  })

  it('refuses another tag, and bytes after the element', () => {
    expect(() => readElement(bytes('020101'), tags.sequence)).toThrow('not one element of tag 48')
    expect(() => readElement(bytes('3000 00'), tags.sequence)).toThrow(RangeError)
    expect(() => readElement(bytes('3000 3000'), tags.sequence)).toThrow('not one element of tag 48')
    expect(() => readInside(undefined, tags.sequence)).toThrow('tag 48 is missing')
  })

  it.each([
    ['month 13', tags.utcTime, '261301000000Z'],
    ['30 February', tags.utcTime, '260230000000Z'],
    ['hour 24', tags.utcTime, '260101240000Z'],
    ['a zone', tags.utcTime, '2601010000+0100'],
    ['fractions', tags.generalizedTime, '20260101000000.5Z'],
    ['no seconds', tags.utcTime, '2601010000Z'],
    ['a date of another type', tags.utf8String, '20260101000000Z'],
    ['the year 50', tags.generalizedTime, '00500101000000Z'],
  ])('refuses a time with %s', (_, tag, text) => {
    const [read] = readElements(element(tag, Buffer.from(text)))
    expect(() => readTime(read!)).toThrow('DER time is malformed')
  })

  it('refuses identifiers that are cut short or too large', () => {
    expect(() => readObjectIdentifier(bytes('2b81'))).toThrow('cut short')
    expect(() => readObjectIdentifier(new Uint8Array())).toThrow('cut short')
    expect(() => readObjectIdentifier(bytes('2bffffffffff7f'))).toThrow('too large')
  })

  it('gives back what was written', () => {
    const arc = fc.integer({ min: 0, max: 0xffffffff })
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 39 }), fc.array(arc, { maxLength: 8 }), (second, rest) => {
        const dotted = [1, second, ...rest].join('.')
        const { content } = readElement(objectIdentifier(dotted), tags.objectIdentifier)
        expect(readObjectIdentifier(content)).toBe(dotted)
      }),
      { numRuns: 100 },
    )
  })

  it('either reads any bytes or throws a RangeError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (any) => {
        try {
          const all = readElements(any).flatMap((one) => [...one.bytes])
          expect(all).toEqual([...any])
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError)
        }
      }),
      { numRuns: 500 },
    )
  })
})
