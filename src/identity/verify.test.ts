import { describe, expect, it } from 'bun:test'
import { X509Certificate } from 'node:crypto'
import fc from 'fast-check'
import { TeleportError } from '../errors.ts'
import { authorityPin, createAuthority, loadAuthority, selfSignedServerCertificate } from './authority.ts'
import { issueHostCertificate, issueUserCertificate, userFromSubject, userSubject } from './certificate.ts'
import type { Identity, UserIdentity } from './identity.ts'
import { generateKeyPair } from './keys.ts'
import { decodeName, encodeName, subjectOf } from './name.ts'
import { testHost, testUser } from './testing/identities.ts'
import { createVerifier } from './verify.ts'

const now = Date.parse('2026-06-01T12:00:00Z')
const dates = { notBefore: now - 60_000, notAfter: now + 3600_000 }
const users = loadAuthority(createAuthority('root', () => now))
const hosts = loadAuthority(createAuthority('root', () => now))
const keys = generateKeyPair()
const der = (pem: string) => new Uint8Array(new X509Certificate(pem).raw)
const user = (fields: Partial<UserIdentity> = {}) =>
  der(issueUserCertificate(users, { identity: testUser({ ...dates, ...fields }), publicKey: keys.publicKey }))

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

describe('names', () => {
  it.each([
    ['a,b'],
    ['#0c0141'],
    ['CN=root+O=x'],
    ['"quoted"\\'],
    [' spaces '],
    ['ünïcødé 日本'],
    ['system:masters'],
  ])('carry %j as one value', (value) => {
    const identity = testUser({
      ...dates,
      username: value,
      kubernetesGroups: [value, value],
      traits: { [value]: [value] },
    })
    expect(userFromSubject(decodeName(encodeName(userSubject(identity))), dates)).toEqual(identity)
  })

  it.each([['a\0b'], ['a\nb'], ['a\x7fb']])('refuse the control character in %j', (value) => {
    expect(refusal(() => encodeName([['2.5.4.3', value]]))).toStartWith('bad-parameter: ')
  })

  it('carry 300 groups in order', () => {
    const kubernetesGroups = Array.from({ length: 300 }, (_, index) => `group-${index},${'x'.repeat(30)}`)
    const identity = verifier().verify([user({ kubernetesGroups })])
    expect(identity).toMatchObject({ kubernetesGroups })
  })

  it('round trip whatever printable text there is', () => {
    const text = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 50 })
      .filter((value) => !/[\0-\x1f\x7f]/.test(value))
    fc.assert(
      fc.property(text, fc.array(text, { maxLength: 5 }), (username, roles) => {
        const identity = testUser({ ...dates, username, roles, logins: roles, kubernetesUsers: roles })
        expect(userFromSubject(decodeName(encodeName(userSubject(identity))), dates)).toEqual(identity)
      }),
      { numRuns: 200 },
    )
  })
})

describe('verify', () => {
  it('says who holds a user or host certificate', () => {
    expect(verifier().verify([user({ username: 'bob' })])).toEqual(testUser({ ...dates, username: 'bob' }))
    const host = issueHostCertificate(hosts, {
      identity: testHost(dates),
      publicKey: keys.publicKey,
      names: ['::1', 'a.b'],
    })
    expect(verifier().verify([der(host)])).toEqual(testHost(dates))
    expect(new X509Certificate(host).checkHost('x.teleport.cluster.local')).toBe('*.teleport.cluster.local')
    expect(new X509Certificate(host).checkIP('::1')).toBe('::1')
  })

  it('wants exactly one certificate', () => {
    expect(refusal(() => verifier().verify([]))).toBe(
      'unauthenticated: only mutual TLS authentication is supported',
    )
    expect(refusal(() => verifier().verify([user(), user()]))).toBe(
      'unauthenticated: intermediaries are not supported',
    )
  })

  it('looks at the dates each time, to the second, also of a certificate it knows', () => {
    let clock = now
    const { verify, check } = createVerifier({
      authorities: () => ({ user: [users.certificate], host: [] }),
      clock: () => clock,
    })
    const certificate = user()
    const identity = verify([certificate])
    clock = dates.notAfter
    expect(refusal(() => verify([certificate]))).toBe('unauthenticated: certificate has expired')
    expect(refusal(() => check(identity))).toBe('unauthenticated: certificate has expired')
    clock = dates.notBefore - 1000
    expect(refusal(() => verify([certificate]))).toBe('unauthenticated: certificate is not valid yet')
  })

  it('never takes one authority for the other, nor one it does not know', () => {
    const byHostAuthority = issueUserCertificate(hosts, {
      identity: testUser({ ...dates, roles: ['Proxy'] }),
      publicKey: keys.publicKey,
    })
    expect(refusal(() => verifier().verify([der(byHostAuthority)]))).toBe(
      'unauthenticated: certificate is not valid: subject is not that of a host',
    )
    const byUserAuthority = issueHostCertificate(users, {
      identity: testHost({ ...dates, roles: ['Admin'] }),
      publicKey: keys.publicKey,
      names: [],
    })
    expect(verifier().verify([der(byUserAuthority)])).toMatchObject({ type: 'user' })
    const stranger = loadAuthority(createAuthority('root', () => now))
    const foreign = issueUserCertificate(stranger, { identity: testUser(dates), publicKey: keys.publicKey })
    expect(refusal(() => verifier().verify([der(foreign)]))).toBe(
      'unauthenticated: certificate is signed by an unknown authority',
    )
  })

  it('stops trusting a known certificate when its authority goes', () => {
    let trusted = [users.certificate]
    const { verify } = createVerifier({ authorities: () => ({ user: trusted, host: [] }), clock: () => now })
    const certificate = user()
    verify([certificate])
    trusted = []
    expect(refusal(() => verify([certificate]))).toBe(
      'unauthenticated: certificate is signed by an unknown authority',
    )
  })

  it('refuses the authority itself, server certificates and locked holders', () => {
    expect(refusal(() => verifier().verify([der(users.certificate)]))).toContain(
      'an authority cannot be a client',
    )
    const server = selfSignedServerCertificate(['localhost'], () => now)
    expect(refusal(() => verifier().verify([der(server.certificate)]))).toContain(
      'certificate is not for clients',
    )
    const locked = verifier(now, () => 'lock targeting User:"alice" is in force: gone')
    expect(refusal(() => locked.verify([user()]))).toBe(
      'access-denied: lock targeting User:"alice" is in force: gone',
    )
  })

  it('accepts no certificate in which any byte was changed', () => {
    const good = user()
    const { verify } = verifier()
    for (let index = 0; index < good.length; index++) {
      const bad = good.slice()
      bad[index] = (bad[index] ?? 0) ^ 0x01
      expect([index, refusal(() => verify([bad]))]).not.toEqual([index, 'accepted'])
    }
  })
})

describe('authorities', () => {
  it('are what openssl takes for one, and so is what they issue', async () => {
    const folder = await import('node:fs/promises').then(({ mkdtemp }) => mkdtemp('/tmp/teleport-openssl-'))
    const real = Date.now()
    const authority = loadAuthority(createAuthority('root'))
    const identity = testUser({
      notBefore: real - 60_000,
      notAfter: real + 3600_000,
      kubernetesGroups: ['a,b'],
    })
    await Bun.write(`${folder}/ca.pem`, authority.certificate)
    await Bun.write(
      `${folder}/user.pem`,
      issueUserCertificate(authority, { identity, publicKey: keys.publicKey }),
    )
    const check = Bun.spawn(
      [
        'openssl',
        'verify',
        '-x509_strict',
        '-purpose',
        'sslclient',
        '-CAfile',
        `${folder}/ca.pem`,
        `${folder}/user.pem`,
      ],
      {
        stdout: 'pipe',
        stderr: 'pipe',
        env: { PATH: process.env['PATH'] ?? '' },
      },
    )
    expect(await check.stdout.text()).toBe(`${folder}/user.pem: OK\n`)
    expect(await check.exited).toBe(0)
    await import('node:fs/promises').then(({ rm }) => rm(folder, { recursive: true }))
  })

  it('have a pin that is the hash of their key, and a subject that is their name', () => {
    expect(authorityPin(users.certificate)).toMatch(/^sha256:[0-9a-f]{64}$/)
    expect(decodeName(subjectOf(der(users.certificate)))).toEqual([
      ['2.5.4.3', 'root'],
      ['2.5.4.10', 'root'],
    ])
  })
})
