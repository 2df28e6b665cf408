// What the ways to serve a request share: what they are given, and how a request's cluster and principals are told.

import type { Grant } from '../../access/access.ts'
import type { Cache } from '../../api/cache.ts'
import type { AuthClient } from '../../api/operations.ts'
import type * as events from '../../audit/events.ts'
import type { UserIdentity } from '../../identity/identity.ts'
import type { Verifier } from '../../identity/verify.ts'
import type { ServedCluster } from '../../kube/cluster.ts'
import type { Principals } from '../../kube/impersonate.ts'
import type { KubernetesRequest } from '../../kube/request.ts'
import type { AuditQueue } from './audit-queue.ts'
import type { LiveRequests } from './live-requests.ts'

export interface ServeOptions {
  readonly teleportCluster: string
  readonly hostId: string
  readonly verifier: Verifier
  readonly cache: Pick<Cache, 'get' | 'generation'>
  readonly clusters: ReadonlyMap<string, ServedCluster>
  readonly client: Pick<AuthClient, 'acquireLease' | 'releaseLease'>
  readonly audit: AuditQueue
  readonly live: LiveRequests
}

/** Everything that is known of a request once it is authorised. */
export interface AuthorizedRequest {
  readonly identity: UserIdentity
  readonly cluster: ServedCluster
  readonly asked: KubernetesRequest
  /** What is asked, byte for byte, as the API server will get it. */
  readonly target: string
  readonly grant: Grant
  readonly actor: events.Actor
}

/** The cluster and the principals in force; all that are allowed when none were chosen. */
export function kubernetesBlock(
  cluster: ServedCluster,
  { grant, principals }: { grant: Grant | undefined; principals: Principals | undefined },
): events.KubernetesBlock {
  return {
    kubernetes_cluster: cluster.name,
    kubernetes_users: principals ? [principals.user] : (grant?.kubernetesUsers ?? []),
    kubernetes_groups: principals?.groups ?? grant?.kubernetesGroups ?? [],
    kubernetes_labels: cluster.labels(),
  }
}
