// A real Kubernetes cluster for tests, on free loopback ports, in a temporary folder: etcd and kube-apiserver, and on
// request controller-manager, scheduler and a node that runs containers. `await using` stops and removes it all.

import { createServer } from 'node:net'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { clusterProblem, program } from './assets.ts'
import { kubectl, type KubectlOptions, type KubectlResult } from './kubectl.ts'
import { removeControlGroups, startNode } from './node.ts'
import { kubeconfigFor, makePki } from './pki.ts'
import { Processes } from './processes.ts'

export interface Cluster extends AsyncDisposable {
  /** `https://127.0.0.1:<port>` */
  readonly server: string
  /** Path of the certificate that signs the API server's. */
  readonly authority: string
  /** Path of a kubeconfig of the group system:masters. */
  readonly kubeconfig: string
  /** Path of the API server's audit log, JSON lines: whom it took each request for. */
  readonly auditLog: string
  /** A scratch folder of this cluster. */
  readonly folder: string
  /** Runs kubectl straight against the API server, as system:masters unless told otherwise. */
  kubectl(args: readonly string[], options?: Partial<KubectlOptions>): Promise<KubectlResult>
}

export interface ClusterOptions {
  /** Also controller-manager, scheduler and a node, which can run the image `kube.test/busybox:1`. @default false */
  readonly node?: boolean
}

export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const withNode = options.node ?? false
  const problem = clusterProblem({ node: withNode })
  if (problem !== undefined) throw new Error(`a cluster cannot run here: ${problem}`)
  const folder = await mkdtemp(join(tmpdir(), 'teleport-cluster-'))
  const pki = join(folder, 'pki')
  const logs = join(folder, 'logs')
  for (const path of [pki, logs]) await mkdir(path)
  const processes = new Processes(logs)
  const stop = async () => {
    await processes[Symbol.asyncDispose]()
    await removeControlGroups(join(folder, 'node'))
    // A cluster that failed leaves its logs behind.
    if (processes.failure !== undefined) throw new Error(`${processes.failure}\nlogs are in ${logs}`)
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const server = await startServers(processes, { folder, pki, withNode })
    const kubeconfig = join(folder, 'admin.kubeconfig')
    await writeFile(kubeconfig, await kubeconfigFor(server, pki, 'admin'), { mode: 0o600 })
    const direct = (args: readonly string[], more: Partial<KubectlOptions> = {}) =>
      kubectl(args, { kubeconfig, ...more })
    if (withNode) await addNode(processes, { folder, pki, server, direct })
    return {
      server,
      authority: join(pki, 'ca.crt'),
      kubeconfig,
      auditLog: join(logs, 'audit.json'),
      folder,
      kubectl: direct,
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    processes.failure ??= String(error)
    await processes[Symbol.asyncDispose]()
    await removeControlGroups(join(folder, 'node'))
    throw error
  }
}

interface Parts {
  readonly folder: string
  readonly pki: string
}

async function startServers(processes: Processes, parts: Parts & { withNode: boolean }): Promise<string> {
  const { folder, pki } = parts
  await makePki(pki)
  const [etcd, etcdPeer, api] = [await freePort(), await freePort(), await freePort()]
  processes.start('etcd', {
    command: [
      program('etcd'),
      `--data-dir=${join(folder, 'etcd')}`,
      // Nobody needs the data after the test.
      '--unsafe-no-fsync',
      `--listen-client-urls=http://127.0.0.1:${etcd}`,
      `--advertise-client-urls=http://127.0.0.1:${etcd}`,
      `--listen-peer-urls=http://127.0.0.1:${etcdPeer}`,
      `--initial-advertise-peer-urls=http://127.0.0.1:${etcdPeer}`,
      `--initial-cluster=default=http://127.0.0.1:${etcdPeer}`,
    ],
  })
  await writeFile(join(folder, 'audit-policy.json'), JSON.stringify(auditPolicy))
  const file = (name: string) => join(pki, name)
  processes.start('kube-apiserver', {
    command: [
      program('kube-apiserver'),
      '--bind-address=127.0.0.1',
      `--secure-port=${api}`,
      '--advertise-address=127.0.0.1',
      '--endpoint-reconciler-type=none',
      `--etcd-servers=http://127.0.0.1:${etcd}`,
      '--authorization-mode=Node,RBAC',
      '--allow-privileged=true',
      // Without a controller-manager nobody makes the service accounts that this plugin would ask for.
      ...(parts.withNode ? [] : ['--disable-admission-plugins=ServiceAccount']),
      `--client-ca-file=${file('ca.crt')}`,
      `--tls-cert-file=${file('apiserver.crt')}`,
      `--tls-private-key-file=${file('apiserver.key')}`,
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${file('sa.pub')}`,
      `--service-account-signing-key-file=${file('sa.key')}`,
      '--service-cluster-ip-range=10.96.0.0/16',
      `--kubelet-client-certificate=${file('kubelet-client.crt')}`,
      `--kubelet-client-key=${file('kubelet-client.key')}`,
      `--kubelet-certificate-authority=${file('ca.crt')}`,
      '--kubelet-preferred-address-types=InternalIP',
      `--requestheader-client-ca-file=${file('front-ca.crt')}`,
      '--requestheader-allowed-names=front-proxy-client',
      '--requestheader-username-headers=X-Remote-User',
      '--requestheader-group-headers=X-Remote-Group',
      '--requestheader-extra-headers-prefix=X-Remote-Extra-',
      `--proxy-client-cert-file=${file('front.crt')}`,
      `--proxy-client-key-file=${file('front.key')}`,
      `--audit-policy-file=${join(folder, 'audit-policy.json')}`,
      `--audit-log-path=${join(folder, 'logs/audit.json')}`,
      '--profiling=false',
    ],
  })
  const server = `https://127.0.0.1:${api}`
  const tls = {
    ca: await Bun.file(file('ca.crt')).text(),
    cert: await Bun.file(file('admin.crt')).text(),
    key: await Bun.file(file('admin.key')).text(),
  }
  const answers = async (path: string) => (await fetch(`${server}${path}`, { tls })).ok
  await processes.until('a ready API server', () => answers('/readyz'))
  await processes.until('the default namespace', () => answers('/api/v1/namespaces/default'))
  return server
}

/** Requests of people and of ourselves, not those of the cluster's own parts. */
const auditPolicy = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [
    {
      level: 'None',
      users: [
        'system:apiserver',
        'system:kube-controller-manager',
        'system:kube-scheduler',
        'system:node:node-1',
      ],
    },
    { level: 'Metadata' },
  ],
}

interface NodeParts extends Parts {
  readonly server: string
  readonly direct: Cluster['kubectl']
}

async function addNode(processes: Processes, { folder, pki, server, direct }: NodeParts): Promise<void> {
  for (const name of ['controller-manager', 'scheduler']) {
    await writeFile(join(folder, `${name}.kubeconfig`), await kubeconfigFor(server, pki, name), {
      mode: 0o600,
    })
  }
  processes.start('kube-controller-manager', {
    command: [
      program('kube-controller-manager'),
      `--kubeconfig=${join(folder, 'controller-manager.kubeconfig')}`,
      '--leader-elect=false',
      '--secure-port=0',
      '--use-service-account-credentials=true',
      `--service-account-private-key-file=${join(pki, 'sa.key')}`,
      `--root-ca-file=${join(pki, 'ca.crt')}`,
      '--controllers=*,-node-lifecycle-controller,-cloud-node-lifecycle-controller',
    ],
  })
  processes.start('kube-scheduler', {
    command: [
      program('kube-scheduler'),
      `--kubeconfig=${join(folder, 'scheduler.kubeconfig')}`,
      '--leader-elect=false',
      '--secure-port=0',
    ],
  })
  await startNode(processes, { folder: join(folder, 'node'), pki, server, port: await freePort() })
  const succeeds = async (...args: string[]) => (await direct(args)).code === 0
  await processes.until('a registered node', () => succeeds('get', 'node', 'node-1'))
  // The kubelet leaves its address to a cloud provider, since it refuses to announce a loopback address: that is us.
  const addresses = [
    { type: 'InternalIP', address: '127.0.0.1' },
    { type: 'Hostname', address: 'node-1' },
  ]
  const patch = JSON.stringify({ status: { addresses } })
  await processes.until('the address of the node', () =>
    succeeds('patch', 'node', 'node-1', '--subresource=status', '--type=merge', '-p', patch),
  )
  await direct(['taint', 'node', 'node-1', 'node.cloudprovider.kubernetes.io/uninitialized-'])
  await processes.until('a ready node', () =>
    succeeds('wait', 'node/node-1', '--for=condition=Ready', '--timeout=1s'),
  )
  await direct(['taint', 'node', 'node-1', 'node.kubernetes.io/not-ready-'])
  await processes.until('the default service account', () => succeeds('get', 'serviceaccount', 'default'))
}

/** A port below the range that outgoing connections are given, free a moment ago. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const free = await new Promise<boolean>((resolve) => {
      const probe = createServer()
      probe.once('error', () => resolve(false))
      probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
    })
    if (free) return port
  }
}
