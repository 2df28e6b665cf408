// Where the programs of a real Kubernetes are, and why a cluster cannot run here when it cannot.

import { existsSync } from 'node:fs'
import { homedir, platform } from 'node:os'
import { join } from 'node:path'

const cache =
  process.env['TELEPORT_KUBERNETES_CACHE'] ??
  join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'teleport-kubernetes')

const serverPrograms = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler']
const clientPrograms = ['kubectl', 'kubectl-1.28']

/** Extracted Debian packages: containerd, ctr and runc below `usr/`. */
export const nodeFolder = join(cache, 'node')
export const imagesArchive = join(cache, 'images/images.tar')

/** The path of a program: `KUBEBUILDER_ASSETS` first, then the cache that scripts/kube-assets fills. */
export function program(name: string): string {
  const given = process.env['KUBEBUILDER_ASSETS']
  if (given !== undefined && existsSync(join(given, name))) return join(given, name)
  return join(cache, 'bin', name)
}

/** Why a cluster cannot run on this machine; undefined when it can. */
export function clusterProblem(options: { node: boolean }): string | undefined {
  const missing = [...serverPrograms, ...clientPrograms, ...(options.node ? ['kubelet'] : [])].filter(
    (name) => !existsSync(program(name)),
  )
  if (missing.length > 0)
    return `missing ${missing.join(', ')}: scripts/kube-assets builds them when Go is there`
  if (Bun.which('openssl') === null) return 'openssl is not installed'
  if (!options.node) return undefined
  if (platform() !== 'linux') return 'a node runs on Linux only'
  if (process.getuid?.() !== 0) return 'a node needs root, for its namespaces and control groups'
  for (const path of [
    join(nodeFolder, 'usr/sbin/runc'),
    join(nodeFolder, 'usr/bin/containerd'),
    imagesArchive,
  ]) {
    if (!existsSync(path)) return `missing ${path}: scripts/kube-assets makes it on Debian`
  }
  return undefined
}

/** Builds what is missing, once, when Go is there. Afterwards ask `clusterProblem` again. */
export async function buildAssets(): Promise<void> {
  const node = platform() === 'linux' && process.getuid?.() === 0
  if (clusterProblem({ node }) === undefined || Bun.which('go') === null) return
  const script = join(import.meta.dir, '../../scripts/kube-assets')
  const parts = node ? ['server', 'client', 'node'] : ['server', 'client']
  await Bun.spawn([script, ...parts], { stdin: 'ignore', stdout: 'inherit', stderr: 'inherit' }).exited
}
