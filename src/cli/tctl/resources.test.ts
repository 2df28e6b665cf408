import { afterAll, beforeAll, describe, expect, it } from 'bun:test'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { alreadyExists } from '../../errors.ts'
import type { Resource } from '../../resources/resource.ts'
import { create, edit, get, remove } from './resources.ts'
import { fakeContext, refusal } from './testing/context.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'teleport-tctl-'))
})
afterAll(() => rm(folder, { recursive: true }))

const cluster = (labels: Record<string, string> = {}): Resource => ({
  kind: 'kube_cluster',
  metadata: { name: 'mycluster', labels, revision: '5' },
  spec: { aws: {}, azure: {}, kubeconfig: 'YQ==' },
  version: 'v3',
})
const user = (name: string): Resource => ({
  kind: 'user',
  metadata: { name },
  spec: { roles: ['access'], traits: {}, status: { is_locked: false } },
  version: 'v2',
})

describe('tctl get', () => {
  /** Answers for a user `alice`, and notes what was asked. */
  const ask = async (references: string, format: 'text' | 'json' | 'yaml' = 'yaml', withSecrets = false) => {
    const asked: unknown[] = []
    const context = fakeContext({
      listResources: async (kind, options) => (
        asked.push(['list', kind, options]),
        [user('alice'), user('bob')]
      ),
      getResource: async (kind, name, options) => (asked.push(['get', kind, name, options]), user('alice')),
    })
    expect(await get({ references, format, withSecrets }, context)).toBe(0)
    return { asked, stdout: context.stdout() }
  }
  const yamlOf = (name: string) =>
    `kind: user\nmetadata:\n  name: ${name}\nspec:\n  roles:\n    - access\n  traits: {}\n  status:\n    is_locked: false\nversion: v2\n`

  it('prints YAML documents', async () => {
    const { asked, stdout } = await ask('users')
    expect(asked).toEqual([['list', 'user', { with_secrets: false }]])
    expect(stdout).toBe(`${yamlOf('alice')}---\n${yamlOf('bob')}`)
  })

  it('prints an array even for one resource', async () => {
    const { asked, stdout } = await ask('user/alice', 'json', true)
    expect(asked).toEqual([['get', 'user', 'alice', { with_secrets: true }]])
    expect(JSON.parse(stdout)).toEqual([user('alice')])
    expect(stdout.startsWith('[\n    {\n        "kind": "user",\n')).toBe(true)
  })

  it('prints a table', async () => {
    expect((await ask('USERS', 'text')).stdout).toBe(
      'Kind Name  Labels\n---- ----- ------\nuser alice       \nuser bob         \n',
    )
  })

  it('takes several references, as YAML only', async () => {
    const { asked } = await ask('cap,role/access')
    expect(asked).toEqual([
      ['get', 'cluster_auth_preference', 'cluster-auth-preference', { with_secrets: false }],
      ['get', 'role', 'access', { with_secrets: false }],
    ])
    expect(await refusal(ask('users,roles', 'json'))).toBe(
      'mixed resource types only support YAML formatting',
    )
  })

  it('gives all that people write', async () => {
    expect((await ask('all')).asked.map((one) => (one as string[])[1])).toEqual([
      'cluster_auth_preference',
      'cluster_networking_config',
      'session_recording_config',
      'role',
      'user',
      'token',
      'kube_cluster',
      'lock',
    ])
  })

  it.each([
    ['', "specify resource to list, e.g. 'tctl get roles'"],
    [
      'planets/mars',
      `unsupported resource: "planets/mars" - resources should be expressed as 'type/name', for example 'connector/github'`,
    ],
    ['cap/other', 'only simple `tctl get cap` can be used'],
  ])('refuses %p', async (reference, message) => {
    expect(await refusal(ask(reference))).toBe(message)
  })
})

describe('tctl create', () => {
  const created = async (
    input: string,
    {
      force = false,
      outcome = 'created',
      file,
    }: {
      force?: boolean
      outcome?: 'created' | 'updated'
      file?: string
    } = {},
  ) => {
    const written: unknown[] = []
    const context = fakeContext(
      {
        createResource: async (resource, options) => {
          written.push([resource.metadata.name, options])
          return { resource, outcome }
        },
      },
      { input },
    )
    expect(await create({ force, confirm: false, ...(file ? { file } : {}) }, context)).toBe(0)
    return { written, stdout: context.stdout() }
  }
  const role = 'kind: role\nversion: v7\nmetadata: {name: kube-access}\nspec: {}\n'
  const kubernetes =
    'kind: kube_cluster\nversion: v3\nmetadata: {name: mycluster}\nspec: {kubeconfig: YQ==}\n'

  it.each([
    ['role', role, 'created', 'role "kube-access" has been created\n'],
    ['role', role, 'updated', 'role "kube-access" has been updated\n'],
    [
      'user',
      'kind: user\nmetadata: {name: alice}\nspec: {roles: [access]}',
      'created',
      'user "alice" has been created\n',
    ],
    ['kube_cluster', kubernetes, 'created', 'kubernetes cluster "mycluster" has been created\n'],
    [
      'token',
      '{"kind":"token","version":"v2","metadata":{"name":"t"},"spec":{"roles":["Kube"]}}',
      'created',
      'provision_token "t" has been created\n',
    ],
    [
      'lock',
      'kind: lock\nmetadata: {name: l}\nspec: {target: {user: alice}}',
      'created',
      'lock "l" has been created\n',
    ],
    ['cap', 'kind: cap\nspec: {}', 'updated', 'cluster auth preference has been updated\n'],
    [
      'netconfig',
      'kind: netconfig\nspec: {}',
      'updated',
      'cluster networking configuration has been updated\n',
    ],
    [
      'recconfig',
      'kind: recconfig\nspec: {}',
      'updated',
      'session recording configuration has been updated\n',
    ],
  ] as const)('says that a %s was written', async (_, input, outcome, line) => {
    expect((await created(input, { outcome })).stdout).toBe(line)
  })

  it('reads standard input without a file and for a dash, and files', async () => {
    expect((await created(role, { force: true })).written).toEqual([
      ['kube-access', { force: true, confirm: false }],
    ])
    expect((await created(role, { file: '-' })).written.length).toBe(1)
    const file = join(folder, 'role.yaml')
    await writeFile(file, role)
    expect((await created('', { file })).written.length).toBe(1)
    expect(await refusal(created('', { file: join(folder, 'missing.yaml') }))).toContain('could not read ')
  })

  it('writes nothing when any document is wrong', async () => {
    const written: unknown[] = []
    const context = fakeContext(
      {
        createResource: async (resource) => {
          written.push(resource)
          return { resource, outcome: 'created' }
        },
      },
      { input: `${role}---\nkind: planet\nmetadata: {name: mars}\n` },
    )
    expect(await refusal(create({ force: false, confirm: false }, context))).toBe(
      'creating resources of type "planet" is not supported',
    )
    expect(written).toEqual([])
    expect(await refusal(created('# nothing\n'))).toBe('no resources found, empty input?')
    expect(await refusal(created('metadata: {name: x}'))).toBe('missing resource kind')
  })

  it.each([
    [
      role,
      'role "kube-access" already exists',
      { message: 'role "kube-access" already exists, use -f or --force flag to overwrite', hint: undefined },
    ],
    [
      kubernetes,
      'Kubernetes cluster "mycluster" already exists',
      {
        message: 'Kubernetes cluster "mycluster" already exists',
        hint: 'use -f or --force flag to overwrite',
      },
    ],
  ])('says how to overwrite', async (input, message, expected) => {
    const context = fakeContext(
      {
        createResource: async () => {
          throw alreadyExists(message)
        },
      },
      { input },
    )
    const error: unknown = await create({ force: false, confirm: false }, context).catch(
      (one: unknown) => one,
    )
    expect(error).toMatchObject({ kind: 'already-exists', ...expected })
  })
})

describe('tctl rm', () => {
  it.each([
    [
      'kube_clusters/mycluster',
      'kube_cluster',
      'mycluster',
      'kubernetes cluster "mycluster" has been deleted\n',
    ],
    ['role/x', 'role', 'x', 'role "x" has been deleted\n'],
    ['users/x', 'user', 'x', 'user "x" has been deleted\n'],
    ['token/x', 'token', 'x', 'token "x" has been deleted\n'],
    ['lock/x', 'lock', 'x', 'lock "x" has been deleted\n'],
    ['kube_server/x', 'kube_server', 'x', 'Kubernetes server "x" has been deleted\n'],
    [
      'cap',
      'cluster_auth_preference',
      'cluster-auth-preference',
      'cluster auth preference has been reset to defaults\n',
    ],
    [
      'netconfig',
      'cluster_networking_config',
      'cluster-networking-config',
      'cluster networking configuration has been reset to defaults\n',
    ],
    [
      'recconfig',
      'session_recording_config',
      'session-recording-config',
      'session recording configuration has been reset to defaults\n',
    ],
  ])('%s', async (reference, kind, name, line) => {
    const deleted: unknown[] = []
    const context = fakeContext({ deleteResource: async (...what) => void deleted.push(what) })
    expect(await remove({ reference }, context)).toBe(0)
    expect(deleted).toEqual([[kind, name]])
    expect(context.stdout()).toBe(line)
  })

  it('deletes what is named whole, and one at a time', async () => {
    expect(await refusal(remove({ reference: 'roles' }, fakeContext({})))).toBe(
      'provide a full resource name to delete, for example:\n$ tctl rm cluster/east\n',
    )
    expect(await refusal(remove({ reference: 'role/a,role/b' }, fakeContext({})))).toBe(
      'only one resource can be deleted at a time',
    )
  })
})

describe('tctl edit', () => {
  /** An editor that changes the text of the file. */
  const editWith = async (change: (text: string) => string, { code = 0, env = {} } = {}) => {
    const updated: Resource[] = []
    const seen = { command: '', file: '', mode: 0, text: '' }
    const context = {
      ...fakeContext(
        {
          getResource: async () => cluster({ env: 'dev' }),
          updateResource: async (resource) => (updated.push(resource), resource),
        },
        { env },
      ),
      runEditor: async (command: string, file: string) => {
        const text = await readFile(file, 'utf8')
        Object.assign(seen, { command, file, text, mode: (await stat(file)).mode & 0o777 })
        await writeFile(file, change(text))
        return code
      },
    }
    const result = await edit({ reference: 'kube_clusters/mycluster' }, context)
    return { updated, seen, stdout: context.stdout(), result }
  }

  it('writes back what the editor made of it', async () => {
    const { updated, seen, stdout, result } = await editWith((text) => text.replace('dev', 'test'))
    expect(result).toBe(0)
    expect(updated).toEqual([cluster({ env: 'test' })])
    expect(stdout).toBe('kubernetes cluster "mycluster" has been updated\n')
    expect(seen).toMatchObject({ command: 'vi', mode: 0o600 })
    expect(seen.file).toMatch(/\/teleport-resource[^/]*\.yaml$/)
    // It holds secrets, so it goes.
    expect(await refusal(stat(seen.file))).toContain('ENOENT')
  })

  it.each([
    [{ EDITOR: 'nano' }, 'nano'],
    [{ EDITOR: 'nano', VISUAL: 'code --wait' }, 'code --wait'],
    [{ EDITOR: 'nano', VISUAL: 'code', TELEPORT_EDITOR: 'ed' }, 'ed'],
  ])('uses the editor of %j', async (env, command) => {
    expect((await editWith((text) => text, { env })).seen.command).toBe(command)
  })

  it('changes nothing when nothing was changed', async () => {
    const { updated, stdout, result } = await editWith((text) => text)
    expect({ updated, stdout, result }).toEqual({
      updated: [],
      stdout: 'edit canceled, no changes made\n',
      result: 0,
    })
  })

  it('refuses another name, and an editor that failed', async () => {
    expect(await refusal(editWith((text) => text.replace('name: mycluster', 'name: other')))).toBe(
      'renaming resources is not supported with tctl edit',
    )
    expect(await refusal(editWith((text) => text.replace('dev', 'test'), { code: 3 }))).toBe(
      'skipping resource update, editor did not complete successfully: exit status 3',
    )
    expect(await refusal(edit({ reference: 'roles' }, fakeContext({})))).toBe(
      "specify a resource to edit as 'type/name', for example 'role/access'",
    )
  })

  it('runs a real editor with arguments, whatever the file is called', async () => {
    const updated: Resource[] = []
    const context = fakeContext(
      {
        getResource: async () => cluster({ env: 'dev' }),
        updateResource: async (resource) => (updated.push(resource), resource),
      },
      { env: { EDITOR: "sed -i -e 's/dev/real/'" } },
    )
    expect(await edit({ reference: 'kube_cluster/mycluster' }, context)).toBe(0)
    expect(updated[0]?.metadata.labels).toEqual({ env: 'real' })
  })
})
