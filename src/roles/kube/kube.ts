// The kube role's life: finds the clusters it serves, says what it may not do there, announces them, and serves
// connections that the proxy hands over.

import type { AuthClient } from '../../api/operations.ts'
import type { Cache } from '../../api/cache.ts'
import type { KubeConfig } from '../../config/config.ts'
import { badParameter, messageOf } from '../../errors.ts'
import type { Verifier } from '../../identity/verify.ts'
import { missingPermissions, ServedCluster } from '../../kube/cluster.ts'
import {
  type ClusterAccess,
  clusterOfPod,
  clustersOfKubeconfig,
  currentClusterOfKubeconfig,
} from '../../kube/upstream-credentials.ts'
import { createLogger } from '../../log.ts'
import { metrics } from '../../metrics.ts'
import type { Connection } from '../../net/connection.ts'
import { AuditQueue } from './audit-queue.ts'
import { DynamicLabels } from './dynamic-labels.ts'
import { Heartbeat } from './heartbeat.ts'
import { createKubeService } from './serve.ts'
import { LiveRequests } from './live-requests.ts'

const log = createLogger('kube')

export interface KubeOptions {
  readonly config: KubeConfig
  readonly teleportCluster: string
  readonly hostId: string
  readonly hostname: string
  readonly client: AuthClient
  readonly cache: Cache
  readonly verifier: Verifier
  readonly env: Readonly<Record<string, string | undefined>>
  readonly onHeartbeat: (ok: boolean) => void
}

export interface Kube extends AsyncDisposable {
  serve(connection: Connection, kubernetesCluster: string): void
  /** Looks again at everything that runs: a lock or role has changed. */
  recheck(): void
}

export async function startKube(options: KubeOptions): Promise<Kube> {
  const { config, client, cache, verifier, teleportCluster, hostId } = options
  const access = await findClusters(options)
  const labels = await DynamicLabels.start(config.commands)
  const clusters = new Map(
    access.map(
      (one) => [one.name, new ServedCluster(one, () => ({ ...config.labels, ...labels.values() }))] as const,
    ),
  )
  for (const cluster of clusters.values()) void tellMissing(cluster)
  const audit = new AuditQueue(client)
  const live = new LiveRequests()
  const heartbeat = new Heartbeat(
    {
      hostId,
      hostname: options.hostname,
      clusters: () => [...clusters.values()].map((one) => ({ name: one.name, labels: one.labels() })),
    },
    { send: (resource) => client.heartbeat(resource), onRound: options.onHeartbeat },
  )
  await heartbeat.announce()
  metrics.connectedResources.set({ type: 'kubernetes' }, clusters.size)
  log.info('serving Kubernetes clusters', { clusters: [...clusters.keys()].join(',') })
  return {
    serve: createKubeService({ teleportCluster, hostId, verifier, cache, clusters, client, audit, live }),
    recheck: () => live.recheck((identity) => verifier.check(identity)),
    async [Symbol.asyncDispose]() {
      heartbeat[Symbol.dispose]()
      labels[Symbol.dispose]()
      for (const cluster of clusters.values()) await cluster[Symbol.asyncDispose]()
      await audit[Symbol.asyncDispose]()
    },
  }
}

async function findClusters({ config, teleportCluster, env }: KubeOptions): Promise<ClusterAccess[]> {
  const { kubeconfigFile, clusterName } = config
  // The oldest form names one cluster after the Teleport cluster, whatever the context is called.
  if (kubeconfigFile && clusterName !== undefined)
    return [await currentClusterOfKubeconfig(kubeconfigFile, clusterName || teleportCluster)]
  if (kubeconfigFile) return clustersOfKubeconfig(kubeconfigFile)
  const own = await clusterOfPod(clusterName ?? teleportCluster, env)
  if (own) return [own]
  throw badParameter('kubernetes_service is enabled, but there is no cluster to serve', {
    hint: 'set kubernetes_service.kubeconfig_file, or run in a pod with a service account',
  })
}

async function tellMissing(cluster: ServedCluster): Promise<void> {
  try {
    const missing = await missingPermissions(cluster)
    if (missing.length > 0)
      log.warn('this agent lacks permissions in the Kubernetes cluster; requests will fail', {
        cluster: cluster.name,
        missing: missing.join(', '),
      })
  } catch (error) {
    log.warn('the permissions of this agent could not be checked', {
      cluster: cluster.name,
      error: messageOf(error),
    })
  }
}
