import { describe, expect, it } from 'bun:test'
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { isKind, messageOf } from '../errors.ts'
import { authorityPin, createAuthority, loadAuthority, selfSignedServerCertificate } from './authority.ts'
import { issueHostCertificate, issueUserCertificate, readUserCertificate } from './certificate.ts'
import { element, sequence } from './der.ts'
import { generateKeyPair, parsePublicKey } from './keys.ts'
import { fromPem } from './pem.ts'
import { readCertificate } from './read-certificate.ts'
import { importedAuthority, importedKeyId } from './testing/authorities.ts'
import { testHost, testUser } from './testing/identities.ts'
import { publicKeyOfRequest, readWithLibrary } from './x509.ts'

const now = Date.parse('2026-06-01T12:00:00Z')
const dates = { notBefore: now - 60_000, notAfter: now + 3600_000 }
const authority = loadAuthority(createAuthority('root.example.com', () => now))
const keys = generateKeyPair()
const pairs = [
  ['P-256', generateKeyPairSync('ec', { namedCurve: 'prime256v1' })],
  ['Ed25519', generateKeyPairSync('ed25519')],
  ['RSA', generateKeyPairSync('rsa', { modulusLength: 2048 })],
] as const
type PublicKey = (typeof pairs)[number][1]['publicKey']
const pemOf = (key: PublicKey) => key.export({ type: 'spki', format: 'pem' }).toString()

describe('a user certificate', () => {
  const identity = testUser({
    ...dates,
    cluster: 'root.example.com',
    username: 'alice, CN=root',
    roles: ['access', '#0c0141', 'a\nb'],
    kubernetesGroups: ['system:masters', 'x+y=z'],
    traits: { 'a,b': ['日本'] },
  })
  const issue = (publicKey = keys.publicKey) => issueUserCertificate(authority, { identity, publicKey })

  it.each(pairs)('is for a %s key, and says who holds it', (_, { publicKey, privateKey }) => {
    const certificate = issue(pemOf(publicKey))
    expect(readUserCertificate(certificate)).toEqual(identity)
    const read = new X509Certificate(certificate)
    expect(read.checkPrivateKey(privateKey)).toBe(true)
    expect([read.ca, read.keyUsage, read.issuer]).toEqual([
      false,
      ['1.3.6.1.5.5.7.3.2'],
      'CN=root.example.com\nO=root.example.com',
    ])
    expect([read.validFrom, read.validTo]).toEqual(['Jun  1 11:59:00 2026 GMT', 'Jun  1 13:00:00 2026 GMT'])
    const signer = new X509Certificate(authority.certificate)
    expect([read.checkIssued(signer), read.verify(signer.publicKey)]).toEqual([true, true])
  })

  it('is read the same by a library that others wrote', async () => {
    const reading = await readWithLibrary(issue(), { authority: authority.certificate })
    expect(reading.signed).toBe(true)
    // Names that begin with a hash are beyond this library.
    const [name, access, hash, ...more] = reading.subject
    expect([name, access, Object.keys(hash ?? {}), ...more]).toEqual([
      { CN: ['alice, CN=root'] },
      { O: ['access'] },
      ['O'],
      { O: ['a\nb'] },
      { '2.5.4.17': ['{"a,b":["日本"]}'] },
      { '1.3.9999.1.2': ['system:masters'] },
      { '1.3.9999.1.2': ['x+y=z'] },
      { '1.3.9999.1.7': ['root.example.com'] },
      { '1.3.9999.1.20': ['local'] },
    ])
    expect(reading.extensions).toEqual([
      { oid: '2.5.29.15', critical: true },
      { oid: '2.5.29.19', critical: true },
      { oid: '2.5.29.37', critical: false },
      { oid: '2.5.29.35', critical: false },
      { oid: '2.5.29.14', critical: false },
    ])
    const stranger = createAuthority('root.example.com')
    expect(await readWithLibrary(issue(), { authority: stranger.certificate })).toMatchObject({
      signed: false,
    })
  })

  it('has a serial number of its own, of sixteen octets, and never negative', () => {
    const serials = Array.from({ length: 50 }, () => new X509Certificate(issue()).serialNumber)
    expect(new Set(serials).size).toBe(50)
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/)
  })

  it.each(pairs)('names the key of an imported %s authority as that one does itself', (_, pair) => {
    const imported = importedAuthority({ ...pair, ...dates })
    const certificate = issueUserCertificate(imported, { identity, publicKey: keys.publicKey })
    const { extensions } = readCertificate(fromPem('CERTIFICATE', certificate))
    expect(extensions.get('2.5.29.35')?.value).toEqual(sequence(element(0x80, importedKeyId)))
    expect(new X509Certificate(certificate).verify(pair.publicKey)).toBe(true)
  })

  it('is not made larger than what receivers take', () => {
    const kubernetesGroups = Array.from({ length: 1000 }, (_, index) => `${index}${'x'.repeat(60)}`)
    const large = testUser({ ...identity, kubernetesGroups })
    expect(() => issueUserCertificate(authority, { identity: large, publicKey: keys.publicKey })).toThrow(
      /^certificate of \d+ bytes would be larger than 61440 bytes$/,
    )
  })
})

describe('a host certificate', () => {
  const identity = testHost({ ...dates, cluster: 'root.example.com', roles: ['Proxy', 'Auth'] })
  const issue = (names: readonly string[]) =>
    issueHostCertificate(authority, { identity, publicKey: keys.publicKey, names })

  it('is for both ends, under the names every host has and its own, each once', () => {
    const read = new X509Certificate(
      issue([
        'teleport.example.com',
        'teleport.cluster.local',
        '10.0.0.1',
        '::1',
        '::ffff:10.0.0.2',
        'fe80::1%eth0',
        'münchen.de',
      ]),
    )
    expect(read.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
    expect(read.subject).toBe(
      'CN=00000000-0000-4000-8000-000000000001.root.example.com\nO=Proxy\nO=Auth\n1.3.9999.1.7=root.example.com',
    )
    expect(read.subjectAltName?.split(', ')).toEqual([
      'DNS:00000000-0000-4000-8000-000000000001.root.example.com',
      'DNS:*.teleport.cluster.local',
      'DNS:teleport.cluster.local',
      'DNS:teleport.example.com',
      'IP Address:10.0.0.1',
      'IP Address:0:0:0:0:0:0:0:1',
      'IP Address:0:0:0:0:0:FFFF:A00:2',
      'IP Address:FE80:0:0:0:0:0:0:1',
      'DNS:xn--mnchen-3ya.de',
    ])
    expect(read.checkHost('x.teleport.cluster.local')).toBe('*.teleport.cluster.local')
  })

  it.each([['a b'], [''], ['a\0b'], ['a,DNS:b'], ['-x'], ['x'.repeat(254)]])('is not made for %j', (name) => {
    expect(() => issue([name])).toThrow(`${JSON.stringify(name)} is neither a DNS name nor an IP address`)
  })
})

const fixedAuthority = `-----BEGIN CERTIFICATE-----
MIIBcjCCARmgAwIBAgIUKf7bEKZ46HQop0nq3Pvop+wlP/0wCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEcm9vdDAeFw0yNjExMjEwNzA5MzFaFw0zNjExMTgwNzA5MzFa
MA8xDTALBgNVBAMMBHJvb3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQxjDLN
qENCWjSoEQGTUfm7DnKJAQylEsmVh0gcY+cyro7xpg8MMIhNlP9qk7gMAEdOXH/v
XFbHkmMkcFH+1S18o1MwUTAdBgNVHQ4EFgQUa28mZaf+hKyMijk1Ni23JnuBQ0Mw
HwYDVR0jBBgwFoAUa28mZaf+hKyMijk1Ni23JnuBQ0MwDwYDVR0TAQH/BAUwAwEB
/zAKBggqhkjOPQQDAgNHADBEAiBM5NntuNWOG0QtCUl9LHLPA6q84AVOOybbaLJs
hdZ51wIgQQB1XpOhr7UvSIFNX8zdBBb6Vh/W3DYA/X0q9MRV9mk=
-----END CERTIFICATE-----
`
const fixedPin = 'sha256:b2b532c2e9f5449aa09b634268c7cceee53e6503a705211acce1f7e54020101e'

describe('an authority', () => {
  it('is self-signed, for ten years, named after the cluster', () => {
    const { certificate } = createAuthority('root', () => Date.parse('2026-01-01T00:00:00Z'))
    const read = new X509Certificate(certificate)
    expect([read.ca, read.subject, read.issuer, read.validFrom, read.validTo]).toEqual([
      true,
      'CN=root\nO=root',
      'CN=root\nO=root',
      'Dec 31 23:59:00 2025 GMT',
      'Dec 30 00:00:00 2035 GMT',
    ])
    expect(read.verify(read.publicKey)).toBe(true)
    const { extensions } = readCertificate(fromPem('CERTIFICATE', certificate))
    // Certificate and list signing, digital signatures.
    expect(extensions.get('2.5.29.15')).toEqual({ critical: true, value: Uint8Array.of(3, 2, 1, 0x86) })
  })

  it('has a pin that is the hash of its key', () => {
    // openssl x509 -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256
    expect(authorityPin(fixedAuthority)).toBe(fixedPin)
  })

  it('is loaded only when its parts belong together', () => {
    const [one, other] = [createAuthority('root'), createAuthority('root')]
    const load = (certificate: string, privateKey: string) => () => loadAuthority({ certificate, privateKey })
    const server = selfSignedServerCertificate(['localhost'])
    expect(load(one.certificate, other.privateKey)).toThrow(
      'certificate authority cannot be used: private key is not that of the certificate',
    )
    expect(load(server.certificate, server.key)).toThrow(
      'certificate authority cannot be used: certificate is not that of an authority',
    )
    expect(load('', one.privateKey)).toThrow('certificate authority cannot be used: text holds no PEM block')
    expect(load(one.certificate, '')).toThrow('certificate authority cannot be used: ')
  })
})

it('a self-signed server certificate is good for its names', () => {
  const { certificate, key } = selfSignedServerCertificate(['localhost', 'my_host', '127.0.0.1'])
  const read = new X509Certificate(certificate)
  expect(read.checkPrivateKey(createPrivateKey(key))).toBe(true)
  expect([read.checkHost('localhost'), read.checkHost('my_host'), read.checkIP('127.0.0.1')]).toEqual([
    'localhost',
    'my_host',
    '127.0.0.1',
  ])
  expect([read.ca, read.keyUsage]).toEqual([false, ['1.3.6.1.5.5.7.3.1']])
})

describe('public keys', () => {
  it.each(pairs)('of kind %s are taken', (_, { publicKey }) => {
    expect(parsePublicKey(pemOf(publicKey)).equals(publicKey)).toBe(true)
  })

  it.each([
    ['P-384', pemOf(generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).publicKey)],
    ['RSA of 1024 bits', pemOf(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey)],
    ['X25519', pemOf(generateKeyPairSync('x25519').publicKey)],
  ])('of %s are refused', (_, pem) => {
    expect(() => parsePublicKey(pem)).toThrow('public key must be P-256, Ed25519 or RSA of 2048 to 8192 bits')
  })

  it.each([
    ['nothing', ''],
    ['a private key', keys.privateKey],
    ['a certificate', authority.certificate],
    ['broken base64', keys.publicKey.replace(/A/g, '!')],
    ['a key cut short', keys.publicKey.replace(/\n.{20}/, '\n')],
  ])('are not %s', (_, pem) => {
    expect(() => parsePublicKey(pem)).toThrow('public key is not SPKI PEM: ')
  })
})

// openssl req -new -key … -subj /CN=x
const request = `-----BEGIN CERTIFICATE REQUEST-----
MIHHMG4CAQAwDDEKMAgGA1UEAwwBeDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA
BDGMMs2oQ0JaNKgRAZNR+bsOcokBDKUSyZWHSBxj5zKujvGmDwwwiE2U/2qTuAwA
R05cf+9cVseSYyRwUf7VLXygADAKBggqhkjOPQQDAgNJADBGAiEA69Q8+3Iu91y5
6huEt3h0eijO/gsfoP/J8mnfHWMoQ10CIQDRnuvK7MD48XHy3Qh/g1aR2pG+ae6R
HTr2Nc9fKIN/sA==
-----END CERTIFICATE REQUEST-----
`
const requestKey = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMYwyzahDQlo0qBEBk1H5uw5yiQEM
pRLJlYdIHGPnMq6O8aYPDDCITZT/apO4DABHTlx/71xWx5JjJHBR/tUtfA==
-----END PUBLIC KEY-----
`

describe('a certificate request', () => {
  it('gives its key when the holder of the key signed it', async () => {
    const read = parsePublicKey(await publicKeyOfRequest(request))
    expect(read.equals(parsePublicKey(requestKey))).toBe(true)
  })

  it.each([
    ['the name was changed', request.replace('AwwBeDBZ', 'AwwBeTBZ'), 'is not signed by its key'],
    ['the signature was changed', request.replace('HTr2Nc9f', 'HTr2Nc9g'), 'is not signed by its key'],
    ['it is none', 'x', 'is malformed: '],
    ['it is a certificate', authority.certificate, 'is malformed: '],
    ['it is too large', 'x'.repeat(70_000), 'is too large'],
  ])('is refused when %s', async (_, pem, problem) => {
    const error = await publicKeyOfRequest(pem).catch((reason: unknown) => reason)
    expect(isKind(error, 'bad-parameter')).toBe(true)
    expect(messageOf(error)).toStartWith(`certificate request ${problem}`)
  })
})
