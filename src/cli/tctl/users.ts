// `tctl users …`: people who log in with a password. Both spellings of the Kubernetes flags are taken: the old
// guides say `--k8s-groups`, newer ones `--kubernetes-groups`.

import { alreadyExists, badParameter, isKind, messageOf } from '../../errors.ts'
import { parseUser, type User } from '../../resources/user.ts'
import type { SignupToken } from '../../api/schemas.ts'
import { trimDuration } from '../../resources/duration.ts'
import { columns, json } from '../output.ts'
import type { TctlContext } from './context.ts'

/** Trait behind each flag, and how `users update` names it. In the order in which changes are listed. */
const traitFlags = [
  { trait: 'logins', label: 'logins' },
  { trait: 'windows_logins', label: 'Windows logins' },
  { trait: 'kubernetes_users', label: 'Kubernetes users' },
  { trait: 'kubernetes_groups', label: 'Kubernetes groups' },
  { trait: 'db_users', label: 'database users' },
  { trait: 'db_names', label: 'database names' },
  { trait: 'db_roles', label: 'database roles' },
  { trait: 'aws_role_arns', label: 'AWS role ARNs' },
  { trait: 'azure_identities', label: 'Azure identities' },
  { trait: 'gcp_service_accounts', label: 'GCP service accounts' },
  { trait: 'host_user_uid', label: 'host user UID' },
  { trait: 'host_user_gid', label: 'host user GID' },
  { trait: 'mcp_tools', label: 'MCP tools' },
  { trait: 'default_relay_addr', label: 'default relay address' },
] as const

export type TraitName = (typeof traitFlags)[number]['trait']
export type TraitValues = Partial<Record<TraitName, readonly string[]>>

export interface UsersAddInput {
  name: string
  /** Absent: the old form of the command, which gave a role that lets traits take effect. */
  roles?: readonly string[]
  traits: TraitValues
  ttl?: string
  format: 'text' | 'json'
}

/** The role of users added without `--roles`: it grants what the user's traits name, and nothing else. */
const defaultRole = 'access'
const inviteTtl = '1h'
const resetTtl = '8h'

export async function usersAdd(input: UsersAddInput, { client, out, note }: TctlContext): Promise<number> {
  const roles = input.roles && input.roles.length > 0 ? [...input.roles] : [defaultRole]
  const traits = Object.fromEntries(Object.entries(input.traits).map(([name, values]) => [name, [...values]]))
  let token: SignupToken
  try {
    token = await client.addUser({
      name: input.name,
      roles,
      traits,
      ttl: input.ttl ?? inviteTtl,
    })
  } catch (error) {
    if (!isKind(error, 'already-exists')) throw error
    note('NOTE: To update an existing local user:\n')
    note(`> tctl users update ${input.name} --set-roles ${roles.join(',')} # replace roles\n\n`)
    // Without the server's hint, which is about files of resources.
    throw alreadyExists(error.message, { cause: error })
  }
  if (input.format === 'json') out(json(tokenResource(token)))
  else {
    out(
      `User "${token.user}" has been created but requires a password. Share this URL with the user to complete user setup, link is valid for ${trimDuration(input.ttl ?? inviteTtl)}:\n${linkText(token)}`,
    )
  }
  return 0
}

export async function usersReset(
  input: { name: string; ttl?: string; format: 'text' | 'json' },
  { client, out }: TctlContext,
): Promise<number> {
  const ttl = input.ttl ?? resetTtl
  const token = await client.resetUser(input.name, { ttl })
  if (input.format === 'json') out(json(tokenResource(token)))
  else {
    out(
      `User "${token.user}" has been reset. Share this URL with the user to complete password reset, link is valid for ${trimDuration(ttl)}:\n${linkText(token)}`,
    )
  }
  return 0
}

export async function usersList(
  input: { format: 'text' | 'json' },
  { client, out }: TctlContext,
): Promise<number> {
  const users = (await client.listResources('user')).map(parseUser)
  if (input.format === 'json') out(json(users))
  else if (users.length === 0) out('No users found\n')
  else {
    out(
      columns(
        ['User', 'Roles'],
        users.map((user) => [user.metadata.name, user.spec.roles.join(',')]),
      ),
    )
  }
  return 0
}

export interface UsersUpdateInput {
  name: string
  roles?: readonly string[]
  traits: TraitValues
}

export async function usersUpdate(input: UsersUpdateInput, { client, out }: TctlContext): Promise<number> {
  const changes = traitFlags.filter(({ trait }) => input.traits[trait] !== undefined)
  if (input.roles === undefined && changes.length === 0) {
    throw badParameter('Nothing to update. Please provide at least one --set flag.')
  }
  const user = parseUser(await client.getResource('user', input.name))
  const changed: User = {
    ...user,
    spec: {
      ...user.spec,
      roles: [...(input.roles ?? user.spec.roles)],
      traits: {
        ...user.spec.traits,
        ...Object.fromEntries(changes.map(({ trait }) => [trait, [...(input.traits[trait] ?? [])]])),
      },
    },
  }
  await client.updateResource(changed)
  out(`User ${input.name} has been updated:\n`)
  if (input.roles !== undefined) out(`\tNew roles: ${input.roles.join(',')}\n`)
  for (const { trait, label } of changes) out(`\tNew ${label}: ${input.traits[trait]?.join(',') ?? ''}\n`)
  return 0
}

export async function usersRemove(
  input: { names: readonly string[] },
  { client, out, note }: TctlContext,
): Promise<number> {
  const names = input.names.map((name) => name.trim()).filter((name) => name !== '')
  if (names.length === 0) throw badParameter('Need an argument: user')
  let failed = 0
  for (const name of names) {
    try {
      await client.deleteResource('user', name)
      out(`User "${name}" has been deleted\n`)
    } catch (error) {
      // The others are still wanted gone.
      failed++
      note(`ERROR: ${messageOf(error)}\n`)
    }
  }
  return failed === 0 ? 0 : 1
}

function linkText(token: SignupToken): string {
  return `${token.url}\n\nNOTE: Make sure ${token.proxy} points at a Teleport proxy which users can access.\n`
}

function tokenResource(token: SignupToken) {
  return {
    kind: 'user_token',
    sub_kind: token.type,
    version: 'v3',
    metadata: { name: token.token, expires: token.expires },
    spec: { user: token.user, url: token.url },
  }
}
