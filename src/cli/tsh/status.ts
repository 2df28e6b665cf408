// `tsh status`, `tsh clusters`, `tsh env`, `tsh version`.

import { version } from '../../version.ts'
import type { UserIdentity } from '../../identity/identity.ts'
import { formatDuration } from '../../resources/duration.ts'
import type { CommandInput } from '../command.ts'
import type { Io } from '../io.ts'
import { columns, json, yaml } from '../output.ts'
import { type Profile, profileFolder, Profiles } from '../profile.ts'
import { findSession, openSession } from './session.ts'

export async function status(input: CommandInput, io: Io): Promise<number> {
  const format = input.text('format') ?? 'text'
  const session = await findSession(io)
  if (!session) {
    const hosts = await new Profiles(profileFolder(io.env)).hosts()
    io.note(hosts.length > 0 ? 'ERROR: No active profile.\n' : 'ERROR: Not logged in.\n')
    return 1
  }
  if (format === 'text') return printStatus(io)
  const value = { active: profileJson(session.profile, session.identity), profiles: [] }
  io.out(format === 'yaml' ? yaml(value) : json(value))
  return session.identity.notAfter <= Date.now() ? 1 : 0
}

function profileJson(profile: Profile, identity: UserIdentity) {
  return {
    profile_url: `https://${profile.webProxyAddress}`,
    username: profile.user,
    cluster: profile.cluster,
    roles: [...identity.roles].sort(),
    traits: identity.traits,
    ...(identity.logins.length > 0 ? { logins: identity.logins } : {}),
    kubernetes_enabled: profile.kubeProxyAddress !== '',
    ...(profile.kubernetesCluster ? { kubernetes_cluster: profile.kubernetesCluster } : {}),
    ...(identity.kubernetesUsers.length > 0 ? { kubernetes_users: identity.kubernetesUsers } : {}),
    ...(identity.kubernetesGroups.length > 0 ? { kubernetes_groups: identity.kubernetesGroups } : {}),
    valid_until: new Date(identity.notAfter).toISOString(),
  }
}

/** The profile in use, in words. Exit code 1 when its certificate has expired. */
export async function printStatus(io: Io): Promise<number> {
  const session = await findSession(io)
  if (!session) {
    io.note('ERROR: Not logged in.\n')
    return 1
  }
  const { profile, identity } = session
  const left = identity.notAfter - Date.now()
  const rows: [string, string][] = [
    ['Profile URL', `https://${profile.webProxyAddress}`],
    ['Logged in as', profile.user],
    ['Cluster', profile.cluster],
    ['Roles', [...identity.roles].sort().join(', ')],
    ...(identity.logins.length > 0 ? ([['Logins', identity.logins.join(', ')]] as [string, string][]) : []),
    ['Kubernetes', profile.kubeProxyAddress === '' ? 'disabled' : 'enabled'],
    ...(profile.kubernetesCluster
      ? ([['Kubernetes cluster', JSON.stringify(profile.kubernetesCluster)]] as [string, string][])
      : []),
    ...(identity.kubernetesUsers.length > 0
      ? ([['Kubernetes users', identity.kubernetesUsers.join(', ')]] as [string, string][])
      : []),
    ...(identity.kubernetesGroups.length > 0
      ? ([['Kubernetes groups', identity.kubernetesGroups.join(', ')]] as [string, string][])
      : []),
    [
      'Valid until',
      `${new Date(identity.notAfter)
        .toISOString()
        .replace('T', ' ')
        .replace(/\.\d+Z$/, '')} +0000 UTC ${validity(left)}`,
    ],
  ]
  for (const [index, [label, value]] of rows.entries())
    io.out(`${index === 0 ? '> ' : '  '}${`${label}:`.padEnd(20)}${value}\n`)
  io.out('\n')
  if (left > 0) return 0
  io.note('ERROR: Active profile expired.\n')
  return 1
}

function validity(left: number): string {
  if (left <= 0) return '[EXPIRED]'
  return left < 60_000
    ? '[valid for <1m]'
    : `[valid for ${formatDuration(Math.floor(left / 60_000) * 60_000)}]`
}

export async function clusters(input: CommandInput, io: Io): Promise<number> {
  const { profile } = await openSession(io)
  const list = [
    { cluster_name: profile.cluster, status: 'online', cluster_type: 'root', labels: {}, selected: true },
  ]
  const format = input.text('format') ?? 'text'
  if (format === 'json') io.out(json(list))
  else if (format === 'yaml') io.out(yaml(list))
  else if (input.flag('quiet')) io.out(`${profile.cluster} online root  *\n`)
  else
    io.out(
      columns(
        ['Cluster Name', 'Status', 'Cluster Type', 'Labels', 'Selected'],
        [[profile.cluster, 'online', 'root', '', '*']],
      ),
    )
  return 0
}

export async function environment(input: CommandInput, io: Io): Promise<number> {
  const { profile } = await openSession(io)
  const variables = { TELEPORT_PROXY: profile.webProxyAddress, TELEPORT_CLUSTER: profile.cluster }
  const format = input.text('format') ?? 'text'
  if (format === 'json') io.out(json(variables))
  else if (format === 'yaml') io.out(yaml(variables))
  else
    for (const [name, value] of Object.entries(variables))
      io.out(input.flag('unset') ? `unset ${name}\n` : `export ${name}=${value}\n`)
  return 0
}

export async function showVersion(input: CommandInput, io: Io): Promise<number> {
  if (input.text('format') === 'json') io.out(json({ version, gitref: '', runtime: `bun${Bun.version}` }))
  else io.out(`Teleport v${version} git: bun${Bun.version}\n`)
  return 0
}
