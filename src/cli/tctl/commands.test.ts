import { afterAll, beforeAll, beforeEach, describe, expect, it, mock } from 'bun:test'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AuthClient } from '../../api/operations.ts'
import { alreadyExists, notFound } from '../../errors.ts'
import { version } from '../../version.ts'
import { runProgram } from '../run.ts'
import { tctlProgram } from './commands.ts'
import * as connection from './connect.ts'
import { fakeContext } from './testing/context.ts'

const realConnect = connection.connect
let client: Partial<AuthClient>
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'teleport-tctl-'))
  await mock.module('./connect.ts', () => ({
    connect: async () => ({
      client: fakeContext(client).client,
      [Symbol.asyncDispose]: async () => {},
    }),
  }))
})
afterAll(async () => {
  await mock.module('./connect.ts', () => ({ connect: realConnect }))
  await rm(folder, { recursive: true })
})

/** What the server was asked, in order: the operation and its input. */
let asked: unknown[][]
beforeEach(() => {
  asked = []
  const noting =
    <Input extends unknown[], Result>(name: string, answer: (...input: Input) => Result) =>
    async (...input: Input): Promise<Result> => {
      asked.push([name, ...input])
      return answer(...input)
    }
  const link = (type: 'invite' | 'reset', user: string) => ({
    token: 't',
    user,
    type,
    expires: '2026-03-01T13:00:00Z',
    proxy: 'tele.example.com:443',
    url: `https://tele.example.com:443/web/${type}/t`,
  })
  client = {
    clusterInfo: noting('clusterInfo', () => ({
      cluster_name: 'tele.example.com',
      cluster_id: 'id',
      server_version: '17.0.0',
      ca_pins: ['sha256:abdc'],
      proxies: ['tele.example.com:443'],
    })),
    listResources: noting('listResources', () => []),
    getResource: noting('getResource', (kind, name) => ({
      kind,
      version: 'v2',
      metadata: { name },
      spec: { roles: ['access'] },
    })),
    createResource: noting('createResource', (resource) => ({ resource, outcome: 'created' as const })),
    updateResource: noting('updateResource', (resource) => resource),
    deleteResource: noting('deleteResource', () => undefined),
    addUser: noting('addUser', ({ name }) => link('invite', name)),
    resetUser: noting('resetUser', (name) => link('reset', name)),
    signUserCertificate: noting('signUserCertificate', ({ username }) => ({
      username,
      cluster: 'tele.example.com',
      certificate: 'CERT\n',
      host_authorities: ['CA\n'],
      expires: '2026-03-01T13:00:00Z',
    })),
    exportAuthorities: noting('exportAuthorities', (type) => [{ type, cluster: 'c', pems: ['PEM\n'] }]),
    searchAudit: noting('searchAudit', () => ({ events: [], next_key: '' })),
    verifyAudit: noting('verifyAudit', () => ({ lines: 0, files: 0, torn: [] })),
  }
})

async function tctl(args: string | readonly string[], input = '') {
  let [stdout, stderr] = ['', '']
  const code = await runProgram(tctlProgram, typeof args === 'string' ? args.split(' ') : args, {
    out: (text) => void (stdout += text),
    note: (text) => void (stderr += text),
    env: {},
    interactive: false,
    readAll: async () => input,
    ask: async () => '',
  })
  return { code, stdout, stderr }
}

const addUserOf = (name: string, more: object) => [
  'addUser',
  { name, roles: ['access'], traits: {}, ttl: '1h', ...more },
]
const role = 'kind: role\nversion: v7\nmetadata: {name: x}\nspec: {}\n'

describe('tctl', () => {
  it.each<[string | string[], unknown[]]>([
    [
      ['users', 'add', 'alice', '--k8s-groups=system:masters'],
      addUserOf('alice', { traits: { kubernetes_groups: ['system:masters'] } }),
    ],
    [
      'users add jenkins --k8s-users=jenkins',
      addUserOf('jenkins', { traits: { kubernetes_users: ['jenkins'] } }),
    ],
    ['users add jenkins', addUserOf('jenkins', {})],
    ['users add joe root,ubuntu', addUserOf('joe', { traits: { logins: ['root', 'ubuntu'] } })],
    [
      ['users', 'add', 'joe', '--roles=a,b', '--roles', 'c', '--kubernetes-groups', 'x, y', '--ttl=2h'],
      addUserOf('joe', { roles: ['a', 'b', 'c'], traits: { kubernetes_groups: ['x', 'y'] }, ttl: '2h' }),
    ],
    ['users add joe --host-user-uid=1000', addUserOf('joe', { traits: { host_user_uid: ['1000'] } })],
    ['users ls -v', ['listResources', 'user']],
    ['users reset alice --ttl=4h', ['resetUser', 'alice', { ttl: '4h' }]],
    ['users ls', ['listResources', 'user']],
    ['users rm alice', ['deleteResource', 'user', 'alice']],
    ['users del alice', ['deleteResource', 'user', 'alice']],
    ['get roles/access --format json', ['getResource', 'role', 'access', { with_secrets: false }]],
    ['get --with-secrets users', ['listResources', 'user', { with_secrets: true }]],
    ['get users --with-secrets', ['listResources', 'user', { with_secrets: true }]],
    ['rm kube_clusters/mycluster', ['deleteResource', 'kube_cluster', 'mycluster']],
    ['tokens ls', ['listResources', 'token', { with_secrets: true }]],
    ['tokens rm v', ['deleteResource', 'token', 'v']],
    ['kube ls', ['listResources', 'kube_server']],
    ['auth export --type=host --keys', ['exportAuthorities', 'host', { keys: true }]],
    [
      'audit ls --type exec,port --user alice --limit 10',
      ['searchAudit', { order: 'desc', types: ['exec', 'port'], user: 'alice', limit: 10 }],
    ],
    ['audit verify', ['verifyAudit']],
    ['status', ['clusterInfo']],
  ])('%p asks the server', async (args, question) => {
    expect(await tctl(args)).toMatchObject({ code: 0, stderr: '' })
    expect(asked).toEqual([question])
  })

  it('creates from standard input, as in a pipe into a pod', async () => {
    expect(await tctl('create -f', role)).toEqual({
      code: 0,
      stdout: 'role "x" has been created\n',
      stderr: '',
    })
    expect(asked[0]?.[2]).toEqual({ force: true, confirm: false })
    expect((await tctl('create', role)).code).toBe(0)
    expect(asked[1]?.[2]).toEqual({ force: false, confirm: false })
  })

  it('prints a token and nothing else', async () => {
    expect((await tctl('tokens add --type=kube --ttl=1h --format=text')).stdout).toMatch(/^[0-9a-f]{32}\n$/)
    expect((await tctl('nodes add --roles=kube --ttl=10000h --format=json')).stdout).toMatch(
      /^\["[0-9a-f]{32}"\]\n$/,
    )
    expect((await tctl('tokens add --type=kube,app --value=v')).stdout).toStartWith(
      'The invite token: v\nThis token will expire in 30 minutes.\n',
    )
  })

  it('takes a label of a token to suggest', async () => {
    await tctl('tokens add --type=kube --labels=env=prod,team=a --format=text')
    expect(asked[0]?.[1]).toMatchObject({ spec: { suggested_labels: { env: ['prod'], team: ['a'] } } })
  })

  it('changes users', async () => {
    expect((await tctl('users update alice --set-roles access,kube --set-kubernetes-groups=')).stdout).toBe(
      'User alice has been updated:\n\tNew roles: access,kube\n\tNew Kubernetes groups: \n',
    )
    expect(asked[1]).toMatchObject([
      'updateResource',
      { spec: { roles: ['access', 'kube'], traits: { kubernetes_groups: [] } } },
    ])
  })

  it('locks', async () => {
    const { code, stdout } = await tctl(['lock', '--mfa-device=d', '--message', 'lost', '--ttl=1h'])
    expect({ code, stdout: stdout.replace(/"[0-9a-f-]+"/, '""') }).toEqual({
      code: 0,
      stdout: 'Created a lock with name "".\n',
    })
    expect(asked[0]?.[1]).toMatchObject({ spec: { target: { mfa_device: 'd' }, message: 'lost' } })
  })

  it('signs', async () => {
    const out = join(folder, 'kubeconfig')
    const args = [
      'auth',
      'sign',
      '--user=jenkins',
      '--format=kubernetes',
      `--out=${out}`,
      '--ttl=8760h',
      '--proxy=k:3026',
    ]
    expect(await tctl(args)).toEqual({
      code: 0,
      stdout: `\nThe credentials have been written to ${out}\n`,
      stderr: '',
    })
    expect(await readFile(out, 'utf8')).toStartWith(
      'apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: ',
    )
    expect(await tctl(args)).toEqual({
      code: 1,
      stdout: '',
      stderr: `ERROR: Destination file(s) ${out} exist.\nhint: use --overwrite to replace them\n`,
    })
    expect((await tctl([...args, '--overwrite', '--kube-cluster=prod'])).code).toBe(0)
    expect(asked.at(-1)).toMatchObject(['listResources', 'proxy'])
  })

  it('prints its version', async () => {
    expect((await tctl('version')).stdout).toBe(`Teleport v${version} git: bun${Bun.version}\n`)
  })

  it('prints errors as one line, with a hint on the next', async () => {
    client.addUser = async () => {
      throw alreadyExists('user "alice" already exists', { hint: 'use -f or --force flag to overwrite' })
    }
    expect(await tctl('users add alice')).toEqual({
      code: 1,
      stdout: '',
      stderr:
        'NOTE: To update an existing local user:\n> tctl users update alice --set-roles access # replace roles\n\nERROR: user "alice" already exists\n',
    })
    client.getResource = async () => {
      throw notFound('role "x" is not found')
    }
    expect(await tctl('get role/x')).toEqual({
      code: 1,
      stdout: '',
      stderr: 'ERROR: role "x" is not found\n',
    })
  })

  it.each([
    ['get', "ERROR: specify resource to list, e.g. 'tctl get roles'\n"],
    ['rm', 'ERROR: provide a full resource name to delete, for example:\n$ tctl rm cluster/east\n\n'],
    ['tokens rm', 'ERROR: Need an argument: token\n'],
    ['users update alice', 'ERROR: Nothing to update. Please provide at least one --set flag.\n'],
    ['auth sign --out=x', 'ERROR: --user or --host must be specified\n'],
    ['lock', 'ERROR: at least one target field must be set\n'],
    ['get users --format=xml', 'ERROR: unknown format "xml", must be one of ["yaml","json","text"]\n'],
    ['audit ls --limit=many', 'ERROR: "many" is not a whole number\n'],
    ['users ls --frmat=json', "tctl: error: unknown long flag '--frmat', try --help\n"],
    ['bots ls', 'ERROR: bots is not supported in this build\n'],
    ['bots add robot --roles=x', 'ERROR: bots is not supported in this build\n'],
    ['auth rotate --type=user', 'ERROR: auth rotate is not supported in this build\n'],
    ['nodes ls', 'ERROR: nodes ls is not supported in this build\n'],
    ['requests ls', 'ERROR: requests is not supported in this build\n'],
    ['update rc/x --set-ttl=1h', 'ERROR: update is not supported in this build\n'],
    ['alerts list', 'ERROR: alerts is not supported in this build\n'],
    ['sso configure github', 'ERROR: sso is not supported in this build\n'],
    ['audit query', 'ERROR: audit query is not supported in this build\n'],
  ])('%p is refused clearly', async (args, stderr) => {
    expect(await tctl(args)).toEqual({ code: 1, stdout: '', stderr })
    expect(asked).toEqual([])
  })
})
