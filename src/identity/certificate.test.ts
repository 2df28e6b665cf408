import { afterAll, beforeAll, describe, expect, it } from 'bun:test'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Authority,
  authorityPin,
  createAuthority,
  loadAuthority,
  selfSignedServerCertificate,
} from './authority.ts'
import { issueHostCertificate, issueUserCertificate, readUserCertificate } from './certificate.ts'
import { octetString } from './der.ts'
import { encodeCertificate } from './encode-certificate.ts'
import { generateKeyPair, parsePublicKey } from './keys.ts'
import { encodeName } from './name.ts'
import { toPem } from './pem.ts'
import { forge, withExtension } from './testing/forge.ts'
import { testHost, testUser } from './testing/identities.ts'
import { publicKeyOfRequest, readWithLibrary } from './x509.ts'

// openssl looks at the real clock.
const now = Math.floor(Date.now() / 1000) * 1000
const dates = { notBefore: now - 60_000, notAfter: now + 3600_000 }
const authority = loadAuthority(createAuthority('root.example.com'))
const pairs = [
  ['p256', generateKeyPairSync('ec', { namedCurve: 'prime256v1' })],
  ['ed25519', generateKeyPairSync('ed25519')],
  ['rsa', generateKeyPairSync('rsa', { modulusLength: 2048 })],
] as const
const pemOf = (key: (typeof pairs)[number][1]['publicKey']) =>
  key.export({ type: 'spki', format: 'pem' }).toString()
const keys = generateKeyPair()

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'teleport-openssl-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true })
})

async function openssl(...words: string[]): Promise<string> {
  const child = Bun.spawn(['openssl', ...words], {
    cwd: folder,
    env: { PATH: process.env['PATH'] ?? '' },
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [output, errors, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return code === 0 ? output : `exit code ${code}: ${output}${errors}`
}

async function openSslVerifies(purpose: string, certificate: string, by: Authority): Promise<string> {
  await writeFile(join(folder, 'ca.pem'), by.certificate)
  await writeFile(join(folder, 'leaf.pem'), certificate)
  return openssl('verify', '-x509_strict', '-purpose', purpose, '-CAfile', 'ca.pem', 'leaf.pem')
}

/** An authority that others made: any kind of key, and a key identifier computed in another way. */
function importedAuthority({ publicKey, privateKey }: (typeof pairs)[number][1]): Authority {
  const name = encodeName([['2.5.4.3', 'imported']])
  const own = encodeCertificate(
    { name, key: privateKey },
    { subject: name, publicKey, ...dates, purposes: 'authority', names: [] },
  )
  const stored = (der: Uint8Array) => ({
    certificate: toPem('CERTIFICATE', der),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  })
  const keyId = { oid: '2.5.29.14', value: octetString(Uint8Array.of(1, 2, 3)) }
  const edit = (fields: Uint8Array[]) => withExtension(fields, keyId)
  return loadAuthority(stored(forge(own, { authority: loadAuthority(stored(own)), edit })))
}

describe('a user certificate', () => {
  const identity = testUser({
    ...dates,
    cluster: 'root.example.com',
    username: 'alice, CN=root',
    roles: ['access', '#0c0141', 'a\nb'],
    kubernetesGroups: ['system:masters', 'x+y=z'],
    traits: { 'a,b': ['日本'] },
  })

  it.each(pairs)('for a %s key is what openssl takes for a client certificate', async (_, { publicKey }) => {
    const certificate = issueUserCertificate(authority, { identity, publicKey: pemOf(publicKey) })
    expect(await openSslVerifies('sslclient', certificate, authority)).toBe('leaf.pem: OK\n')
    expect(await openSslVerifies('sslserver', certificate, authority)).toContain(
      'unsuitable certificate purpose',
    )
    expect(readUserCertificate(certificate)).toEqual(identity)
  })

  it.each(pairs)('by an imported authority with a %s key too', async (_, kind) => {
    const imported = importedAuthority(kind)
    const certificate = issueUserCertificate(imported, { identity, publicKey: keys.publicKey })
    expect(await openSslVerifies('sslclient', certificate, imported)).toBe('leaf.pem: OK\n')
  })

  it('shows openssl each name on its own and nothing but what was asked for', async () => {
    await writeFile(
      join(folder, 'leaf.pem'),
      issueUserCertificate(authority, { identity, publicKey: keys.publicKey }),
    )
    const names = await openssl(
      'x509',
      '-in',
      'leaf.pem',
      '-noout',
      '-subject',
      '-nameopt',
      'multiline,utf8,-esc_msb',
    )
    expect(names.split('\n').map((line) => line.trim().replace(/ +=/, ' ='))).toEqual([
      'subject=',
      'commonName = alice, CN=root',
      'organizationName = access',
      'organizationName = #0c0141',
      'organizationName = a\\0Ab',
      'postalCode = {"a,b":["日本"]}',
      '1.3.9999.1.2 = system:masters',
      '1.3.9999.1.2 = x+y=z',
      '1.3.9999.1.7 = root.example.com',
      '1.3.9999.1.20 = local',
      '',
    ])
    const text = await openssl('x509', '-in', 'leaf.pem', '-noout', '-text')
    expect(text).toContain('Version: 3 (0x2)')
    expect(text).toMatch(/X509v3 Key Usage: critical\n\s+Digital Signature\n/)
    expect(text).toMatch(/X509v3 Extended Key Usage: ?\n\s+TLS Web Client Authentication\n/)
    expect(text).toMatch(/X509v3 Basic Constraints: critical\n\s+CA:FALSE\n/)
    expect(text).toContain('Signature Algorithm: ecdsa-with-SHA256')
  })

  it('is read the same by a library that others wrote', async () => {
    const certificate = issueUserCertificate(authority, { identity, publicKey: keys.publicKey })
    const reading = await readWithLibrary(certificate, { authority: authority.certificate })
    expect(reading.signed).toBe(true)
    expect(reading.subject.map((one) => Object.values(one).flat().length)).toEqual(Array(9).fill(1))
    expect(reading.subject.slice(3)).toEqual([
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
    expect(await readWithLibrary(certificate, { authority: stranger.certificate })).toMatchObject({
      signed: false,
    })
  })

  it('has a serial number of its own, of sixteen octets, and never negative', () => {
    const serials = Array.from({ length: 50 }, () => {
      const pem = issueUserCertificate(authority, { identity, publicKey: keys.publicKey })
      return new X509Certificate(pem).serialNumber
    })
    expect(new Set(serials).size).toBe(50)
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/)
  })

  it('says key encipherment for RSA keys alone', async () => {
    const rsa = issueUserCertificate(authority, { identity, publicKey: pemOf(pairs[2][1].publicKey) })
    await writeFile(join(folder, 'leaf.pem'), rsa)
    expect(await openssl('x509', '-in', 'leaf.pem', '-noout', '-ext', 'keyUsage')).toContain(
      'Digital Signature, Key Encipherment\n',
    )
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

  it('is for both ends, under the names every host has and its own', async () => {
    const certificate = issue([
      'teleport.example.com',
      '10.0.0.1',
      '::1',
      '::ffff:10.0.0.2',
      'fe80::1%eth0',
      'münchen.de',
    ])
    expect(await openSslVerifies('sslclient', certificate, authority)).toBe('leaf.pem: OK\n')
    expect(await openSslVerifies('sslserver', certificate, authority)).toBe('leaf.pem: OK\n')
    expect(await openssl('x509', '-in', 'leaf.pem', '-noout', '-ext', 'subjectAltName')).toBe(
      'X509v3 Subject Alternative Name: \n    ' +
        [
          'DNS:00000000-0000-4000-8000-000000000001.root.example.com',
          'DNS:*.teleport.cluster.local',
          'DNS:teleport.cluster.local',
          'DNS:teleport.example.com',
          'IP Address:10.0.0.1',
          'IP Address:0:0:0:0:0:0:0:1',
          'IP Address:0:0:0:0:0:FFFF:A00:2',
          'IP Address:FE80:0:0:0:0:0:0:1',
          'DNS:xn--mnchen-3ya.de',
        ].join(', ') +
        '\n',
    )
    const read = new X509Certificate(certificate)
    expect(read.subject).toBe(
      'CN=00000000-0000-4000-8000-000000000001.root.example.com\nO=Proxy\nO=Auth\n1.3.9999.1.7=root.example.com',
    )
    expect(read.checkHost('x.teleport.cluster.local')).toBe('*.teleport.cluster.local')
  })

  it.each([['a b'], [''], ['a\0b'], ['a,DNS:b'], ['-x'], ['x'.repeat(254)]])('is not made for %j', (name) => {
    expect(() => issue([name])).toThrow(`${JSON.stringify(name)} is neither a DNS name nor an IP address`)
  })
})

describe('an authority', () => {
  it('is self-signed, for ten years, named after the cluster', async () => {
    const { certificate } = createAuthority('root', () => Date.parse('2026-01-01T00:00:00Z'))
    const read = new X509Certificate(certificate)
    expect(read.subject).toBe('CN=root\nO=root')
    expect(read.issuer).toBe('CN=root\nO=root')
    expect([read.ca, read.validFrom, read.validTo]).toEqual([
      true,
      'Dec 31 23:59:00 2025 GMT',
      'Dec 30 00:00:00 2035 GMT',
    ])
    await writeFile(join(folder, 'leaf.pem'), certificate)
    expect(await openssl('x509', '-in', 'leaf.pem', '-noout', '-ext', 'keyUsage,basicConstraints')).toBe(
      'X509v3 Key Usage: critical\n    Digital Signature, Certificate Sign, CRL Sign\n' +
        'X509v3 Basic Constraints: critical\n    CA:TRUE\n',
    )
  })

  it('has a pin that is the hash of its key, as openssl computes it', async () => {
    await writeFile(join(folder, 'ca.pem'), authority.certificate)
    await writeFile(join(folder, 'key.pem'), await openssl('x509', '-in', 'ca.pem', '-noout', '-pubkey'))
    await openssl('pkey', '-pubin', '-in', 'key.pem', '-outform', 'DER', '-out', 'key.der')
    const digest = await openssl('dgst', '-sha256', '-r', 'key.der')
    expect(authorityPin(authority.certificate)).toBe(`sha256:${digest.slice(0, 64)}`)
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

it('a self-signed server certificate is good for its names', async () => {
  const { certificate, key } = selfSignedServerCertificate(['localhost', 'my_host', '127.0.0.1'])
  const read = new X509Certificate(certificate)
  expect(read.checkPrivateKey((await import('node:crypto')).createPrivateKey(key))).toBe(true)
  expect([read.checkHost('localhost'), read.checkHost('my_host'), read.checkIP('127.0.0.1')]).toEqual([
    'localhost',
    'my_host',
    '127.0.0.1',
  ])
  await writeFile(join(folder, 'leaf.pem'), certificate)
  expect(await openssl('verify', '-purpose', 'sslserver', '-CAfile', 'leaf.pem', 'leaf.pem')).toBe(
    'leaf.pem: OK\n',
  )
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

describe('certificate requests', () => {
  async function request(...words: string[]): Promise<string> {
    await writeFile(join(folder, 'request-key.pem'), keys.privateKey)
    return openssl('req', '-new', '-key', 'request-key.pem', '-subj', '/CN=x', ...words)
  }

  it('give their key when its holder signed them', async () => {
    expect(
      parsePublicKey(await publicKeyOfRequest(await request())).equals(parsePublicKey(keys.publicKey)),
    ).toBe(true)
  })

  it('are refused when they were changed, are no requests or are too large', async () => {
    const good = await request()
    const [begin = '', ...lines] = good.split('\n')
    const changed = [begin, `${lines[0]?.slice(0, 28)}Z${lines[0]?.slice(29)}`, ...lines.slice(1)].join('\n')
    expect(publicKeyOfRequest(changed)).rejects.toThrow(
      /^certificate request is (not signed by its key|malformed)/,
    )
    expect(publicKeyOfRequest('x')).rejects.toThrow('certificate request is malformed: ')
    expect(publicKeyOfRequest('x'.repeat(70_000))).rejects.toThrow('certificate request is too large')
  })
})
