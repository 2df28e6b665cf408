import { describe, expect, it } from 'bun:test'
import { announcedAuthorities, subjectLength } from './authority-names.ts'
import { testCertificate } from './testing/certificates.ts'

describe('announcedAuthorities', () => {
  const local = testCertificate({ name: 'local' }).certificate
  const trusted = testCertificate({ name: 'x'.repeat(60) }).certificate

  it('measures the subject', () => {
    // SEQUENCE, SET, SEQUENCE with two bytes each, five for the attribute's identifier, two for the text.
    expect(subjectLength(local)).toBe(2 + 2 + 2 + 5 + 2 + 'local'.length)
  })

  it.each([
    [1, 1],
    [100, 101],
    [999, 1],
  ])('with %d trusted authorities it names %d in all', (count, named) => {
    expect(announcedAuthorities([local], Array(count === 1 ? 0 : count).fill(trusted))).toHaveLength(named)
  })
})
