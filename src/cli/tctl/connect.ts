// How tctl finds the cluster it administers: an identity file, the data directory of an auth server on this host, or
// the profile of a `tsh login`, in this order.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { badParameter, messageOf, unauthenticated } from '../../errors.ts'
import { parseAddress } from '../../config/config.ts'
import type { CommandInput } from '../command.ts'
import type { Io } from '../io.ts'
import { loadConfig } from '../load-config.ts'
import { profileFolder, Profiles } from '../profile.ts'
import { connectToAuth, type RemoteClient, splitIdentityFile } from '../remote-api.ts'

export async function connect(input: CommandInput, io: Io): Promise<RemoteClient> {
  const identity = input.text('identity') ?? io.env['TELEPORT_IDENTITY_FILE']
  if (identity) return fromIdentityFile(identity, input.list('authServer') ?? [])
  return (await fromDataDirectory(input, io)) ?? (await fromProfile(io)) ?? notFoundAnywhere()
}

async function fromIdentityFile(path: string, servers: readonly string[]): Promise<RemoteClient> {
  const [server] = servers
  if (!server) throw badParameter('tctl --identity also requires --auth-server')
  const parts = splitIdentityFile(await readFile(path, 'utf8'))
  if (!parts) throw badParameter(`${path} is not an identity file`)
  return connectToAuth({ ...parseAddress(server, 3025), ...parts })
}

async function fromDataDirectory(input: CommandInput, io: Io): Promise<RemoteClient | undefined> {
  const path = input.text('config') ?? io.env['TELEPORT_CONFIG_FILE']
  const { config } = await loadConfig(path ? { path } : {})
  if (!config.auth) return undefined
  const file = join(config.dataDirectory, 'proc', 'admin.pem')
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    // With a file named on purpose, its absence is the answer; without, a profile may still do.
    if (path)
      throw badParameter(`cannot read the admin identity ${file}: ${messageOf(cause)}`, {
        cause,
        hint: 'is the auth server running, and are you its user?',
      })
    return undefined
  })
  const parts = text === undefined ? undefined : splitIdentityFile(text)
  if (!parts) return undefined
  const { host, port } = config.auth.listen
  return connectToAuth({
    host: host === '' || host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host,
    port,
    ...parts,
  })
}

async function fromProfile(io: Io): Promise<RemoteClient | undefined> {
  const profiles = new Profiles(profileFolder(io.env))
  const host = await profiles.current()
  const profile = host === undefined ? undefined : await profiles.read(host)
  const credentials = profile && (await profiles.readCredentials(profile))
  if (!profile || !credentials) return undefined
  return connectToAuth({
    ...parseAddress(profile.webProxyAddress, 443),
    throughProxy: profile.cluster,
    ...credentials,
  })
}

function notFoundAnywhere(): never {
  throw unauthenticated(
    "couldn't find an auth server configuration: tctl must be either used on the auth server or provided with the identity file via --identity flag",
    {
      hint: 'or log in first: tsh login --proxy=…',
    },
  )
}
