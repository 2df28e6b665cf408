// Whom the API server will see: written from the Grant alone, never by editing what the client sent. What the client
// asks for can only choose among what the Grant holds.

import type { Grant } from '../access/access.ts'
import { accessDenied, badParameter } from '../errors.ts'
import type { HeaderList } from '../http/exchange.ts'

export interface Principals {
  readonly user: string
  readonly groups: readonly string[]
}

const prefix = 'impersonate-'

/** The principals of this request. Throws the texts that clients know when it asks for others. */
export function choosePrincipals(
  grant: Pick<Grant, 'kubernetesUsers' | 'kubernetesGroups'>,
  headers: HeaderList,
): Principals {
  const asked = askedFor(headers)
  const user = chooseUser(grant, asked.user)
  for (const group of asked.groups) {
    if (!grant.kubernetesGroups.includes(group)) {
      throw accessDenied(
        `impersonation request has been denied, group header ${JSON.stringify(group)} value is not allowed in roles`,
      )
    }
  }
  return { user, groups: asked.groups.length > 0 ? [...new Set(asked.groups)] : grant.kubernetesGroups }
}

function chooseUser({ kubernetesUsers }: Pick<Grant, 'kubernetesUsers'>, asked: string): string {
  if (asked !== '') {
    if (kubernetesUsers.includes(asked)) return asked
    throw accessDenied(
      `impersonation request has been denied, user header ${JSON.stringify(asked)} is not allowed in roles`,
    )
  }
  const [only, ...others] = kubernetesUsers
  if (only === undefined) throw accessDenied('no kubernetes user is allowed')
  if (others.length > 0) {
    throw accessDenied(
      'please select a user to impersonate, refusing to select a user due to several kubernetes_users set up for this user',
    )
  }
  return only
}

function askedFor(headers: HeaderList): { user: string; groups: string[] } {
  const users: string[] = []
  const groups: string[] = []
  for (const [name, value] of headers) {
    if (!name.replaceAll('_', '-').startsWith(prefix)) continue
    if (name.includes('_')) throw badParameter(`header ${JSON.stringify(name)} is not allowed`)
    if (name === 'impersonate-user') users.push(value)
    else if (name === 'impersonate-group') groups.push(value)
    else
      throw accessDenied(
        `impersonation request has been denied, unsupported impersonation header ${JSON.stringify(name)}`,
      )
  }
  if (users.length > 1)
    throw accessDenied('impersonation request has been denied, the user header is there more than once')
  return { user: users[0] ?? '', groups }
}

/** One header line per value: a list that is joined could be split somewhere else. */
export function impersonationHeaders({ user, groups }: Principals): HeaderList {
  for (const value of [user, ...groups]) {
    if (/[\0-\x1f\x7f]/.test(value))
      throw accessDenied(`principal ${JSON.stringify(value)} holds a control character`)
  }
  // Header values are bytes; the API server reads them as UTF-8.
  const bytes = (text: string) => Buffer.from(text, 'utf8').toString('latin1')
  return [
    ['impersonate-user', bytes(user)],
    ...groups.map((group): [string, string] => ['impersonate-group', bytes(group)]),
  ]
}
