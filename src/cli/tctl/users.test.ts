import { describe, expect, it } from 'bun:test'
import type { AddUser, SignupToken } from '../../api/schemas.ts'
import { alreadyExists, notFound } from '../../errors.ts'
import type { Resource } from '../../resources/resource.ts'
import { fakeContext, refusal } from './testing/context.ts'
import { usersAdd, usersList, usersRemove, usersReset, usersUpdate } from './users.ts'

const link = (type: 'invite' | 'reset', user = 'alice'): SignupToken => ({
  token: '5f0c',
  user,
  type,
  expires: '2026-03-01T13:00:00Z',
  proxy: 'tele.example.com:443',
  url: `https://tele.example.com:443/web/${type}/5f0c`,
})
const user = (name: string, roles: readonly string[], traits = {}): Resource => ({
  kind: 'user',
  version: 'v2',
  metadata: { name, revision: '7' },
  spec: { roles, traits, status: { is_locked: false } },
})

describe('tctl users add', () => {
  it('prints the invite link', async () => {
    const asked: AddUser[] = []
    const context = fakeContext({ addUser: async (input) => (asked.push(input), link('invite')) })
    const code = await usersAdd(
      { name: 'alice', traits: { kubernetes_groups: ['system:masters'] }, format: 'text' },
      context,
    )
    expect(code).toBe(0)
    expect(context.stdout()).toBe(
      'User "alice" has been created but requires a password. Share this URL with the user to complete user setup, link is valid for 1h:\n' +
        'https://tele.example.com:443/web/invite/5f0c\n' +
        '\n' +
        'NOTE: Make sure tele.example.com:443 points at a Teleport proxy which users can access.\n',
    )
    expect(context.stderr()).toBe('')
    // Without roles, as the oldest guides have it, the user gets the one that lets traits take effect.
    expect(asked).toEqual([
      { name: 'alice', roles: ['access'], traits: { kubernetes_groups: ['system:masters'] }, ttl: '1h' },
    ])
  })

  it('says how long the link is valid, without what is zero', async () => {
    const context = fakeContext({ addUser: async () => link('invite') })
    await usersAdd({ name: 'alice', traits: {}, ttl: '1h30m0s', format: 'text' }, context)
    expect(context.stdout()).toContain('link is valid for 1h30m:\n')
  })

  it('treats an empty list of roles as none', async () => {
    const asked: AddUser[] = []
    const context = fakeContext({ addUser: async (input) => (asked.push(input), link('invite')) })
    await usersAdd({ name: 'alice', roles: [], traits: {}, format: 'text' }, context)
    expect(asked[0]?.roles).toEqual(['access'])
  })

  it('prints the token as a resource', async () => {
    const context = fakeContext({ addUser: async () => link('invite') })
    await usersAdd({ name: 'alice', roles: ['access', 'kube'], traits: {}, format: 'json' }, context)
    expect(JSON.parse(context.stdout())).toEqual({
      kind: 'user_token',
      sub_kind: 'invite',
      version: 'v3',
      metadata: { name: '5f0c', expires: '2026-03-01T13:00:00Z' },
      spec: { user: 'alice', url: 'https://tele.example.com:443/web/invite/5f0c' },
    })
  })

  it('says how to change a user that is there already', async () => {
    const context = fakeContext({
      addUser: async () => {
        throw alreadyExists('user "alice" already exists', { hint: 'use -f or --force flag to overwrite' })
      },
    })
    const add = usersAdd({ name: 'alice', roles: ['access', 'kube'], traits: {}, format: 'text' }, context)
    expect(await refusal(add)).toBe('user "alice" already exists')
    expect(context.stdout()).toBe('')
    expect(context.stderr()).toBe(
      'NOTE: To update an existing local user:\n> tctl users update alice --set-roles access,kube # replace roles\n\n',
    )
  })
})

describe('tctl users reset', () => {
  it('prints the reset link', async () => {
    const asked: unknown[] = []
    const context = fakeContext({
      resetUser: async (...input) => (asked.push(input), link('reset')),
    })
    expect(await usersReset({ name: 'alice', format: 'text' }, context)).toBe(0)
    expect(asked).toEqual([['alice', { ttl: '8h' }]])
    expect(context.stdout()).toBe(
      'User "alice" has been reset. Share this URL with the user to complete password reset, link is valid for 8h:\n' +
        'https://tele.example.com:443/web/reset/5f0c\n' +
        '\n' +
        'NOTE: Make sure tele.example.com:443 points at a Teleport proxy which users can access.\n',
    )
  })
})

describe('tctl users ls', () => {
  const list = async (format: 'text' | 'json', users: readonly Resource[]) => {
    const context = fakeContext({ listResources: async () => users })
    expect(await usersList({ format }, context)).toBe(0)
    return context.stdout()
  }

  it('prints a table', async () => {
    expect(await list('text', [user('alice', ['access', 'kube']), user('joe', ['access'])])).toBe(
      'User  Roles      \n' + '----- -----------\n' + 'alice access,kube\n' + 'joe   access     \n',
    )
  })

  it('says when there are none', async () => {
    expect(await list('text', [])).toBe('No users found\n')
  })

  it('prints an array of resources', async () => {
    expect(JSON.parse(await list('json', [user('alice', ['access'])]))).toEqual([user('alice', ['access'])])
    expect(JSON.parse(await list('json', []))).toEqual([])
  })
})

describe('tctl users update', () => {
  it('changes what was asked for and nothing else, and says what', async () => {
    const written: Resource[] = []
    const context = fakeContext({
      getResource: async () => user('alice', ['access'], { logins: ['root'], kubernetes_groups: ['old'] }),
      updateResource: async (resource) => (written.push(resource), resource),
    })
    const code = await usersUpdate(
      {
        name: 'alice',
        roles: ['access', 'kube-access'],
        traits: {
          kubernetes_groups: ['viewers', 'editors'],
          windows_logins: [],
          kubernetes_users: ['alice'],
        },
      },
      context,
    )
    expect(code).toBe(0)
    expect(context.stdout()).toBe(
      'User alice has been updated:\n' +
        '\tNew roles: access,kube-access\n' +
        '\tNew Windows logins: \n' +
        '\tNew Kubernetes users: alice\n' +
        '\tNew Kubernetes groups: viewers,editors\n',
    )
    expect(written).toEqual([
      user('alice', ['access', 'kube-access'], {
        logins: ['root'],
        windows_logins: [],
        kubernetes_users: ['alice'],
        kubernetes_groups: ['viewers', 'editors'],
      }),
    ])
  })

  it('wants something to change', async () => {
    const update = usersUpdate({ name: 'alice', traits: {} }, fakeContext({}))
    expect(await refusal(update)).toBe('Nothing to update. Please provide at least one --set flag.')
  })
})

describe('tctl users rm', () => {
  it('deletes each, and tells of each', async () => {
    const deleted: string[] = []
    const context = fakeContext({
      deleteResource: async (kind, name) => {
        if (name === 'bob') throw notFound('user "bob" not found')
        deleted.push(`${kind}/${name}`)
      },
    })
    expect(await usersRemove({ names: ['alice', 'bob', ' joe', ''] }, context)).toBe(1)
    expect(deleted).toEqual(['user/alice', 'user/joe'])
    expect(context.stdout()).toBe('User "alice" has been deleted\nUser "joe" has been deleted\n')
    expect(context.stderr()).toBe('ERROR: user "bob" not found\n')
  })

  it('ends well when all are gone', async () => {
    expect(await usersRemove({ names: ['alice'] }, fakeContext({ deleteResource: async () => {} }))).toBe(0)
  })

  it('needs a name', async () => {
    expect(await refusal(usersRemove({ names: [''] }, fakeContext({})))).toBe('Need an argument: user')
  })
})
