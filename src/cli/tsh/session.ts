// What most tsh commands begin with: the profile in use, its credentials, and the auth API behind its proxy.

import { unauthenticated } from '../../errors.ts'
import { parseAddress } from '../../config/config.ts'
import { readUserCertificate } from '../../identity/certificate.ts'
import type { UserIdentity } from '../../identity/identity.ts'
import type { Io } from '../io.ts'
import { type Credentials, type Profile, profileFolder, Profiles, proxyHost } from '../profile.ts'
import { connectToAuth, type RemoteClient } from '../remote-api.ts'

export interface Session {
  readonly profile: Profile
  readonly credentials: Credentials
  readonly identity: UserIdentity
}

/** The session of the profile in use, or of the proxy named. Throws when nobody is logged in, or no longer. */
export async function openSession(io: Io, proxy?: string): Promise<Session> {
  const session = await findSession(io, proxy)
  if (!session) throw unauthenticated('Not logged in.', { hint: 'tsh login --proxy=…' })
  if (session.identity.notAfter <= Date.now())
    throw unauthenticated('Active profile expired.', { hint: 'log in again: tsh login' })
  return session
}

export async function findSession(io: Io, proxy?: string): Promise<Session | undefined> {
  const profiles = new Profiles(profileFolder(io.env))
  const host = proxy ? proxyHost(proxy) : await profiles.current()
  const profile = host === undefined ? undefined : await profiles.read(host)
  const credentials = profile && (await profiles.readCredentials(profile))
  return profile && credentials
    ? { profile, credentials, identity: readUserCertificate(credentials.certificate) }
    : undefined
}

export function connectSession({ profile, credentials }: Session): RemoteClient {
  return connectToAuth({
    ...parseAddress(profile.webProxyAddress, 443),
    throughProxy: profile.cluster,
    ...credentials,
  })
}
