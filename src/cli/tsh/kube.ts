// `tsh kube ls` and `tsh kube login`.

import { realpath } from 'node:fs/promises'
import { badParameter, notFound } from '../../errors.ts'
import type { VisibleKubernetesCluster } from '../../api/schemas.ts'
import { parseAddress } from '../../config/config.ts'
import type { CommandInput } from '../command.ts'
import type { Io } from '../io.ts'
import { changeKubeconfig, type KubeconfigEntry, kubeconfigPath, readContexts } from '../kubeconfig.ts'
import { columns, json, yaml } from '../output.ts'
import { type Profile, profileFolder, Profiles } from '../profile.ts'
import { connectSession, openSession, type Session } from './session.ts'

export async function kubeList(input: CommandInput, io: Io): Promise<number> {
  const session = await openSession(io)
  const wanted = parseLabels(input.argument(0))
  const words = input.list('search') ?? []
  const visible = (await listClusters(session)).filter(
    ({ name, labels }) =>
      Object.entries(wanted).every(([key, value]) => labels[key] === value) &&
      words.every((word) =>
        [name, ...Object.entries(labels).flat()].some((text) =>
          text.toLowerCase().includes(word.toLowerCase()),
        ),
      ),
  )
  const selected = await selectedCluster(session, io)
  const format = input.text('format') ?? 'text'
  const values = visible.map(({ name, labels }) => ({
    kube_cluster_name: name,
    labels,
    selected: name === selected,
  }))
  if (format === 'json') io.out(json(values))
  else if (format === 'yaml') io.out(yaml(values))
  else if (format !== 'text') throw badParameter(`unsupported format ${JSON.stringify(format)}`)
  else if (input.flag('quiet'))
    for (const { name } of visible) io.out(`${name}${name === selected ? ' *' : ''}\n`)
  else
    io.out(
      columns(
        ['Kube Cluster Name', 'Labels', 'Selected'],
        visible.map(({ name, labels }) => [name, labelText(labels), name === selected ? '*' : '']),
      ),
    )
  return 0
}

export async function kubeLogin(input: CommandInput, io: Io): Promise<number> {
  const name = input.argument(0)
  const labels = parseLabels((input.list('labels') ?? []).join(','))
  if (input.flag('all') && Object.keys(labels).length > 0)
    throw badParameter('cannot use --labels or --query with --all')
  if (input.flag('all')) {
    const session = await openSession(io)
    const names = (await listClusters(session)).map((cluster) => cluster.name)
    if (names.length === 0)
      throw notFound("no kubernetes clusters found, check 'tsh kube ls' for a list of known clusters")
    await writeEntries(session, { names, input, io })
    io.out(
      "Created kubeconfig with every Kubernetes cluster available. Select a context and try 'kubectl version' to test the connection.\n",
    )
    return 0
  }
  if (name === '' && Object.keys(labels).length === 0)
    throw badParameter("kube-cluster name is required. Check 'tsh kube ls' for a list of available clusters.")
  const chosen = await chooseKubernetesCluster(name, { input, io, labels })
  io.out(`Logged into Kubernetes cluster "${chosen}". Try 'kubectl version' to test the connection.\n`)
  return 0
}

export interface ChooseOptions {
  readonly input: CommandInput
  readonly io: Io
  readonly labels?: Readonly<Record<string, string>>
}

/** Writes the kubeconfig entry of one cluster and selects it. Returns its whole name. */
export async function chooseKubernetesCluster(
  asked: string,
  { input, io, labels = {} }: ChooseOptions,
): Promise<string> {
  const session = await openSession(io)
  const known = await listClusters(session)
  const matching = known.filter((cluster) =>
    Object.entries(labels).every(([key, value]) => cluster.labels[key] === value),
  )
  const exact = matching.find(({ name }) => name === asked)
  const candidates = exact ? [exact] : matching.filter(({ name }) => name.startsWith(asked))
  const [only, ...others] = candidates
  if (!only)
    throw notFound(
      `kubernetes cluster ${JSON.stringify(asked)} not found, check 'tsh kube ls' for a list of known clusters`,
    )
  if (others.length > 0)
    throw badParameter(
      `kubernetes cluster ${JSON.stringify(asked)} matches multiple clusters: ${candidates.map(({ name }) => name).join(', ')}`,
    )
  await writeEntries(session, { names: [only.name], input, io, select: only.name })
  return only.name
}

async function listClusters(session: Session): Promise<readonly VisibleKubernetesCluster[]> {
  await using remote = connectSession(session)
  return await remote.client.kubernetesClusters()
}

interface WriteOptions {
  readonly names: readonly string[]
  readonly input: CommandInput
  readonly io: Io
  readonly select?: string
}

async function writeEntries(session: Session, { names, input, io, select }: WriteOptions): Promise<void> {
  const { profile, credentials } = session
  const command = await realpath(process.execPath)
  const template = input.text('setContextName')
  if (template && names.length > 1 && !template.includes('{{.KubeName}}'))
    throw badParameter('--set-context-name must hold {{.KubeName}} when several clusters are written')
  const contextName = (name: string) =>
    (template ?? '{{.ClusterName}}-{{.KubeName}}')
      .replaceAll('{{.ClusterName}}', profile.cluster)
      .replaceAll('{{.KubeName}}', name)
  const namespace = input.text('kubeNamespace') ?? input.text('namespace')
  const entries = names.map((name): KubeconfigEntry => ({
    name: contextName(name),
    ...kubernetesServer(profile),
    authorities: credentials.authorities,
    kubernetesCluster: name,
    user: {
      command: tshPath(command),
      args: [
        'kube',
        'credentials',
        `--kube-cluster=${name}`,
        `--teleport-cluster=${profile.cluster}`,
        `--proxy=${profile.webProxyAddress}`,
        ...(profile.insecure ? ['--insecure'] : []),
      ],
      ...(io.env['TELEPORT_HOME'] ? { env: { TELEPORT_HOME: io.env['TELEPORT_HOME'] } } : {}),
    },
    ...(namespace ? { namespace } : {}),
    ...(input.text('as') ? { as: input.text('as') ?? '' } : {}),
    ...(input.list('asGroups') ? { asGroups: input.list('asGroups') ?? [] } : {}),
  }))
  const path = kubeconfigPath(io.env)
  const previous = await changeKubeconfig(path, {
    put: entries,
    ...(select === undefined ? {} : { select: contextName(select) }),
  })
  const ours = previous === profile.cluster || previous.startsWith(`${profile.cluster}-`)
  await new Profiles(profileFolder(io.env)).write({
    ...profile,
    kubernetesCluster: select ?? profile.kubernetesCluster,
    previousContext: ours ? profile.previousContext : previous,
  })
}

/** The link called tsh beside the executable: what it is called decides what it is. */
function tshPath(executable: string): string {
  return executable.replace(/[^/]+$/, 'tsh')
}

/** Where kubectl connects, and the server name that tells Kubernetes traffic apart on a shared port. */
export function kubernetesServer(profile: Profile): { server: string; tlsServerName?: string } {
  const { host } = parseAddress(profile.webProxyAddress, 443)
  const name = /^[\d.]+$|:/.test(host) ? 'teleport.cluster.local' : host
  return {
    server: `https://${profile.kubeProxyAddress}`,
    ...(profile.tlsRouting ? { tlsServerName: `kube-teleport-proxy-alpn.${name}` } : {}),
  }
}

async function selectedCluster({ profile }: Session, io: Io): Promise<string | undefined> {
  const { current, contexts } = await readContexts(kubeconfigPath(io.env))
  const cluster = contexts.get(current)
  return current === profile.cluster || current.startsWith(`${profile.cluster}-`) ? cluster : undefined
}

function labelText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .filter(([key]) => !/^teleport\.(hidden|internal)\//.test(key))
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(' ')
}

function parseLabels(text: string): Record<string, string> {
  const pairs = text.split(',').filter((pair) => pair !== '')
  return Object.fromEntries(
    pairs.map((pair) => {
      const equals = pair.indexOf('=')
      if (equals < 0)
        throw badParameter(`${JSON.stringify(pair)} is not a label`, { hint: 'write name=value' })
      return [pair.slice(0, equals), pair.slice(equals + 1)]
    }),
  )
}
