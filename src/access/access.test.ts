import { describe, expect, it } from 'bun:test'
import { TeleportError } from '../errors.ts'
import type { UserIdentity } from '../identity/identity.ts'
import { testHost, testUser } from '../identity/testing/identities.ts'
import { parseClusterAuthPreference } from '../resources/cluster-auth-preference.ts'
import { parseClusterNetworkingConfig } from '../resources/cluster-configs.ts'
import { parseLock } from '../resources/lock.ts'
import { presetRoles } from '../resources/presets.ts'
import { parseRole, type Role } from '../resources/role.ts'
import { authorizeKubernetes, canSeeCluster, compilePolicy, type Grant } from './access.ts'
import { lockedBecause } from './locks.ts'
import { compilePattern } from './patterns.ts'
import { allowsRule } from './resource-rules.ts'
import { expandAll } from './traits.ts'

const preference = parseClusterAuthPreference({ kind: 'cluster_auth_preference' })
const networking = parseClusterNetworkingConfig({ kind: 'cluster_networking_config' })
const everywhere = { kubernetes_labels: { '*': '*' } }

const role = (spec: Record<string, unknown>, version = 'v7', name = 'some'): Role =>
  parseRole({ kind: 'role', version, metadata: { name }, spec })

function authorize(
  roles: readonly Role[],
  more: { identity?: Partial<UserIdentity>; labels?: Record<string, string>; address?: string } = {},
): Grant {
  const identity = testUser({ username: 'user-a', ...more.identity })
  return authorizeKubernetes({
    identity,
    policy: compilePolicy(roles, identity),
    cluster: { name: 'local', labels: more.labels ?? {} },
    preference,
    networking,
    clientAddress: more.address ?? '127.0.0.1',
  })
}

function refusal(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof TeleportError) return `${error.kind}: ${error.message}`
    throw error
  }
  return 'allowed'
}

describe('authorizeKubernetes', () => {
  it('local user and local cluster: own name, groups of the role, authenticated', () => {
    expect(authorize([role({ allow: { ...everywhere, kubernetes_groups: ['ga', 'gb'] } })])).toMatchObject({
      kubernetesUsers: ['user-a'],
      kubernetesGroups: ['ga', 'gb', 'system:authenticated'],
    })
  })

  it('kube users passed in role: the own name is not added', () => {
    const grant = authorize([
      role({ allow: { ...everywhere, kubernetes_users: ['kube-user-a', 'kube-user-b'] } }),
    ])
    expect(grant).toMatchObject({
      kubernetesUsers: ['kube-user-a', 'kube-user-b'],
      kubernetesGroups: ['system:authenticated'],
    })
  })

  it('hides a cluster whose labels no role matches', () => {
    const prod = role({ allow: { kubernetes_labels: { env: 'prod' }, kubernetes_groups: ['g'] } })
    expect(refusal(() => authorize([prod], { labels: { env: 'dev' } }))).toBe(
      'access-denied: kubernetes cluster "local" not found',
    )
    expect(refusal(() => authorize([prod], { labels: { env: 'prod' } }))).toBe('allowed')
    expect(refusal(() => authorize([]))).toBe('access-denied: kubernetes cluster "local" not found')
  })

  it('says what is missing when there are no principals', () => {
    expect(refusal(() => authorize([role({ allow: everywhere })]))).toStartWith(
      "not-found: Your user's Teleport role does not allow Kubernetes access.",
    )
  })

  it('takes only principals of roles that reach the cluster', () => {
    const roles = [
      role(
        { allow: { kubernetes_labels: { env: ['dev', 'test'] }, kubernetes_groups: ['dev'] } },
        'v7',
        'dev',
      ),
      role({ allow: { kubernetes_labels: { env: '^pr.*$' }, kubernetes_groups: ['prod'] } }, 'v7', 'prod'),
    ]
    expect(authorize(roles, { labels: { env: 'test' } }).kubernetesGroups).toEqual([
      'dev',
      'system:authenticated',
    ])
    expect(authorize(roles, { labels: { env: 'prod' } }).kubernetesGroups).toEqual([
      'prod',
      'system:authenticated',
    ])
  })

  it('lets deny win: labels hide the cluster, principals are taken away', () => {
    const allow = role({ allow: { ...everywhere, kubernetes_groups: ['a', 'b'], kubernetes_users: ['u'] } })
    const denied = role({ deny: { kubernetes_labels: { env: 'prod' } } }, 'v7', 'deny')
    expect(refusal(() => authorize([allow, denied], { labels: { env: 'prod' } }))).toBe(
      'access-denied: kubernetes cluster "local" not found',
    )
    const taken = role({ deny: { kubernetes_groups: ['b'], kubernetes_users: ['u'] } }, 'v7', 'taken')
    expect(authorize([allow, taken])).toMatchObject({
      kubernetesUsers: ['user-a'],
      kubernetesGroups: ['a', 'system:authenticated'],
    })
    const all = role({ deny: { kubernetes_groups: ['a', 'b'], kubernetes_users: ['u'] } }, 'v7', 'all')
    expect(refusal(() => authorize([allow, all]))).toStartWith('not-found: ')
  })

  it('puts traits in as literals: a trait that looks like a pattern matches nothing but itself', () => {
    const identity = { traits: { kubernetes_groups: ['^.*$', 'system:masters,x', 'ok'], team: ['*'] } }
    const access = role({
      allow: {
        kubernetes_labels: { team: '{{external.team}}' },
        kubernetes_groups: ['{{internal.kubernetes_groups}}'],
      },
    })
    expect(refusal(() => authorize([access], { identity, labels: { team: 'red' } }))).toBe(
      'access-denied: kubernetes cluster "local" not found',
    )
    expect(authorize([access], { identity, labels: { team: '*' } }).kubernetesGroups).toEqual([
      '^.*$',
      'system:masters,x',
      'ok',
      'system:authenticated',
    ])
  })

  it.each([
    ['v3', undefined, true],
    ['v5', undefined, true],
    ['v5', [{ kind: 'pod', namespace: 'default', name: '*' }], false],
    ['v6', undefined, false],
    ['v6', [{ kind: '*', namespace: '*', name: '*' }], true],
    ['v6', [{ kind: 'pod', namespace: '*', name: '*' }], true],
    ['v7', undefined, true],
    ['v7', [{ kind: '*', namespace: '*', name: '*', verbs: ['get'] }], false],
    ['v7', [{ kind: 'pod', namespace: '*', name: '*', verbs: ['*'] }], false],
    ['v7', [{ kind: '*', namespace: '^.+$', name: '*', verbs: ['*'] }], false],
    ['v8', undefined, true],
    ['v8', [{ kind: '*', api_group: '*', namespace: '*', name: '*', verbs: ['*'] }], true],
    ['v8', [{ kind: '*', api_group: 'apps', namespace: '*', name: '*', verbs: ['*'] }], false],
  ])('a %s role with kubernetes_resources %j gives access: %p', (version, resources, allowed) => {
    const allow = {
      ...everywhere,
      kubernetes_groups: ['g'],
      ...(resources ? { kubernetes_resources: resources } : {}),
    }
    const outcome = refusal(() => authorize([role({ allow }, version)]))
    if (allowed) expect(outcome).toBe('allowed')
    else expect(outcome).toContain('access through role some is not possible')
  })

  it('gives no access at all while any role denies objects', () => {
    const allow = role({ allow: { ...everywhere, kubernetes_groups: ['g'] } })
    const deny = role(
      { deny: { kubernetes_resources: [{ kind: 'pod', namespace: 'x', name: '*', verbs: ['*'] }] } },
      'v7',
      'deny',
    )
    expect(refusal(() => authorize([allow, deny]))).toContain('access through role deny is not possible')
  })

  it('holds to a pinned address and to session MFA', () => {
    const allow = role({ allow: { ...everywhere, kubernetes_groups: ['g'] } })
    expect(refusal(() => authorize([allow], { identity: { pinnedIp: '127.0.0.2' } }))).toBe(
      "access-denied: pinned IP doesn't match observed client IP",
    )
    expect(refusal(() => authorize([allow], { identity: { pinnedIp: '127.0.0.1' } }))).toBe('allowed')
    const pinning = role({ options: { pin_source_ip: true } }, 'v7', 'pin')
    expect(refusal(() => authorize([allow, pinning]))).toStartWith('access-denied: pinned IP is required')
    const mfa = role({ options: { require_session_mfa: true } }, 'v7', 'mfa')
    expect(refusal(() => authorize([allow, mfa]))).toStartWith('access-denied: session MFA is required')
  })

  it('takes the strictest limits of all roles', () => {
    const first = role({
      allow: { ...everywhere, kubernetes_groups: ['g'] },
      options: { client_idle_timeout: '1h', max_kubernetes_connections: 9 },
    })
    const second = role(
      {
        options: {
          client_idle_timeout: '5m',
          disconnect_expired_cert: true,
          max_kubernetes_connections: 3,
          record_session: { default: 'strict' },
        },
      },
      'v7',
      'b',
    )
    expect(authorize([first, second], { identity: { notAfter: 1234 } }).limits).toEqual({
      clientIdleTimeout: 300_000,
      clientIdleTimeoutMessage: '',
      disconnectAt: 1234,
      maxKubernetesConnections: 3,
      recordSession: 'strict',
    })
  })

  it('shows a cluster by labels alone', () => {
    const policy = compilePolicy([role({ allow: { kubernetes_labels: { a: '1', b: ['2', '3'] } } })], {
      username: 'alice',
      roles: [],
      traits: {},
    })
    expect(canSeeCluster(policy, { a: '1', b: '3', c: 'x' })).toBe(true)
    expect(canSeeCluster(policy, { a: '1' })).toBe(false)
  })
})

describe('label expressions', () => {
  const reaches = (expression: string, labels: Record<string, string>) => {
    const user = {
      username: 'alice',
      roles: ['dev'],
      traits: { teams: ['red', 'blue'], email: ['al@x.org'] },
    }
    return canSeeCluster(
      compilePolicy([role({ allow: { kubernetes_labels_expression: expression } })], user),
      labels,
    )
  }
  it.each([
    ['labels["env"] == "prod"', { env: 'prod' }, true],
    ['labels["env"] == "prod"', {}, false],
    ['labels["env"] != "prod"', {}, true],
    ['labels["env"] == "prod" && !contains(user.spec.traits["teams"], "green")', { env: 'prod' }, true],
    ['labels["env"] == "prod" || labels["env"] == "dev" && false', { env: 'prod' }, true],
    ['(labels["a"] == "1" || labels["b"] == "2") && labels["c"] == "3"', { b: '2', c: '3' }, true],
    ['contains(user.spec.traits["teams"], labels["team"])', { team: 'red' }, true],
    ['contains(user.spec.traits["teams"], labels["team"])', { team: '*' }, false],
    ['contains_any(user.spec.traits["teams"], set("x", "blue"))', {}, true],
    ['contains_all(user.spec.traits["teams"], set("red", "green"))', {}, false],
    ['is_empty(labels["env"])', {}, true],
    ['regexp.match(labels["env"], "^pr.*$")', { env: 'prod' }, true],
    ['strings.lower(labels["env"]) == "prod"', { env: 'PROD' }, true],
    ['email.local(user.spec.traits["email"]) == "al"', {}, true],
    ['contains(labels_matching("team-*"), "red")', { 'team-a': 'red' }, true],
    ['user.metadata.name == "alice" && contains(user.spec.roles, "dev")', {}, true],
    ['labels["constructor"] == ""', {}, true],
    ['"true"', {}, false],
  ])('%s on %j: %p', (expression, labels, expected) => {
    expect(reaches(expression, labels)).toBe(expected)
  })

  it.each([
    ['labels[env]'],
    ['labels["a"] =='],
    ['foo("a")'],
    ['a b'],
    ['labels["a"] == "1" &&'],
    ['`id`'],
    ['('.repeat(200)],
  ])('refuses %j', (expression) => {
    expect(refusal(() => reaches(expression, {}))).toStartWith(
      'bad-parameter: failed to parse label expression',
    )
  })

  it('needs both in an allow, either in a deny', () => {
    const user = { username: 'a', roles: [], traits: {} }
    const both = compilePolicy(
      [
        role({
          allow: { kubernetes_labels: { env: 'prod' }, kubernetes_labels_expression: 'labels["x"] == "1"' },
        }),
      ],
      user,
    )
    expect([canSeeCluster(both, { env: 'prod' }), canSeeCluster(both, { env: 'prod', x: '1' })]).toEqual([
      false,
      true,
    ])
    const deny = role({ deny: { kubernetes_labels_expression: 'labels["env"] == "prod"' } }, 'v7', 'deny')
    const denied = compilePolicy([role({ allow: everywhere }), deny], user)
    expect([canSeeCluster(denied, { env: 'prod' }), canSeeCluster(denied, { env: 'dev' })]).toEqual([
      false,
      true,
    ])
  })
})

describe('compilePattern', () => {
  it.each([
    ['env-*-staging', 'pre-env-app-staging', false],
    ['env-*-staging', 'env-app-staging', true],
    ['^env-[a-zA-Z0-9]{3,12}-staging$', 'env-app-staging', true],
    ['^env-[a-zA-Z0-9]{3,12}-staging$', 'env-~-staging', false],
    ['a*b*a', 'aba', true],
    ['a*a', 'a', false],
    ['*', '', true],
    ['a.c', 'abc', false],
  ])('%s matches %s: %p', (pattern, text, expected) => {
    expect(compilePattern(pattern)(text)).toBe(expected)
  })

  it('refuses what a linear engine cannot run, and is not slow on what others are', () => {
    expect(refusal(() => compilePattern('^env-(?!prod)$'))).toStartWith(
      'bad-parameter: "^env-(?!prod)$" is not a regular expression',
    )
    expect(compilePattern('^(a+)+$')(`${'a'.repeat(250)}b`)).toBe(false)
  })
})

describe('expandAll', () => {
  const traits = { logins: ['root', 'dev'], email: ['dave.smith@acme.com'], env: ['staging', 'prod'] }
  it.each([
    ['plain', ['plain']],
    ['{{internal.logins}}', ['root', 'dev']],
    ['IAM#{{external.logins}};', ['IAM#root;', 'IAM#dev;']],
    ['{{external["logins"]}}', ['root', 'dev']],
    ['{{email.local(external.email)}}', ['dave.smith']],
    ['{{regexp.replace(external.env, "^(staging)$", "$1-x")}}', ['staging-x']],
    ['{{external.missing}}', []],
    ['{{external.constructor}}', []],
  ])('%s → %j', (text, expected) => {
    expect(expandAll([text], traits)).toEqual(expected)
  })
})

describe('resource rules', () => {
  const question = (names: string[]) => ({
    identity: testUser({}),
    roles: presetRoles.filter((one) => names.includes(one.metadata.name)),
  })

  it('lets editors edit and users not', () => {
    expect(allowsRule(question(['editor']), 'create', 'role')).toBe(true)
    expect(allowsRule(question(['access']), 'create', 'role')).toBe(false)
    expect(allowsRule(question(['access']), 'read', 'cert_authority')).toBe(false)
    expect(allowsRule(question(['admin']), 'delete', 'kube_cluster')).toBe(true)
  })

  it('lets a deny win and a condition allow nothing', () => {
    const deny = role({ deny: { rules: [{ resources: ['role'], verbs: ['create'] }] } })
    const editor = question(['editor'])
    expect(allowsRule({ ...editor, roles: [...editor.roles, deny] }, 'create', 'role')).toBe(false)
    expect(allowsRule(question(['access']), 'read', 'session')).toBe(false)
  })

  it('gives processes what they need and nothing more', () => {
    const kube = { identity: testHost({ roles: ['Kube'] }), roles: [] }
    expect(allowsRule(kube, 'readnosecrets', 'role')).toBe(true)
    expect(allowsRule(kube, 'read', 'cert_authority')).toBe(false)
    expect(allowsRule(kube, 'create', 'role')).toBe(false)
    expect(allowsRule({ identity: testHost({ roles: ['Admin'] }), roles: [] }, 'delete', 'user')).toBe(true)
  })
})

describe('lockedBecause', () => {
  const lock = (target: object, more: object = {}) =>
    parseLock({ kind: 'lock', metadata: { name: 'l' }, spec: { target, ...more } })

  it('names target and message', () => {
    expect(lockedBecause([lock({ user: 'alice' }, { message: 'left' })], testUser({}))).toBe(
      'lock targeting User:"alice" is in force: left',
    )
    expect(lockedBecause([lock({ role: 'access' })], testUser({}))).toBe(
      'lock targeting Role:"access" is in force',
    )
    expect(lockedBecause([lock({ user: 'bob' })], testUser({}))).toBeUndefined()
  })

  it('ends when it expires', () => {
    const expiring = lock({ user: 'alice' }, { expires: '2026-01-01T00:00:00Z' })
    expect(lockedBecause([expiring], testUser({}), Date.parse('2025-12-31'))).toBeDefined()
    expect(lockedBecause([expiring], testUser({}), Date.parse('2026-01-02'))).toBeUndefined()
  })
})
