// `tsh login` and `tsh logout`.

import { userInfo } from 'node:os'
import { badParameter, messageOf } from '../../errors.ts'
import { generateKeyPair } from '../../identity/keys.ts'
import type { CommandInput } from '../command.ts'
import { writeFileAtomically } from '../files.ts'
import type { Io } from '../io.ts'
import { changeKubeconfig, kubeconfigPath } from '../kubeconfig.ts'
import { embeddedKubeconfig } from '../kubeconfig-file.ts'
import { type Profile, profileFolder, Profiles, proxyHost } from '../profile.ts'
import { chooseKubernetesCluster, kubernetesServer } from './kube.ts'
import { findSession } from './session.ts'
import { printStatus } from './status.ts'
import { checkVersion, type ProxyInfo, WebApi } from './web-api.ts'

export async function login(input: CommandInput, io: Io): Promise<number> {
  const known = await findSession(io, input.text('proxy'))
  const proxy = input.text('proxy') ?? io.env['TELEPORT_PROXY'] ?? known?.profile.webProxyAddress
  if (!proxy) throw badParameter('No proxy address specified, missed --proxy flag?')
  const user = input.text('user') ?? io.env['TELEPORT_USER'] ?? known?.profile.user ?? userInfo().username
  checkSupported(input, io)
  const target = input.argument(0)
  const out = input.text('out')
  // Logged in already, to the same place as the same person: say so and change nothing.
  if (
    known &&
    known.identity.notAfter > Date.now() + 60_000 &&
    known.profile.user === user &&
    !out &&
    !input.text('kubeCluster') &&
    isSame(proxy, known.profile.webProxyAddress)
  ) {
    checkCluster(target, known.profile.cluster)
    await new Profiles(profileFolder(io.env)).setCurrent(proxyHost(known.profile.webProxyAddress))
    return printStatus(io)
  }
  const insecure = input.flag('insecure')
  const web = new WebApi({ insecure })
  const info = await web.ping(proxy)
  if (!input.flag('skipVersionCheck')) checkVersion(info)
  checkCluster(target, info.cluster)
  const keys = generateKeyPair()
  const password = await io.ask(`Enter password for Teleport user ${user}:\n`, { secret: true })
  const code = info.secondFactor === 'off' ? '' : await io.ask('Enter an OTP code from a device:\n')
  const { certificate, authorities } = await web.login(info.address, {
    user,
    password,
    code: code.trim(),
    publicKey: keys.publicKey,
    ttlMinutes: Number(input.text('ttl') ?? 0),
    kubernetesCluster: '',
  })
  const credentials = { key: keys.privateKey, certificate, authorities }
  const profile = profileOf(info, { user, insecure, previous: known?.profile })
  if (out) return writeOut(out, { profile, credentials, input, io })
  const profiles = new Profiles(profileFolder(io.env))
  await profiles.writeCredentials(profile, credentials)
  await profiles.write(profile)
  await profiles.setCurrent(proxyHost(profile.webProxyAddress))
  await afterLogin({ input, io, profile, credentials })
  return printStatus(io)
}

function checkSupported(input: CommandInput, io: Io): void {
  const connector = input.text('auth') ?? io.env['TELEPORT_AUTH']
  if (connector && !['local', 'otp', ''].includes(connector))
    throw badParameter(
      `login through connector ${JSON.stringify(connector)} is not supported in this build`,
      { hint: 'log in with a password: tsh login --user=…' },
    )
}

// A guide says `tsh login --auth=github login`: the word is no cluster.
function checkCluster(target: string, cluster: string): void {
  if (target === '' || target === cluster || target === 'login') return
  throw badParameter(`cluster ${JSON.stringify(target)} is not found`, {
    hint: `this proxy serves ${cluster}`,
  })
}

function isSame(asked: string, known: string): boolean {
  return asked === known || proxyHost(known) === asked
}

function profileOf(
  info: ProxyInfo,
  { user, insecure, previous }: { user: string; insecure: boolean; previous: Profile | undefined },
): Profile {
  const [host, port] = [proxyHost(info.address), info.address.slice(proxyHost(info.address).length + 1)]
  const listenPort = info.kubernetes.listenAddress.split(':').at(-1)
  return {
    webProxyAddress: info.address,
    kubeProxyAddress: info.tlsRouting
      ? `${host}:${port}`
      : info.kubernetes.publicAddress || `${host}:${listenPort || 3026}`,
    user,
    cluster: info.cluster,
    kubernetesCluster: '',
    tlsRouting: info.tlsRouting,
    insecure,
    previousContext: previous?.previousContext ?? '',
  }
}

interface LoggedIn {
  readonly input: CommandInput
  readonly io: Io
  readonly profile: Profile
  readonly credentials: { readonly key: string; readonly certificate: string; readonly authorities: string }
}

/**
 * Old guides expect a kubeconfig after the login itself: written when the user names a file or a cluster. The entry
 * is called like the Teleport cluster and holds the certificate.
 */
async function afterLogin({ input, io, profile, credentials }: LoggedIn): Promise<void> {
  const cluster = input.text('kubeCluster') ?? io.env['TELEPORT_KUBE_CLUSTER']
  if (cluster) await chooseKubernetesCluster(cluster, { input, io })
  else if (io.env['KUBECONFIG']) {
    const previous = await changeKubeconfig(kubeconfigPath(io.env), {
      put: [
        {
          name: profile.cluster,
          ...kubernetesServer(profile),
          authorities: credentials.authorities,
          user: { certificate: credentials.certificate, key: credentials.key },
        },
      ],
      select: profile.cluster,
    })
    await new Profiles(profileFolder(io.env)).write({ ...profile, previousContext: previous })
  }
}

async function writeOut(path: string, { profile, credentials, input, io }: LoggedIn): Promise<number> {
  const format = input.text('format') ?? 'file'
  if (format === 'kubernetes') {
    await writeFileAtomically(
      path,
      embeddedKubeconfig({ name: profile.cluster, ...kubernetesServer(profile), ...credentials }),
    )
  } else if (format === 'file')
    await writeFileAtomically(path, credentials.key + credentials.certificate + credentials.authorities)
  else
    throw badParameter(`format ${JSON.stringify(format)} is not supported in this build`, {
      hint: 'use file or kubernetes',
    })
  io.out(`The certificate has been written to ${path}\n`)
  return 0
}

export async function logout(input: CommandInput, io: Io): Promise<number> {
  const profiles = new Profiles(profileFolder(io.env))
  const [proxy, user] = [input.text('proxy'), input.text('user')]
  const hosts = proxy ? [proxyHost(proxy)] : await profiles.hosts()
  let removed = 0
  for (const host of hosts) {
    const profile = await profiles.read(host)
    if (!profile || (user && profile.user !== user)) continue
    await removeEntries(profile, io)
    await profiles.remove(profile)
    removed++
    if (proxy) io.out(`Logged out ${profile.user} from ${host}.\n`)
  }
  if (proxy && removed === 0) {
    io.note(`User ${user ?? ''} already logged out from ${proxyHost(proxy)}.\n`)
    return 1
  }
  if (!proxy) io.out('All users logged out.\n')
  return 0
}

async function removeEntries(profile: Profile, io: Io): Promise<void> {
  const ours = (name: string) => name === profile.cluster || name.startsWith(`${profile.cluster}-`)
  try {
    const path = kubeconfigPath(io.env)
    const selected = await changeKubeconfig(path, { remove: ours })
    if (ours(selected) && profile.previousContext)
      await changeKubeconfig(path, { select: profile.previousContext })
  } catch (error) {
    // The keys go in any case; a kubeconfig that cannot be read is the user's to mend.
    io.note(`WARNING: ${messageOf(error)}\n`)
  }
}
