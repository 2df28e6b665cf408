// What OpenSSL thinks of our certificates: an implementation that is not ours, and the one that most others resemble.

import { afterAll, beforeAll, describe, expect, it } from 'bun:test'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Authority,
  authorityPin,
  createAuthority,
  loadAuthority,
  selfSignedServerCertificate,
} from '../../src/identity/authority.ts'
import { issueHostCertificate, issueUserCertificate } from '../../src/identity/certificate.ts'
import { generateKeyPair, parsePublicKey } from '../../src/identity/keys.ts'
import { importedAuthority } from '../../src/identity/testing/authorities.ts'
import { testHost, testUser } from '../../src/identity/testing/identities.ts'
import { publicKeyOfRequest } from '../../src/identity/x509.ts'

// openssl looks at the real clock.
const now = Math.floor(Date.now() / 1000) * 1000
const dates = { notBefore: now - 60_000, notAfter: now + 3600_000 }
const authority = loadAuthority(createAuthority('root.example.com'))
const pairs = [
  ['P-256', generateKeyPairSync('ec', { namedCurve: 'prime256v1' })],
  ['Ed25519', generateKeyPairSync('ed25519')],
  ['RSA', generateKeyPairSync('rsa', { modulusLength: 2048 })],
] as const
const keys = generateKeyPair()
const identity = testUser({
  ...dates,
  cluster: 'root.example.com',
  username: 'alice, CN=root',
  roles: ['access', '#0c0141', 'a\nb'],
  kubernetesGroups: ['system:masters', 'x+y=z'],
  traits: { 'a,b': ['日本'] },
})

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

async function verify(purpose: string, certificate: string, by: Authority): Promise<string> {
  await writeFile(join(folder, 'ca.pem'), by.certificate)
  await writeFile(join(folder, 'leaf.pem'), certificate)
  return openssl('verify', '-x509_strict', '-purpose', purpose, '-CAfile', 'ca.pem', 'leaf.pem')
}

describe('a user certificate', () => {
  it.each(pairs)('for a %s key is for clients, and not for servers', async (_, { publicKey }) => {
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
    const certificate = issueUserCertificate(authority, { identity, publicKey: pem })
    expect(await verify('sslclient', certificate, authority)).toBe('leaf.pem: OK\n')
    expect(await verify('sslserver', certificate, authority)).toContain('unsuitable certificate purpose')
  })

  it.each(pairs)('by an imported authority with a %s key is good too', async (_, pair) => {
    const imported = importedAuthority({ ...pair, ...dates })
    const certificate = issueUserCertificate(imported, { identity, publicKey: keys.publicKey })
    expect(await verify('sslclient', certificate, imported)).toBe('leaf.pem: OK\n')
  })

  it('by another authority of the same name is not', async () => {
    const certificate = issueUserCertificate(authority, { identity, publicKey: keys.publicKey })
    const stranger = loadAuthority(createAuthority('root.example.com'))
    expect(await verify('sslclient', certificate, stranger)).toStartWith('exit code 2: ')
  })

  it('shows each name on its own', async () => {
    await writeFile(
      join(folder, 'leaf.pem'),
      issueUserCertificate(authority, { identity, publicKey: keys.publicKey }),
    )
    const options = ['-subject', '-nameopt', 'multiline,utf8,-esc_msb']
    const names = await openssl('x509', '-in', 'leaf.pem', '-noout', ...options)
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
    expect(text).toContain('Signature Algorithm: ecdsa-with-SHA256')
    expect(text).toMatch(/X509v3 Key Usage: critical\n\s+Digital Signature\n/)
    expect(text).toMatch(/X509v3 Extended Key Usage: ?\n\s+TLS Web Client Authentication\n/)
    expect(text).toMatch(/X509v3 Basic Constraints: critical\n\s+CA:FALSE\n/)
  })

  it('says key encipherment for RSA keys alone', async () => {
    const publicKey = pairs[2][1].publicKey.export({ type: 'spki', format: 'pem' }).toString()
    await writeFile(join(folder, 'leaf.pem'), issueUserCertificate(authority, { identity, publicKey }))
    expect(await openssl('x509', '-in', 'leaf.pem', '-noout', '-ext', 'keyUsage')).toContain(
      'Digital Signature, Key Encipherment\n',
    )
  })
})

it('a host certificate is for both ends', async () => {
  const host = testHost({ ...dates, cluster: 'root.example.com' })
  const names = ['::1', 'teleport.example.com']
  const certificate = issueHostCertificate(authority, { identity: host, publicKey: keys.publicKey, names })
  expect(await verify('sslclient', certificate, authority)).toBe('leaf.pem: OK\n')
  expect(await verify('sslserver', certificate, authority)).toBe('leaf.pem: OK\n')
})

it('a self-signed server certificate is good when it is trusted', async () => {
  await writeFile(join(folder, 'leaf.pem'), selfSignedServerCertificate(['localhost']).certificate)
  expect(await openssl('verify', '-purpose', 'sslserver', '-CAfile', 'leaf.pem', 'leaf.pem')).toBe(
    'leaf.pem: OK\n',
  )
})

describe('an authority', () => {
  it('signs certificates and lists of revoked ones', async () => {
    await writeFile(join(folder, 'ca.pem'), authority.certificate)
    expect(await openssl('x509', '-in', 'ca.pem', '-noout', '-ext', 'keyUsage,basicConstraints')).toBe(
      'X509v3 Key Usage: critical\n    Digital Signature, Certificate Sign, CRL Sign\n' +
        'X509v3 Basic Constraints: critical\n    CA:TRUE\n',
    )
  })

  it('has a pin that is the hash of its key', async () => {
    await writeFile(join(folder, 'ca.pem'), authority.certificate)
    await writeFile(join(folder, 'key.pem'), await openssl('x509', '-in', 'ca.pem', '-noout', '-pubkey'))
    await openssl('pkey', '-pubin', '-in', 'key.pem', '-outform', 'DER', '-out', 'key.der')
    const digest = await openssl('dgst', '-sha256', '-r', 'key.der')
    expect(authorityPin(authority.certificate)).toBe(`sha256:${digest.slice(0, 64)}`)
  })
})

it.each(pairs)(
  'the key of a certificate request for a %s key is read',
  async (_, { privateKey, publicKey }) => {
    await writeFile(join(folder, 'key.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }))
    const request = await openssl('req', '-new', '-key', 'key.pem', '-subj', '/CN=x')
    expect(parsePublicKey(await publicKeyOfRequest(request)).equals(publicKey)).toBe(true)
  },
)
