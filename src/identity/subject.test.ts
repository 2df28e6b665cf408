import { describe, expect, it } from 'bun:test'
import fc from 'fast-check'
import { TeleportError } from '../errors.ts'
import { element, objectIdentifier, sequence, set, utf8String } from './der.ts'
import type { UserIdentity } from './identity.ts'
import { type Attribute, decodeName, encodeName } from './name.ts'
import { hostFromSubject, hostSubject, oids, userFromSubject, userSubject } from './subject.ts'
import { testHost, testUser } from './testing/identities.ts'

const dates = { notBefore: 0, notAfter: Number.MAX_SAFE_INTEGER }
const roundTrip = (identity: UserIdentity) =>
  userFromSubject(decodeName(encodeName(userSubject(identity))), dates)

const full = testUser({
  username: 'alice',
  roles: ['access', 'dev'],
  usage: ['usage:kube'],
  logins: ['root', ''],
  traits: { logins: ['root'], 'a,b': [], '': [''] },
  routeToCluster: 'leaf',
  kubernetesCluster: 'prod',
  kubernetesUsers: ['alice', 'bob'],
  kubernetesGroups: ['system:masters', 'dev'],
  userType: 'sso',
  mfaDevice: 'device-1',
  loginIp: '10.0.0.1',
  pinnedIp: '10.0.0.1',
  renewable: true,
  generation: 7,
  disallowReissue: true,
  impersonator: 'bot-x',
  accessRequests: ['r1', 'r2'],
  allowedResourceIds: '[{"cluster":"root"}]',
  previousIdentityExpires: Date.parse('2026-01-01T00:00:00Z'),
  botName: 'x',
  botInstance: 'y',
  privateKeyPolicy: 'none',
})

describe('user subject', () => {
  it('puts each field where other programs look for it', () => {
    expect(userSubject(full)).toEqual([
      ['2.5.4.3', 'alice'],
      ['2.5.4.10', 'access'],
      ['2.5.4.10', 'dev'],
      ['2.5.4.11', 'usage:kube'],
      ['2.5.4.7', 'root'],
      ['2.5.4.7', ''],
      ['2.5.4.9', 'leaf'],
      ['2.5.4.17', '{"logins":["root"],"a,b":[],"":[""]}'],
      ['1.3.9999.1.1', 'alice'],
      ['1.3.9999.1.1', 'bob'],
      ['1.3.9999.1.2', 'system:masters'],
      ['1.3.9999.1.2', 'dev'],
      ['1.3.9999.1.3', 'prod'],
      ['1.3.9999.1.7', 'root'],
      ['1.3.9999.1.8', 'device-1'],
      ['1.3.9999.1.9', '10.0.0.1'],
      ['1.3.9999.1.13', 'true'],
      ['1.3.9999.1.14', '7'],
      ['1.3.9999.1.15', 'none'],
      ['1.3.9999.1.20', 'sso'],
      ['1.3.9999.2.7', 'bot-x'],
      ['1.3.9999.2.8', 'r1'],
      ['1.3.9999.2.8', 'r2'],
      ['1.3.9999.2.9', 'true'],
      ['1.3.9999.2.10', '[{"cluster":"root"}]'],
      ['1.3.9999.2.12', '2026-01-01T00:00:00.000Z'],
      ['1.3.9999.2.15', '10.0.0.1'],
      ['1.3.9999.2.18', 'x'],
      ['1.3.9999.2.20', 'y'],
    ])
    expect(roundTrip(full)).toEqual(full)
  })

  it.each([
    ['a,b'],
    ['a\nb'],
    ['a\r\n\tb\x7f\x1b[31m'],
    ['#0c0141'],
    ['CN=root+O=x'],
    ['"quoted"\\;<>'],
    [' spaces '],
    ['ünïcødé 日本 🧑🏽‍🚀'],
    ['\ufeffalice'],
    ['e\u0301'],
    ['x'.repeat(300)],
    ['system:masters'],
    ['__proto__'],
  ])('carries %j as one value', (value) => {
    const traits = Object.fromEntries([[value, [value, value]]])
    const identity = testUser({ username: value, roles: [value], kubernetesGroups: [value, value], traits })
    const read = roundTrip(identity)
    expect(read).toEqual(identity)
    expect(Object.keys(read.traits)).toEqual([value])
  })

  it('carries 300 groups in order', () => {
    const kubernetesGroups = Array.from({ length: 300 }, (_, index) => `group-${index},${'x'.repeat(30)}`)
    expect(roundTrip(testUser({ kubernetesGroups })).kubernetesGroups).toEqual(kubernetesGroups)
  })

  it.each([
    ['a\0b', 'bad-parameter: name "a\\u0000b" holds a NUL character'],
    ['\0', 'bad-parameter: name "\\u0000" holds a NUL character'],
    ['a\ud800', 'bad-parameter: name "a\\ud800" is not Unicode text'],
  ])('is not written with %j in it', (value, problem) => {
    for (const fields of [{ username: value }, { kubernetesGroups: ['ok', value] }])
      expect(refusal(() => encodeName(userSubject(testUser(fields))))).toBe(problem)
  })

  it('carries whatever text there is', () => {
    const text = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 40 })
      .filter((value) => !value.includes('\0') && value.isWellFormed())
    fc.assert(
      fc.property(text, fc.array(text, { maxLength: 5 }), (username, list) => {
        const identity = testUser({
          username,
          roles: list,
          logins: list,
          kubernetesUsers: list,
          traits: Object.fromEntries(list.map((name) => [name, list])),
        })
        expect(roundTrip(identity)).toEqual(identity)
      }),
      { numRuns: 200 },
    )
  })

  it.each([
    ['no name', [oids.commonName], [], 'subject is not that of a user'],
    ['no cluster', [oids.teleportCluster], [], 'subject is not that of a user'],
    ['no user type', [oids.userType], [], 'subject is not that of a user'],
    ['another user type', [oids.userType], [[oids.userType, 'root']], 'subject is not that of a user'],
    ['two names', [], [[oids.commonName, 'root']], 'attribute 2.5.4.3 twice'],
    ['two clusters', [], [[oids.kubernetesCluster, 'other']], 'attribute 1.3.9999.1.3 twice'],
    ['traits that are a list', [oids.postalCode], [[oids.postalCode, '[]']], 'traits are not an object'],
    [
      'traits that hold numbers',
      [oids.postalCode],
      [[oids.postalCode, '{"a":[1]}']],
      'a trait is not a list',
    ],
    ['a generation of words', [oids.generation], [[oids.generation, 'NaN']], 'generation is not a number'],
    ['a flag of words', [oids.renewable], [[oids.renewable, 'false']], 'attribute 1.3.9999.1.13 is not true'],
    [
      'a broken date',
      [oids.previousIdentityExpires],
      [[oids.previousIdentityExpires, 'x']],
      'date of the prev',
    ],
  ] satisfies [string, string[], Attribute[], string][])(
    'is refused with %s',
    (_, without, more, problem) => {
      const subject = userSubject(full).filter(([oid]) => !(without as string[]).includes(oid))
      expect(() => userFromSubject([...subject, ...more], dates)).toThrow(problem)
    },
  )
})

describe('host subject', () => {
  it('names host, cluster and roles', () => {
    const host = testHost({ cluster: 'a.b', roles: ['Auth', 'Proxy'] })
    expect(hostSubject(host)).toEqual([
      ['2.5.4.3', '00000000-0000-4000-8000-000000000001.a.b'],
      ['2.5.4.10', 'Auth'],
      ['2.5.4.10', 'Proxy'],
      ['1.3.9999.1.7', 'a.b'],
    ])
    expect(hostFromSubject(decodeName(encodeName(hostSubject(host))), dates)).toEqual(host)
  })

  it('is never taken for a user, nor a user for a host', () => {
    expect(() => userFromSubject(hostSubject(testHost({})), dates)).toThrow('subject is not that of a user')
    const user = userSubject(testUser({ username: 'x.root', roles: ['Admin'] }))
    expect(() => hostFromSubject(user, dates)).toThrow('subject is that of a user')
    expect(() => hostFromSubject(userSubject(full), dates)).toThrow('subject is not that of a host')
  })

  it('gives nothing for roles that are not known', () => {
    const subject = hostSubject(testHost({ roles: ['Kube'] }))
    expect(hostFromSubject([...subject, [oids.organization, 'Moon']], dates).roles).toEqual(['Kube'])
    const unknown: Attribute[] = subject.map(([oid, value]) => [oid, value === 'Kube' ? 'Moon' : value])
    expect(() => hostFromSubject(unknown, dates)).toThrow('subject is not that of a host')
  })
})

describe('decodeName', () => {
  const commonName = objectIdentifier(oids.commonName)
  it.each([
    ['a value of Latin-1', sequence(set(sequence(commonName, element(0x14, Buffer.from('a')))))],
    [
      'two attributes in one set',
      sequence(set(sequence(commonName, utf8String('a')), sequence(commonName, utf8String('b')))),
    ],
    ['a third field', sequence(set(sequence(commonName, utf8String('a'), utf8String('b'))))],
    ['no value', sequence(set(sequence(commonName)))],
    ['bytes that are not UTF-8', sequence(set(sequence(commonName, element(0x0c, Uint8Array.of(0xff)))))],
    ['a NUL', sequence(set(sequence(commonName, element(0x0c, Buffer.from('root\0x')))))],
    ['something after it', new Uint8Array([...sequence(), ...sequence()])],
  ])('refuses %s', (_, encoded) => {
    expect(() => decodeName(encoded)).toThrow()
  })
})

function refusal(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof TeleportError) return `${error.kind}: ${error.message}`
    throw error
  }
  return 'accepted'
}
