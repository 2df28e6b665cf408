import { describe, expect, it } from 'bun:test'
import { isKind, TeleportError } from '../errors.ts'
import { type Authority, createAuthority, loadAuthority } from './authority.ts'
import { issueHostCertificate, issueUserCertificate } from './certificate.ts'
import {
  bitString,
  boolean,
  explicit,
  integer,
  objectIdentifier,
  readElement,
  readInside,
  sequence,
  time,
} from './der.ts'
import { encodeCertificate, extensionOids, purposeOids } from './encode-certificate.ts'
import type { HostIdentity, Identity, UserIdentity } from './identity.ts'
import { generateKeyPair, parsePublicKey } from './keys.ts'
import { encodeName } from './name.ts'
import { fromPem, toPem } from './pem.ts'
import { userSubject } from './subject.ts'
import { field, forge, withExtension, wrapped } from './testing/forge.ts'
import { testHost, testUser } from './testing/identities.ts'
import { createVerifier } from './verify.ts'

const now = Date.parse('2026-06-01T12:00:00Z')
const dates = { notBefore: now - 60_000, notAfter: now + 3600_000 }
/** Older than what it signs. */
const newAuthority = (cluster = 'root') => loadAuthority(createAuthority(cluster, () => now - 24 * 3600_000))
const users = newAuthority()
const hosts = newAuthority()
const keys = generateKeyPair()
const der = (pem: string) => fromPem('CERTIFICATE', pem)

const user = (fields: Partial<UserIdentity> = {}, authority: Authority = users) =>
  der(
    issueUserCertificate(authority, {
      identity: testUser({ ...dates, ...fields }),
      publicKey: keys.publicKey,
    }),
  )
const host = (fields: Partial<HostIdentity> = {}, authority: Authority = hosts) =>
  der(
    issueHostCertificate(authority, {
      identity: testHost({ ...dates, ...fields }),
      publicKey: keys.publicKey,
      names: [],
    }),
  )

function verifier(clock = now, lockedBecause?: (identity: Identity) => string | undefined) {
  return createVerifier({
    authorities: () => ({ user: [users.certificate], host: [hosts.certificate] }),
    clock: () => clock,
    ...(lockedBecause ? { lockedBecause } : {}),
  })
}

function refusal(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof TeleportError) return `${error.kind}: ${error.message}`
    throw error
  }
  return 'accepted'
}
const refusalOf = (...peer: Uint8Array[]) => refusal(() => verifier().verify(peer))

describe('a chain', () => {
  it('says who holds it', () => {
    expect(verifier().verify([user({ username: 'bob' })])).toEqual(testUser({ ...dates, username: 'bob' }))
    expect(verifier().verify([host({ roles: ['Auth', 'Proxy'] })])).toEqual(
      testHost({ ...dates, roles: ['Auth', 'Proxy'] }),
    )
  })

  it('is one certificate, no more and no less', () => {
    expect(refusalOf()).toBe('unauthenticated: only mutual TLS authentication is supported')
    expect(refusalOf(user(), user())).toBe('unauthenticated: intermediaries are not supported')
    expect(refusalOf(user(), der(users.certificate))).toBe(
      'unauthenticated: intermediaries are not supported',
    )
  })

  it('carries 300 groups', () => {
    const kubernetesGroups = Array.from({ length: 300 }, (_, index) => `group-${index},${'x'.repeat(30)}`)
    expect(verifier().verify([user({ kubernetesGroups })])).toMatchObject({ kubernetesGroups })
  })

  it('gives the same identity each time, as long as it is remembered', () => {
    const { verify } = verifier()
    const certificate = user()
    expect(verify([certificate])).toBe(verify([certificate.slice()]))
  })
})

describe('dates', () => {
  it.each([
    ['the last millisecond', dates.notAfter - 1, 'accepted'],
    ['the end', dates.notAfter, 'unauthenticated: certificate has expired'],
    ['a millisecond after the end', dates.notAfter + 1, 'unauthenticated: certificate has expired'],
    ['the beginning', dates.notBefore, 'accepted'],
    ['a millisecond before', dates.notBefore - 1, 'unauthenticated: certificate is not valid yet'],
  ])('count at %s', (_, clock, outcome) => {
    expect(refusal(() => verifier(clock).verify([user()]))).toBe(outcome)
  })

  it('are looked at each time, also of a certificate that is known', () => {
    let clock = now
    const { verify, check } = createVerifier({
      authorities: () => ({ user: [users.certificate], host: [] }),
      clock: () => clock,
    })
    const certificate = user()
    const identity = verify([certificate])
    expect(refusal(() => check(identity))).toBe('accepted')
    clock = dates.notAfter + 1
    expect(refusal(() => verify([certificate]))).toBe('unauthenticated: certificate has expired')
    expect(refusal(() => check(identity))).toBe('unauthenticated: certificate has expired')
  })

  it('of the authority count too', () => {
    const old = newAuthority()
    const early = user({ notBefore: now - 48 * 3600_000 }, old)
    const late = user({ notBefore: now, notAfter: now + 20 * 365 * 24 * 3600_000 }, old)
    const { verify } = createVerifier({
      authorities: () => ({ user: [old.certificate], host: [] }),
      clock: () => now + 11 * 365 * 24 * 3600_000,
    })
    expect(refusal(() => verify([late]))).toBe('unauthenticated: certificate authority has expired')
    const before = createVerifier({
      authorities: () => ({ user: [old.certificate], host: [] }),
      clock: () => now - 36 * 3600_000,
    })
    expect(refusal(() => before.verify([early]))).toBe(
      'unauthenticated: certificate authority is not valid yet',
    )
  })

  it.each([
    ['no dates', sequence()],
    ['one date', sequence(time(now))],
    ['three dates', sequence(time(now), time(now), time(now))],
    ['words', sequence(objectIdentifier('1.2.3'), objectIdentifier('1.2.3'))],
  ])('are refused when they are %s', (_, validity) => {
    const forged = forge(user(), {
      authority: users,
      edit: (fields) => fields.with(field.validity, validity),
    })
    expect(refusalOf(forged)).toStartWith('unauthenticated: certificate is not valid: ')
  })
})

describe('authorities', () => {
  it('sign their own kind alone', () => {
    expect(refusalOf(user({ roles: ['Proxy'] }, hosts))).toBe(
      'unauthenticated: certificate is not valid: its authority signs hosts alone',
    )
    expect(refusalOf(host({ roles: ['Admin'] }, users))).toBe(
      'unauthenticated: certificate is not valid: its authority signs users alone',
    )
  })

  it('give no user the subject of a host, nor a host that of a user', () => {
    const swap = (certificate: Uint8Array, authority: Authority, identity: Uint8Array) =>
      forge(certificate, { authority, edit: (fields) => fields.with(field.subject, identity) })
    const hostName = subjectOf(host())
    const userName = encodeName(userSubject(testUser({ username: 'x.root', roles: ['Admin'] })))
    expect(refusalOf(swap(user(), users, hostName))).toBe(
      'unauthenticated: certificate is not valid: subject is not that of a user',
    )
    expect(refusalOf(swap(host(), hosts, userName))).toBe(
      'unauthenticated: certificate is not valid: subject is that of a user',
    )
  })

  it('that are unknown sign nobody, whatever they are called', () => {
    expect(refusalOf(user({}, newAuthority()))).toBe(
      'unauthenticated: certificate is signed by an unknown authority',
    )
  })

  it('speak for their own cluster', () => {
    const leaf = newAuthority('leaf')
    const { verify } = createVerifier({
      authorities: () => ({ user: [users.certificate, leaf.certificate], host: [] }),
      clock: () => now,
    })
    expect(verify([user({ cluster: 'leaf' }, leaf)])).toMatchObject({ cluster: 'leaf' })
    expect(refusal(() => verify([user({ cluster: 'root' }, leaf)]))).toBe(
      'unauthenticated: certificate is not valid: its authority does not speak for cluster "root"',
    )
  })

  it('that are no longer trusted end what they signed at once', () => {
    let trusted = [users.certificate]
    const { verify, check } = createVerifier({
      authorities: () => ({ user: trusted, host: [users.certificate] }),
      clock: () => now,
    })
    const certificate = user()
    const identity = verify([certificate])
    trusted = []
    expect(refusal(() => check(identity))).toBe(
      'unauthenticated: certificate is signed by an unknown authority',
    )
    expect(refusal(() => verify([certificate]))).toStartWith('unauthenticated: ')
  })

  it('may come back with the same key in another certificate', () => {
    const stored = createAuthority('root', () => now)
    const first = loadAuthority(stored)
    const again = toPem(
      'CERTIFICATE',
      forge(der(stored.certificate), { authority: first, edit: (fields) => fields }),
    )
    let trusted = [first.certificate]
    const { verify } = createVerifier({ authorities: () => ({ user: trusted, host: [] }), clock: () => now })
    const certificate = user({}, first)
    verify([certificate])
    trusted = [again]
    expect(again).not.toBe(first.certificate)
    expect(verify([certificate])).toMatchObject({ username: 'alice' })
  })
})

describe('a certificate is refused', () => {
  const edited = (certificate: Uint8Array, edit: (fields: Uint8Array[]) => Uint8Array[], authority = users) =>
    forge(certificate, { authority, edit })
  const extended = (extension: Parameters<typeof withExtension>[1]) =>
    edited(user(), (fields) => withExtension(fields, extension))
  const purposes = (...names: (keyof typeof purposeOids)[]) => ({
    oid: extensionOids.extendedKeyUsage,
    value: sequence(...names.map((name) => objectIdentifier(purposeOids[name]))),
  })
  const basic = (value: Uint8Array) => ({ oid: extensionOids.basicConstraints, value, critical: true })
  const usage = (bits: number) => ({ oid: extensionOids.keyUsage, value: bitString(Uint8Array.of(bits), 0) })

  it('not when it was only signed anew', () => {
    expect(refusalOf(edited(user(), (fields) => fields))).toBe('accepted')
    expect(refusalOf(extended({ oid: '1.3.9999.7', value: sequence() }))).toBe('accepted')
  })

  it.each([
    ['is an authority', extended(basic(sequence(boolean(true)))), 'an authority cannot be a client'],
    ['may sign others', extended(usage(0b1000_0100)), 'its key is not for digital signatures alone'],
    ['may not sign at all', extended(usage(0b0010_0000)), 'its key is not for digital signatures alone'],
    [
      'has no key usage',
      extended({ oid: extensionOids.keyUsage }),
      'its key is not for digital signatures alone',
    ],
    ['is for servers', extended(purposes('serverAuth')), 'it is not for clients'],
    ['is for servers too', extended(purposes('clientAuth', 'serverAuth')), 'its authority signs users alone'],
    ['is for nothing', extended(purposes()), 'it is not for clients'],
    [
      'does not say what it is for',
      extended({ oid: extensionOids.extendedKeyUsage }),
      'DER is not one element',
    ],
    [
      'has an unknown critical extension',
      extended({ oid: '2.5.29.30', value: sequence(), critical: true }),
      'its critical extension 2.5.29.30 is unknown',
    ],
    [
      'has an extension twice',
      edited(user(), (fields) =>
        fields.with(field.extensions, explicit(3, sequence(...twice(fields[field.extensions]!)))),
      ),
      'certificate has extension',
    ],
    [
      'is of version 1',
      edited(user(), (fields) => fields.slice(1, field.extensions)),
      'certificate is not of version 3',
    ],
    [
      'is of version 4',
      edited(user(), (fields) => fields.with(field.version, explicit(0, integer(Uint8Array.of(3))))),
      'certificate is not of version 3',
    ],
    [
      'has no extensions',
      edited(user(), (fields) => fields.slice(0, field.extensions)),
      'its key is not for',
    ],
    [
      'names another algorithm inside',
      edited(user(), (fields) =>
        fields.with(field.algorithm, sequence(objectIdentifier('1.2.840.10045.4.3.3'))),
      ),
      'certificate names two signature algorithms',
    ],
    [
      'has a second subject',
      edited(user(), (fields) => fields.toSpliced(field.subject, 0, fields[field.subject]!)),
      'certificate is malformed',
    ],
    ['is the authority itself', der(users.certificate), 'an authority cannot be a client'],
    ['is nothing', new Uint8Array(), 'DER is not one element'],
    ['is text', new Uint8Array(Buffer.from(toPem('CERTIFICATE', user()))), 'DER'],
    ['is too large', new Uint8Array(61 * 1024), 'it is larger than 61440 bytes'],
  ])('when it %s', (_, certificate, problem) => {
    expect(refusalOf(certificate)).toStartWith(`unauthenticated: certificate is not valid: ${problem}`)
  })

  it('when it hides a good one behind a false one, or has anything after it', () => {
    const stranger = newAuthority()
    const admin = user({ username: 'admin' }, stranger)
    const good = user({ username: 'mallory' })
    const pem = Buffer.from(`\n${toPem('CERTIFICATE', good)}`)
    for (const trailing of [wrapped(pem), wrapped(good), good, pem, sequence(), Uint8Array.of(0)]) {
      expect(refusalOf(Buffer.concat([admin, trailing]))).toStartWith('unauthenticated: ')
      expect(refusalOf(Buffer.concat([good, trailing]))).toStartWith('unauthenticated: ')
    }
  })

  it('when any byte of it was changed', () => {
    const good = user()
    const { verify } = verifier()
    for (const bit of [0x01, 0x80]) {
      for (let index = 0; index < good.length; index++) {
        const bad = good.with(index, (good[index] ?? 0) ^ bit)
        expect([index, refusal(() => verify([bad]))]).toEqual([
          index,
          expect.stringMatching(/^unauthenticated: /),
        ])
      }
    }
  })

  it('when it is cut short anywhere', () => {
    const good = user()
    for (let length = 0; length < good.length; length++)
      expect(refusalOf(good.subarray(0, length))).toStartWith('unauthenticated: certificate is not valid: ')
  })

  it('when parts of two good ones are put together', () => {
    const [alice, bob] = [user({ username: 'alice' }), user({ username: 'bob', roles: ['admin'] })]
    const body = (certificate: Uint8Array) => certificate.subarray(0, certificate.length - 80)
    expect(refusalOf(Buffer.concat([body(bob), alice.subarray(alice.length - 80)]))).toStartWith(
      'unauthenticated: certificate is',
    )
  })
})

describe('locks', () => {
  it('hold at once and for everything that was verified before', () => {
    let locked: string | undefined
    const { verify, check } = verifier(now, () => locked)
    const certificate = user()
    const identity = verify([certificate])
    locked = 'lock targeting User:"alice" is in force: gone'
    const denied = 'access-denied: lock targeting User:"alice" is in force: gone'
    expect(refusal(() => verify([certificate]))).toBe(denied)
    expect(refusal(() => check(identity))).toBe(denied)
    locked = undefined
    expect(refusal(() => check(identity))).toBe('accepted')
  })

  it('are asked about the holder, and never about one whose certificate is not valid', () => {
    const asked: string[] = []
    const { verify } = verifier(now, (identity) => {
      asked.push(identity.type === 'user' ? identity.username : identity.hostId)
      return undefined
    })
    verify([user({ username: 'bob' })])
    expect(
      isKind(
        tryTo(() => verify([user({}, newAuthority())])),
        'unauthenticated',
      ),
    ).toBe(true)
    expect(asked).toEqual(['bob'])
  })
})

it('check is only for identities that were verified here', () => {
  const { check } = verifier()
  expect(() => check(testUser(dates))).toThrow(new TypeError('identity was not verified here'))
  expect(() => check({ ...verifier().verify([user()]) })).toThrow(TypeError)
})

it('other kinds of keys sign and are signed for', async () => {
  const { generateKeyPairSync } = await import('node:crypto')
  const kinds = [
    generateKeyPairSync('ed25519'),
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
    generateKeyPairSync('ec', { namedCurve: 'prime256v1' }),
  ]
  for (const { privateKey, publicKey } of kinds) {
    const name = encodeName([['2.5.4.3', 'root']])
    const signer = { name, key: privateKey }
    const authority = toPem(
      'CERTIFICATE',
      encodeCertificate(signer, {
        subject: name,
        publicKey,
        ...dates,
        purposes: 'authority',
        names: [],
      }),
    )
    const { verify } = createVerifier({
      authorities: () => ({ user: [authority], host: [] }),
      clock: () => now,
    })
    for (const subject of kinds) {
      const certificate = encodeCertificate(signer, {
        subject: encodeName(userSubject(testUser({}))),
        publicKey: parsePublicKey(subject.publicKey.export({ type: 'spki', format: 'pem' }).toString()),
        ...dates,
        purposes: ['clientAuth'],
        names: [],
      })
      expect(verify([certificate])).toEqual(testUser(dates))
    }
  }
})

function subjectOf(certificate: Uint8Array): Uint8Array {
  let subject = new Uint8Array()
  forge(certificate, {
    authority: users,
    edit: (fields) => {
      subject = new Uint8Array(fields[field.subject] ?? subject)
      return fields
    },
  })
  return subject
}

function twice(extensions: Uint8Array): Uint8Array[] {
  const [list] = readInside(readElement(extensions, 0xa3), 0xa3)
  return [list!.content, list!.content]
}

function tryTo(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return error
  }
}
