// What `tsh` keeps between commands, in the layout that tools around it know: `~/.tsh/<proxy host>.yaml` per proxy,
// `current-profile` naming one of them, and `keys/<proxy host>/…` with keys (0600) and certificates.

import { homedir } from 'node:os'
import { join } from 'node:path'
import { readdir, readFile, rm } from 'node:fs/promises'
import { X509Certificate } from 'node:crypto'
import { badParameter } from '../errors.ts'
import { parseYaml, stringifyYaml } from '../config/yaml.ts'
import { writeFileAtomically } from './files.ts'

export interface Profile {
  /** Web address of the proxy, `host:port`. */
  readonly webProxyAddress: string
  /** Where kubectl connects, `host:port`. */
  readonly kubeProxyAddress: string
  readonly user: string
  /** The Teleport cluster in use. */
  readonly cluster: string
  /** The Kubernetes cluster chosen last, or empty. */
  readonly kubernetesCluster: string
  /** Whether Kubernetes traffic goes to the web port, told apart by server name. */
  readonly tlsRouting: boolean
  /** Whether the proxy's certificate is not checked, as the user asked at login. */
  readonly insecure: boolean
  /** The kubeconfig context that was selected before ours. */
  readonly previousContext: string
}

export interface Credentials {
  /** PEM. */
  readonly key: string
  readonly certificate: string
  /** PEM of the cluster's host authorities. */
  readonly authorities: string
}

export function proxyHost(address: string): string {
  const colon = address.lastIndexOf(':')
  return colon < 0 ? address : address.slice(0, colon)
}

/** The folder of profiles: `$TELEPORT_HOME`, else `~/.tsh`. */
export function profileFolder(env: Readonly<Record<string, string | undefined>>): string {
  return env['TELEPORT_HOME'] || join(env['HOME'] || homedir(), '.tsh')
}

/** Reads and writes the profiles of one folder. */
export class Profiles {
  readonly folder: string

  constructor(folder: string) {
    this.folder = folder
  }

  /** The proxy host of the profile in use, or undefined. */
  async current(): Promise<string | undefined> {
    const text = await readIfThere(join(this.folder, 'current-profile'))
    return text?.trim() || undefined
  }

  async setCurrent(host: string): Promise<void> {
    await writeFileAtomically(join(this.folder, 'current-profile'), host)
  }

  /** Proxy hosts there are profiles for, sorted. */
  async hosts(): Promise<readonly string[]> {
    const names = await readdir(this.folder).catch((error: unknown) => {
      if (isMissing(error)) return []
      throw error
    })
    return names
      .filter((name) => name.endsWith('.yaml'))
      .map((name) => name.slice(0, -'.yaml'.length))
      .sort()
  }

  async read(host: string): Promise<Profile | undefined> {
    const path = join(this.folder, `${safeName(host)}.yaml`)
    const text = await readIfThere(path)
    return text === undefined ? undefined : parseProfile(parseYaml(text, path), path)
  }

  async write(profile: Profile): Promise<void> {
    const host = proxyHost(profile.webProxyAddress)
    const content = {
      web_proxy_addr: profile.webProxyAddress,
      kube_proxy_addr: profile.kubeProxyAddress,
      user: profile.user,
      cluster: profile.cluster,
      site_name: profile.cluster,
      kube_cluster: profile.kubernetesCluster,
      tls_routing_enabled: profile.tlsRouting,
      insecure_skip_verify: profile.insecure,
      previous_kube_context: profile.previousContext,
    }
    await writeFileAtomically(join(this.folder, `${safeName(host)}.yaml`), stringifyYaml(content))
  }

  async readCredentials(profile: Profile): Promise<Credentials | undefined> {
    const keys = this.#keys(profile)
    const [key, certificate, authorities] = await Promise.all([
      readIfThere(join(keys, `${safeName(profile.user)}.key`)),
      readIfThere(join(keys, `${safeName(profile.user)}.crt`)),
      readIfThere(join(keys, 'cas', `${safeName(profile.cluster)}.pem`)),
    ])
    if (key === undefined || certificate === undefined || authorities === undefined) return undefined
    return { key, certificate, authorities }
  }

  async writeCredentials(profile: Profile, credentials: Credentials): Promise<void> {
    const keys = this.#keys(profile)
    await writeFileAtomically(join(keys, 'cas', `${safeName(profile.cluster)}.pem`), credentials.authorities)
    await writeFileAtomically(join(keys, 'certs.pem'), credentials.authorities)
    await writeFileAtomically(join(keys, `${safeName(profile.user)}.key`), credentials.key)
    await writeFileAtomically(join(keys, `${safeName(profile.user)}.crt`), credentials.certificate)
  }

  /** The cached certificate for one Kubernetes cluster; its key is in the same file. */
  kubernetesCredentialsPath(profile: Profile, kubernetesCluster: string): string {
    const folder = join(this.#keys(profile), `${safeName(profile.user)}-kube`, safeName(profile.cluster))
    return join(folder, `${safeName(kubernetesCluster)}.cred`)
  }

  /** Where the lock that keeps parallel kubectls from asking twice is. */
  lockPath(profile: Profile): string {
    return join(this.#keys(profile), 'kube_credentials.lock')
  }

  /** Removes a profile and every key of its user. */
  async remove(profile: Profile): Promise<void> {
    const host = proxyHost(profile.webProxyAddress)
    await rm(this.#keys(profile), { recursive: true, force: true })
    await rm(join(this.folder, `${safeName(host)}.yaml`), { force: true })
    if ((await this.current()) === host) await rm(join(this.folder, 'current-profile'), { force: true })
  }

  #keys(profile: Profile): string {
    return join(this.folder, 'keys', safeName(proxyHost(profile.webProxyAddress)))
  }
}

/** When a certificate ends, milliseconds since the epoch. */
export function certificateExpiry(pem: string): number {
  return Date.parse(new X509Certificate(pem).validTo)
}

function parseProfile(value: unknown, path: string): Profile {
  if (typeof value !== 'object' || value === null)
    throw badParameter(`${path} is not a profile`, { hint: 'remove it and log in again' })
  const fields = new Map(Object.entries(value))
  const text = (name: string) => {
    const field: unknown = fields.get(name)
    return typeof field === 'string' ? field : ''
  }
  const profile: Profile = {
    webProxyAddress: text('web_proxy_addr'),
    kubeProxyAddress: text('kube_proxy_addr'),
    user: text('user'),
    cluster: text('cluster') || text('site_name'),
    kubernetesCluster: text('kube_cluster'),
    tlsRouting: fields.get('tls_routing_enabled') === true,
    insecure: fields.get('insecure_skip_verify') === true,
    previousContext: text('previous_kube_context'),
  }
  if (profile.webProxyAddress === '' || profile.user === '' || profile.cluster === '') {
    throw badParameter(`${path} lacks web_proxy_addr, user or cluster`, {
      hint: 'remove it and log in again',
    })
  }
  return profile
}

// Names come from servers and flags, and become file names: they must not lead out of their folder.
function safeName(name: string): string {
  const safe = name.replace(/[/\\\0]/g, '_')
  if (safe === '' || safe === '.' || safe === '..')
    throw badParameter(`${JSON.stringify(name)} cannot be a file name`)
  return safe
}

async function readIfThere(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    if (isMissing(error)) return undefined
    throw error
  })
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
