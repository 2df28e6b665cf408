import { describe, expect, it } from 'bun:test'
import { TeleportError } from '../errors.ts'
import type { HeaderList } from '../http/exchange.ts'
import { forwardedHeaders } from './headers.ts'
import { choosePrincipals, impersonationHeaders } from './impersonate.ts'

function outcome(users: string[], groups: string[], headers: HeaderList): HeaderList | string {
  try {
    return impersonationHeaders(
      choosePrincipals({ kubernetesUsers: users, kubernetesGroups: groups }, headers),
    )
  } catch (error) {
    if (error instanceof TeleportError) return `${error.kind}: ${error.message}`
    throw error
  }
}

const user = (name: string) => ['impersonate-user', name] as const
const group = (name: string) => ['impersonate-group', name] as const
const denied = 'access-denied: impersonation request has been denied, '

describe('impersonation', () => {
  const a = ['kube-user-a']
  const both = ['ga', 'gb']
  it.each([
    [
      'nothing asked: the one user and all groups',
      a,
      both,
      [],
      [user('kube-user-a'), group('ga'), group('gb')],
    ],
    ['no user allowed', [], both, [], 'access-denied: no kubernetes user is allowed'],
    [
      'several users, none chosen',
      ['a', 'b'],
      both,
      [],
      'access-denied: please select a user to impersonate, refusing to select a user due to several kubernetes_users set up for this user',
    ],
    ['a subset is kept', a, both, [user('kube-user-a'), group('gb')], [user('kube-user-a'), group('gb')]],
    [
      'another user',
      a,
      both,
      [user('other'), group('gb')],
      `${denied}user header "other" is not allowed in roles`,
    ],
    [
      'another group',
      a,
      both,
      [group('other')],
      `${denied}group header "other" value is not allowed in roles`,
    ],
    [
      'two users',
      ['a', 'b'],
      both,
      [user('a'), user('b')],
      `${denied}the user header is there more than once`,
    ],
    [
      'another impersonation header',
      a,
      both,
      [['impersonate-ev', 'x'] as const],
      `${denied}unsupported impersonation header "impersonate-ev"`,
    ],
    [
      'an extra header',
      a,
      both,
      [['impersonate-extra-scopes', 'x'] as const],
      `${denied}unsupported impersonation header "impersonate-extra-scopes"`,
    ],
    ['an empty user is ignored', a, both, [user(''), group('gb')], [user('kube-user-a'), group('gb')]],
    ['doubled groups count once', a, both, [group('gb'), group('gb')], [user('kube-user-a'), group('gb')]],
    [
      'an underscore spelling',
      a,
      both,
      [['impersonate_user', 'x'] as const],
      'bad-parameter: header "impersonate_user" is not allowed',
    ],
  ] as [string, string[], string[], HeaderList, HeaderList | string][])(
    '%s',
    (_, users, groups, headers, expected) => {
      expect(outcome(users, groups, headers)).toEqual(expected)
    },
  )

  it('keeps a comma inside a name, and refuses a line break', () => {
    expect(outcome(['u'], ['a,b', 'ü'], [])).toEqual([
      user('u'),
      group('a,b'),
      group(Buffer.from('ü').toString('latin1')),
    ])
    expect(outcome(['u\nx'], ['g'], [])).toBe('access-denied: principal "u\\nx" holds a control character')
  })

  it('has one line for each of 300 groups', () => {
    const groups = Array.from({ length: 300 }, (_, index) => `group-${index}`)
    expect(outcome(['u'], groups, [])).toHaveLength(301)
  })
})

describe('forwardedHeaders', () => {
  const from = { client: '10.0.0.9', host: 'k8s.example.com', path: '' }
  const ours: HeaderList = [
    ['x-forwarded-proto', 'https'],
    ['x-forwarded-host', 'k8s.example.com'],
    ['x-forwarded-for', '10.0.0.9'],
  ]

  it('drops everything that could speak for somebody', () => {
    const forged: HeaderList = [
      ['authorization', 'Bearer stolen'],
      ['cookie', 'a=b'],
      ['impersonate-user', 'admin'],
      ['impersonate-uid', '0'],
      ['impersonate-extra-x', 'y'],
      ['x-remote-user', 'admin'],
      ['x-remote-group', 'system:masters'],
      ['x-forwarded-for', '1.2.3.4'],
      ['x-forwarded-host', 'evil'],
      ['forwarded', 'for=1.2.3.4'],
      ['x-original-url', '/x'],
      ['x-http-method-override', 'DELETE'],
      ['teleport-impersonate-user', '{}'],
      ['proxy-authorization', 'x'],
      ['accept', 'application/json'],
      ['user-agent', 'kubectl'],
    ]
    expect(forwardedHeaders(forged, from)).toEqual([
      ['accept', 'application/json'],
      ['user-agent', 'kubectl'],
      ...ours,
    ])
  })

  it('drops what the Connection header names, before ours are added', () => {
    expect(
      forwardedHeaders(
        [
          ['connection', 'X-Identity, Accept'],
          ['x-identity', 'a'],
          ['accept', 'b'],
          ['te', 'trailers'],
        ],
        from,
      ),
    ).toEqual(ours)
  })

  it.each([
    [[['impersonate_group', 'x']]],
    [[['x_remote_user', 'x']]],
    [
      [
        ['authorization', 'a'],
        ['authorization', 'b'],
      ],
    ],
  ] as [HeaderList][])('refuses %j', (headers) => {
    expect(() => forwardedHeaders(headers, from)).toThrow(TeleportError)
  })
})
