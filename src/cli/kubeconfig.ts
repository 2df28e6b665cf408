// The user's kubeconfig, edited in place: our clusters, contexts and users are put in, replaced or taken out by
// name, and everything else in the file (other entries, comments, order, unknown keys) stays as it was. Files are
// replaced in one step, so that a kubectl that reads at the same time sees the old or the new one whole.

import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { readFile } from 'node:fs/promises'
import { badParameter, messageOf } from '../errors.ts'
import { editableYaml, type EditableYaml } from '../config/yaml.ts'
import { writeFileAtomically } from './files.ts'

/** How kubectl proves who the user is: by asking `tsh` each time, or with a certificate in the file. */
export type KubeconfigUser =
  | {
      readonly command: string
      readonly args: readonly string[]
      readonly env?: Readonly<Record<string, string>>
    }
  | { readonly certificate: string; readonly key: string }

export interface KubeconfigEntry {
  /** Of cluster, context and user alike. */
  readonly name: string
  readonly server: string
  /** PEM. */
  readonly authorities: string
  readonly tlsServerName?: string
  readonly user: KubeconfigUser
  /** Recorded in the context, so that the cluster of a context can be told later. */
  readonly kubernetesCluster?: string
  readonly namespace?: string
  readonly as?: string
  readonly asGroups?: readonly string[]
}

/** The file that is written: the first of `$KUBECONFIG`, else the usual one. */
export function kubeconfigPath(env: Readonly<Record<string, string | undefined>>): string {
  const first = env['KUBECONFIG']?.split(delimiter).find((path) => path !== '')
  return first ?? join(env['HOME'] || homedir(), '.kube', 'config')
}

export interface KubeconfigChange {
  /** Put in, or in the place of entries of the same name. */
  readonly put?: readonly KubeconfigEntry[]
  /** Names of contexts, with their clusters and users, that go. */
  readonly remove?: (name: string) => boolean
  /** The context to select. */
  readonly select?: string
}

/** Changes the file. Returns the context that was selected before, empty when there was none. */
export async function changeKubeconfig(path: string, change: KubeconfigChange): Promise<string> {
  const before = await readFile(path, 'utf8').catch((error: unknown) => {
    if (isMissing(error)) return ''
    throw error
  })
  const document = parse(before, path)
  const selected = document.get(['current-context'])
  const previous = typeof selected === 'string' ? selected : ''
  for (const entry of change.put ?? []) put(document, entry)
  if (change.remove) take(document, change.remove, previous)
  if (change.select !== undefined) document.set(['current-context'], change.select)
  const after = document.text()
  if (after !== before) await writeFileAtomically(path, after)
  return previous
}

/** Names of the contexts in the file, with the Kubernetes cluster that ours were made for. */
export async function readContexts(
  path: string,
): Promise<{ current: string; contexts: ReadonlyMap<string, string | undefined> }> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (isMissing(error)) return ''
    throw error
  })
  const document = parse(text, path)
  const contexts = new Map<string, string | undefined>()
  for (const item of document.items(['contexts'])) {
    const name = item.get(['name'])
    if (typeof name !== 'string') continue
    const extension = item
      .items(['context', 'extensions'])
      .find((one) => one.get(['name']) === clusterExtension)
    const cluster = extension?.get(['extension'])
    contexts.set(name, typeof cluster === 'string' ? cluster : undefined)
  }
  const current = document.get(['current-context'])
  return { current: typeof current === 'string' ? current : '', contexts }
}

const clusterExtension = 'teleport.kube.name'

function parse(text: string, path: string): EditableYaml {
  try {
    return editableYaml(text.trim() === '' ? 'apiVersion: v1\nkind: Config\n' : text)
  } catch (cause) {
    throw badParameter(`failed to parse existing kubeconfig ${JSON.stringify(path)}: ${messageOf(cause)}`, {
      cause,
      hint: 'mend or move the file, or name another one in KUBECONFIG',
    })
  }
}

function put(document: EditableYaml, entry: KubeconfigEntry): void {
  const { name } = entry
  document.putNamed(['clusters'], name, {
    cluster: {
      'certificate-authority-data': base64(entry.authorities),
      server: entry.server,
      ...(entry.tlsServerName ? { 'tls-server-name': entry.tlsServerName } : {}),
    },
  })
  document.putNamed(['contexts'], name, {
    context: {
      cluster: name,
      ...(entry.kubernetesCluster
        ? { extensions: [{ extension: entry.kubernetesCluster, name: clusterExtension }] }
        : {}),
      ...(entry.namespace ? { namespace: entry.namespace } : {}),
      user: name,
    },
  })
  document.putNamed(['users'], name, { user: userOf(entry) })
}

function userOf(entry: KubeconfigEntry): Record<string, unknown> {
  const impersonation = {
    ...(entry.as ? { as: entry.as } : {}),
    ...(entry.asGroups && entry.asGroups.length > 0 ? { 'as-groups': [...entry.asGroups] } : {}),
  }
  const { user } = entry
  if ('certificate' in user) {
    return {
      ...impersonation,
      'client-certificate-data': base64(user.certificate),
      'client-key-data': base64(user.key),
    }
  }
  return {
    ...impersonation,
    exec: {
      apiVersion: 'client.authentication.k8s.io/v1beta1',
      args: [...user.args],
      command: user.command,
      env: user.env ? Object.entries(user.env).map(([name, value]) => ({ name, value })) : null,
      interactiveMode: 'IfAvailable',
      provideClusterInfo: false,
    },
  }
}

function take(document: EditableYaml, remove: (name: string) => boolean, selected: string): void {
  for (const section of ['clusters', 'contexts', 'users']) document.removeNamed([section], remove)
  if (remove(selected)) document.set(['current-context'], '')
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
