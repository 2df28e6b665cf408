// The auth role through its API and client, in process: what each kind of caller may do, and the life of a user.

import { afterEach, beforeEach, describe, expect, it } from 'bun:test'
import { X509Certificate } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TOTP } from 'otpauth'
import { createAuthClient } from '../../api/client.ts'
import type { AuthClient } from '../../api/operations.ts'
import { Cache } from '../../api/cache.ts'
import { verifyAudit } from '../../audit/read.ts'
import { type AuthConfig, decideConfig } from '../../config/config.ts'
import { TeleportError } from '../../errors.ts'
import type { Identity } from '../../identity/identity.ts'
import { generateKeyPair } from '../../identity/keys.ts'
import { testHost, testUser } from '../../identity/testing/identities.ts'
import { createVerifier } from '../../identity/verify.ts'
import { type Auth, startAuth } from './auth.ts'

let folder: string
let auth: Auth
let now: number
let admin: AuthClient
let proxy: AuthClient
const keys = generateKeyPair()

function config(): AuthConfig {
  const decided = decideConfig(undefined, { nodename: 'root' }).auth
  if (!decided) throw new Error('auth is on by default')
  return { ...decided, databasePath: join(folder, 'backend/sqlite.db') }
}

const clientOf = (identity: Identity) =>
  createAuthClient((request) => auth.api(request, { identity, address: '127.0.0.1:1' }))

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'teleport-auth-'))
  now = Date.parse('2026-05-01T10:00:00Z')
  auth = await startAuth({ config: config(), dataDirectory: folder, clock: () => now })
  admin = clientOf(testHost({ roles: ['Admin'] }))
  proxy = clientOf(testHost({ roles: ['Proxy'] }))
})
afterEach(async () => {
  await auth[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

async function refusal(action: Promise<unknown>): Promise<string> {
  try {
    await action
  } catch (error) {
    if (error instanceof TeleportError) return `${error.kind}: ${error.message}`
    throw error
  }
  return 'allowed'
}

const password = 'correct horse battery'

async function signUp(name: string, roles = ['access']): Promise<TOTP> {
  const { token } = await admin.addUser({ name, roles, traits: { kubernetes_groups: ['system:masters'] } })
  const { otp_secret } = await proxy.signupPage(token)
  const totp = new TOTP({ secret: otp_secret })
  await proxy.completeSignup({ token, password, otp_code: totp.generate({ timestamp: now }) })
  now += 60_000
  return totp
}

const login = (
  username: string,
  code: string,
  more: { password?: string; ttl?: string; client_address?: string } = {},
) =>
  proxy.login({
    username,
    password,
    otp_code: code,
    client_address: '10.0.0.1:5',
    public_key: keys.publicKey,
    ...more,
  })

describe('the life of a user', () => {
  it('goes from invite to a certificate that says what the roles grant', async () => {
    const totp = await signUp('alice')
    const issued = await login('alice', totp.generate({ timestamp: now }))
    const [authority] = await admin.exportAuthorities('user')
    const { verify } = createVerifier({
      authorities: () => ({ user: authority?.pems ?? [], host: [] }),
      clock: () => now,
    })
    expect(verify([new X509Certificate(issued.certificate).raw])).toMatchObject({
      username: 'alice',
      roles: ['access'],
      kubernetesGroups: ['system:masters'],
      loginIp: '10.0.0.1',
      notAfter: now + 12 * 3600_000,
    })
    expect(issued.host_authorities[0]).toStartWith('-----BEGIN CERTIFICATE-----')
  })

  it('takes an invite once, a code once, and only while they last', async () => {
    const { token } = await admin.addUser({ name: 'alice', roles: ['access'], traits: {} })
    const { otp_secret } = await proxy.signupPage(token)
    const code = new TOTP({ secret: otp_secret }).generate({ timestamp: now })
    expect(await refusal(proxy.completeSignup({ token, password: 'short', otp_code: code }))).toBe(
      'bad-parameter: password is too short, min length is 12',
    )
    expect(await refusal(proxy.completeSignup({ token, password }))).toBe(
      'bad-parameter: no second factor sent during user "alice" password reset',
    )
    expect(await refusal(proxy.completeSignup({ token, password, otp_code: '000000' }))).toBe(
      'access-denied: invalid totp token',
    )
    expect(await proxy.completeSignup({ token, password, otp_code: code })).toEqual({ user: 'alice' })
    expect(await refusal(proxy.completeSignup({ token, password, otp_code: code }))).toBe(
      'not-found: expired token',
    )
    expect(await refusal(login('alice', code))).toBe(
      'access-denied: invalid username, password or second factor',
    )
    const next = await admin.resetUser('alice')
    expect(next.url).toMatch(/^https:\/\/<proxyhost>:3080\/web\/reset\/[0-9a-f]{32}$/)
    now += 9 * 3600_000
    expect(await refusal(proxy.signupPage(next.token))).toBe('not-found: expired token')
  })

  it('gives one answer for every kind of wrong login, and locks after five', async () => {
    const totp = await signUp('alice')
    const wrong = 'access-denied: invalid username, password or second factor'
    const code = () => totp.generate({ timestamp: now })
    expect(await refusal(login('nobody', '123456'))).toBe(wrong)
    expect(await refusal(login('alice', code(), { password: 'wrong wrong wrong' }))).toBe(wrong)
    for (let round = 0; round < 4; round++) expect(await refusal(login('alice', '000000'))).toBe(wrong)
    expect(await refusal(login('alice', code()))).toBe(
      'access-denied: too many incorrect attempts, please try again later',
    )
    now += 31 * 60_000
    expect(await refusal(login('alice', code()))).toBe('allowed')
  })

  it('clips a login to what the roles allow', async () => {
    await admin.createResource({
      kind: 'role',
      version: 'v7',
      metadata: { name: 'brief' },
      spec: { options: { max_session_ttl: '1h' } },
    })
    const totp = await signUp('bob', ['access', 'brief'])
    const issued = await login('bob', totp.generate({ timestamp: now }), { ttl: '100h' })
    expect(Date.parse(issued.expires)).toBe(now + 3600_000)
  })

  it('reissues for a cluster the user may see, never for longer', async () => {
    await signUp('alice')
    const agent = clientOf(testHost({ roles: ['Kube'], hostId: 'h' }))
    const cluster = {
      kind: 'kube_cluster',
      version: 'v3',
      metadata: { name: 'prod', labels: { env: 'prod' } },
      spec: {},
    }
    await agent.heartbeat({
      kind: 'kube_server',
      version: 'v3',
      metadata: { name: 'prod', expires: new Date(now + 600_000).toISOString() },
      spec: { version: '1', hostname: 'n', host_id: 'h', cluster },
    })
    const alice = clientOf(testUser({ notAfter: now + 1000_000 }))
    expect(await alice.kubernetesClusters()).toEqual([{ name: 'prod', labels: { env: 'prod' } }])
    const issued = await alice.reissueCertificate({
      public_key: keys.publicKey,
      kubernetes_cluster: 'prod',
      ttl: '100h',
    })
    expect(Date.parse(issued.expires)).toBe(now + 1000_000)
    expect(
      await refusal(alice.reissueCertificate({ public_key: keys.publicKey, kubernetes_cluster: 'x' })),
    ).toStartWith('not-found: Kubernetes cluster "x" is not registered')
    now += 601_000
    expect(await alice.kubernetesClusters()).toEqual([])
  })

  it('ends with a lock', async () => {
    await signUp('alice')
    await admin.createResource({
      kind: 'lock',
      version: 'v2',
      metadata: { name: 'l' },
      spec: { target: { user: 'alice' }, message: 'left' },
    })
    expect(await refusal(clientOf(testUser({})).kubernetesClusters())).toBe(
      'access-denied: lock targeting User:"alice" is in force: left',
    )
  })
})

describe('who may do what', () => {
  const callers: Record<string, Identity> = {
    admin: testHost({ roles: ['Admin'] }),
    proxy: testHost({ roles: ['Proxy'] }),
    kube: testHost({ roles: ['Kube'], hostId: 'h' }),
    editor: testUser({ username: 'ed', roles: ['editor'] }),
    user: testUser({ username: 'uma', roles: ['access'] }),
  }
  const role = { kind: 'role', version: 'v7', metadata: { name: 'x' }, spec: {} }
  const operations: [string, (client: AuthClient) => Promise<unknown>, string[]][] = [
    ['clusterInfo', (client) => client.clusterInfo(), ['admin', 'proxy', 'kube', 'editor', 'user']],
    ['list roles', (client) => client.listResources('role'), ['admin', 'proxy', 'kube', 'editor']],
    ['list users', (client) => client.listResources('users'), ['admin', 'proxy', 'editor']],
    ['create role', (client) => client.createResource(role, { force: true }), ['admin', 'editor']],
    ['delete role', (client) => client.deleteResource('role', 'reviewer'), ['admin', 'editor']],
    [
      'add user',
      (client) => client.addUser({ name: `u${Math.random()}`, roles: ['access'], traits: {} }),
      ['admin', 'editor'],
    ],
    [
      'read authority keys',
      (client) => client.exportAuthorities('user', { keys: true }),
      ['admin', 'editor'],
    ],
    [
      'export authorities',
      (client) => client.exportAuthorities('user'),
      ['admin', 'proxy', 'kube', 'editor'],
    ],
    [
      'sign user',
      (client) => client.signUserCertificate({ username: 'uma', public_key: keys.publicKey }),
      ['admin'],
    ],
    [
      'sign host',
      (client) =>
        client.signHostCertificate({
          host_id: 'x',
          roles: ['Kube'],
          public_key: keys.publicKey,
          dns_names: [],
        }),
      ['admin'],
    ],
    [
      'login',
      (client) =>
        client.login({ username: 'uma', password, client_address: '1.1.1.1:1', public_key: keys.publicKey }),
      [],
    ],
    ['emit audit', (client) => client.emitAudit([]), ['proxy', 'kube']],
    ['search audit', (client) => client.searchAudit({}), ['admin', 'editor', 'user']],
    [
      'acquire lease',
      (client) => client.acquireLease({ kind: 'k', name: 'n', limit: 100, ttl: '1h' }),
      ['kube'],
    ],
    ['signup page', (client) => client.signupPage('0'.repeat(32)), []],
    [
      'forge an authority',
      (client) =>
        client.createResource(
          { kind: 'cert_authority', version: 'v2', metadata: { name: 'user' }, spec: { type: 'user' } },
          { force: true },
        ),
      [],
    ],
  ]

  it.each(operations)('%s', async (_, operation, allowed) => {
    await admin.addUser({ name: 'uma', roles: ['access'], traits: {} })
    for (const [name, identity] of Object.entries(callers)) {
      if (name === 'editor' && allowed.includes('editor'))
        await admin.createResource({ ...role, metadata: { name: 'reviewer' } }, { force: true })
      const outcome = await refusal(operation(clientOf(identity)))
      expect([name, outcome === 'allowed' ? 'allowed' : 'refused', outcome]).toEqual([
        name,
        allowed.includes(name) ? 'allowed' : 'refused',
        outcome,
      ])
    }
  })

  it('lets an agent speak for itself only', async () => {
    const server = (host: string) => ({
      kind: 'kube_server',
      version: 'v3',
      metadata: { name: 'c' },
      spec: { host_id: host, cluster: { metadata: { name: 'c' } } },
    })
    const kube = clientOf(testHost({ roles: ['Kube'], hostId: 'mine' }))
    expect(await refusal(kube.heartbeat(server('mine')))).toBe('allowed')
    expect(await refusal(kube.heartbeat(server('other')))).toBe(
      'access-denied: an agent may only announce what it serves itself',
    )
    expect(await refusal(clientOf(testUser({})).heartbeat(server('mine')))).toStartWith('access-denied: ')
  })
})

describe('resources', () => {
  it('refuses what exists without force, and an update of what has changed', async () => {
    const role = { kind: 'role', version: 'v7', metadata: { name: 'r' }, spec: {} }
    expect((await admin.createResource(role)).outcome).toBe('created')
    expect(await refusal(admin.createResource(role))).toBe('already-exists: role "r" already exists')
    const read = await admin.getResource('role', 'r')
    expect((await admin.createResource(read, { force: true })).outcome).toBe('updated')
    expect(await refusal(admin.updateResource(read))).toBe(
      'compare-failed: role "r" was modified by another client, retry',
    )
  })

  it('gives back what it takes: reading and writing again changes nothing', async () => {
    for (const kind of [
      'role',
      'user',
      'cluster_auth_preference',
      'cluster_networking_config',
      'session_recording_config',
    ]) {
      for (const resource of await admin.listResources(kind)) {
        const { resource: written } = await admin.createResource(resource, { force: true })
        expect({ ...written, metadata: { ...written.metadata, revision: '' } }).toEqual({
          ...resource,
          metadata: { ...resource.metadata, revision: '' },
        })
      }
    }
  })

  it('resets singletons, keeps roles in use, and blanks secrets', async () => {
    await admin.createResource({
      kind: 'cap',
      version: 'v2',
      metadata: { name: 'cluster-auth-preference' },
      spec: { second_factor: 'off' },
    })
    expect((await admin.getResource('cap', 'cluster-auth-preference')).spec).toMatchObject({
      second_factor: 'off',
    })
    await admin.deleteResource('cap', 'cluster-auth-preference')
    expect((await admin.getResource('cap', 'cluster-auth-preference')).spec).toMatchObject({
      second_factor: 'otp',
    })
    await admin.addUser({ name: 'uma', roles: ['access'], traits: {} })
    expect(await refusal(admin.deleteResource('role', 'access'))).toBe(
      'bad-parameter: failed to delete role that is still in use by a user. Users in use: uma',
    )
    const cluster = {
      kind: 'kube_cluster',
      version: 'v3',
      metadata: { name: 'c' },
      spec: { kubeconfig: 'c2Vj cmV0\n' },
    }
    await admin.createResource(cluster)
    expect((await admin.getResource('kube_cluster', 'c')).spec).toMatchObject({ kubeconfig: '' })
    expect(await admin.getResource('kube_cluster', 'c', { with_secrets: true })).toMatchObject({
      metadata: { labels: { 'teleport.dev/origin': 'dynamic' } },
      spec: { kubeconfig: 'c2VjcmV0' },
    })
  })

  it('feeds caches, which follow every change', async () => {
    const seen: string[] = []
    await using cache = new Cache({
      client: proxy,
      kinds: ['role', 'lock'],
      onChange: (kind) => seen.push(kind ?? 'snapshot'),
    })
    await cache.ready
    expect(cache.get('role', 'access')).toMatchObject({ kind: 'role' })
    await admin.createResource({
      kind: 'lock',
      version: 'v2',
      metadata: { name: 'l' },
      spec: { target: { user: 'x' } },
    })
    await admin.deleteResource('lock', 'l')
    for (let round = 0; seen.length < 3 && round < 200; round++) await Bun.sleep(5)
    expect(seen).toEqual(['snapshot', 'lock', 'lock'])
    expect(cache.list('lock')).toEqual([])
  })
})

describe('resources given at start', () => {
  const restart = async (more: { bootstrapFile?: string; applyOnStartupFile?: string; in?: string }) => {
    await auth[Symbol.asyncDispose]()
    const at = more.in ?? folder
    auth = await startAuth({
      config: { ...config(), databasePath: join(at, 'backend/sqlite.db') },
      dataDirectory: at,
      clock: () => now,
      ...(more.bootstrapFile ? { bootstrapFile: more.bootstrapFile } : {}),
      ...(more.applyOnStartupFile ? { applyOnStartupFile: more.applyOnStartupFile } : {}),
    })
  }
  const role = (ttl: string) =>
    `kind: role\nversion: v7\nmetadata: {name: given}\nspec: {options: {max_session_ttl: ${ttl}}}\n`

  it('bootstraps a new cluster only, and applies at every start', async () => {
    const file = join(folder, 'resources.yaml')
    await Bun.write(file, role('1h'))
    await restart({ bootstrapFile: file })
    expect(await refusal(admin.getResource('role', 'given'))).toBe('not-found: role "given" is not found')
    await restart({ bootstrapFile: file, in: join(folder, 'new') })
    expect(await admin.getResource('role', 'given')).toMatchObject({
      spec: { options: { max_session_ttl: '1h' } },
    })
    await Bun.write(file, role('2h'))
    await restart({ applyOnStartupFile: file, in: join(folder, 'new') })
    expect(await admin.getResource('role', 'given')).toMatchObject({
      spec: { options: { max_session_ttl: '2h' } },
    })
  })

  it('writes nothing when one of them is wrong', async () => {
    const file = join(folder, 'resources.yaml')
    await Bun.write(file, `${role('1h')}---\nkind: role\nversion: v99\nmetadata: {name: bad}\n`)
    const failed: unknown = await startAuth({
      config: { ...config(), databasePath: join(folder, 'other/sqlite.db') },
      dataDirectory: join(folder, 'other'),
      applyOnStartupFile: file,
    }).catch((error: unknown) => error)
    expect(String(failed)).toContain('unrecognized role version: v99')
    await restart({ in: join(folder, 'other') })
    expect(await refusal(admin.getResource('role', 'given'))).toBe('not-found: role "given" is not found')
  })
})

describe('a restart', () => {
  it('keeps the cluster, and the audit chain', async () => {
    await signUp('alice')
    const before = await admin.clusterInfo()
    await auth[Symbol.asyncDispose]()
    auth = await startAuth({
      config: { ...config(), clusterName: 'other' },
      dataDirectory: folder,
      clock: () => now,
    })
    expect(await admin.clusterInfo()).toEqual(before)
    expect((await verifyAudit(join(folder, 'log'))).bad).toBeUndefined()
  })
})
