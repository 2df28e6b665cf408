// A real node for a test cluster: kubelet, containerd and runc in namespaces of their own (`run-node`). Its pods can
// only use the image `kube.test/busybox:1`; nothing is pulled from anywhere.

import { chmod, copyFile, mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { imagesArchive, nodeFolder, program } from './assets.ts'
import { kubeconfigFor } from './pki.ts'
import type { Processes } from './processes.ts'

export interface NodeOptions {
  /** Work folder of the node, made here. */
  readonly folder: string
  readonly pki: string
  readonly server: string
  readonly port: number
}

export async function startNode(processes: Processes, options: NodeOptions): Promise<void> {
  const { folder, pki } = options
  const plugins = join(folder, 'cni/plugins')
  const networks = join(folder, 'cni/networks')
  for (const path of [plugins, networks, join(folder, 'kubelet/pki'), join(folder, 'logs')]) {
    await mkdir(path, { recursive: true })
  }
  for (const name of ['loopback', 'alone']) {
    await copyFile(join(import.meta.dir, 'cni'), join(plugins, name))
    await chmod(join(plugins, name), 0o755)
  }
  const network = { cniVersion: '0.4.0', name: 'alone', plugins: [{ type: 'alone' }] }
  await writeFile(join(networks, 'alone.conflist'), JSON.stringify(network))
  await writeFile(join(folder, 'resolv.conf'), '')
  await writeFile(join(folder, 'kubeconfig'), await kubeconfigFor(options.server, pki, 'node'))
  await writeFile(join(folder, 'kubelet.json'), JSON.stringify(kubeletConfiguration(options)))
  await writeFile(join(folder, 'containerd.toml'), containerdConfiguration({ folder, plugins, networks }))
  processes.start('node', {
    command: [
      ...[
        'unshare',
        '--mount',
        '--pid',
        '--fork',
        '--kill-child=KILL',
        '--mount-proc',
        '--propagation',
        'private',
      ],
      join(import.meta.dir, 'run-node'),
    ],
    env: { NODE: folder, PACKAGES: nodeFolder, IMAGES: imagesArchive, KUBELET: program('kubelet') },
  })
}

/** Removes the control groups of a node that has been stopped. */
export async function removeControlGroups(folder: string): Promise<void> {
  const list = await readFile(join(folder, 'cgroups'), 'utf8').catch(() => '')
  for (const group of list.split('\n').filter(Boolean)) {
    // The kernel lets go of a killed container's group a moment after its last process.
    for (let attempt = 0; attempt < 50 && !(await removeTree(group)); attempt++) await Bun.sleep(50)
  }
}

async function removeTree(group: string): Promise<boolean> {
  const entries = await readdir(group, { withFileTypes: true }).catch(() => [])
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(group, entry.name))
  return rmdir(group).then(
    () => true,
    (error: unknown) => error instanceof Error && 'code' in error && error.code === 'ENOENT',
  )
}

function kubeletConfiguration({ folder, pki, port }: NodeOptions): Record<string, unknown> {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: '127.0.0.1',
    port,
    healthzPort: 0,
    readOnlyPort: 0,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: join(pki, 'ca.crt') },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: join(pki, 'node-serving.crt'),
    tlsPrivateKeyFile: join(pki, 'node-serving.key'),
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    cgroupDriver: 'cgroupfs',
    failCgroupV1: false,
    cgroupsPerQOS: false,
    enforceNodeAllocatable: [],
    failSwapOn: false,
    localStorageCapacityIsolation: false,
    makeIPTablesUtilChains: false,
    resolvConf: join(folder, 'resolv.conf'),
    podLogsDir: join(folder, 'logs'),
    volumePluginDir: join(folder, 'volume-plugins'),
    // A developer's machine may be nearly full; that must not evict the pods of a test.
    imageGCHighThresholdPercent: 100,
    evictionHard: {
      'memory.available': '0%',
      'nodefs.available': '0%',
      'nodefs.inodesFree': '0%',
      'imagefs.available': '0%',
      'imagefs.inodesFree': '0%',
      'pid.available': '0%',
    },
    oomScoreAdj: 0,
    shutdownGracePeriod: '0s',
  }
}

function containerdConfiguration(paths: { folder: string; plugins: string; networks: string }): string {
  return `version = 2
root = "${join(paths.folder, 'containerd')}"
state = "/run/containerd-state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "kube.test/pause:1"
restrict_oom_score_adj = true
disable_apparmor = true
disable_tcp_service = true
netns_mounts_under_state_dir = true
tolerate_missing_hugetlb_controller = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "${paths.plugins}"
conf_dir = "${paths.networks}"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "${join(nodeFolder, 'usr/sbin/runc')}"
`
}
