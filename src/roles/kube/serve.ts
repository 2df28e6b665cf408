// One request to a Kubernetes cluster, as a list of awaits: who, to which cluster, what is asked, with which right;
// then one of the ways to serve it; whatever happens, it is recorded.

import {
  type Grant,
  authorizeKubernetes,
  compilePolicy,
  type Policy,
  rolesNamed,
} from '../../access/access.ts'
import type { Cache } from '../../api/cache.ts'
import * as events from '../../audit/events.ts'
import { accessDenied, badParameter, isKind, messageOf, notFound } from '../../errors.ts'
import type { Exchange } from '../../http/exchange.ts'
import { createHttpService } from '../../http/server.ts'
import type { UserIdentity } from '../../identity/identity.ts'
import type { ServedCluster } from '../../kube/cluster.ts'
import type { Principals } from '../../kube/impersonate.ts'
import { checkPathTarget, isPathRouted, parsePathTarget } from '../../kube/path-target.ts'
import {
  checkTarget,
  isAllowedNonResource,
  type KubernetesRequest,
  parseKubernetesRequest,
  pathOf,
  streamOf,
} from '../../kube/request.ts'
import { answerStatus, statusOf } from '../../kube/status.ts'
import { createLogger } from '../../log.ts'
import { metrics } from '../../metrics.ts'
import type { Connection } from '../../net/connection.ts'
import { authPreferenceName, parseClusterAuthPreference } from '../../resources/cluster-auth-preference.ts'
import { networkingConfigName, parseClusterNetworkingConfig } from '../../resources/cluster-configs.ts'
import { parseRole } from '../../resources/role.ts'
import { type AuthorizedRequest, kubernetesBlock, type ServeOptions } from './authorized-request.ts'
import { serveStream } from './streams.ts'

const log = createLogger('kube')

/** Longest life of a place among a user's connections; it is given back when the connection ends. */
const leaseTtl = '24h'

/** Takes over connections for one of the clusters. */
export function createKubeService(
  options: ServeOptions,
): (connection: Connection, kubernetesCluster: string) => void {
  const targets = new WeakMap<Connection, string>()
  const policies = createPolicyCache(options.cache)

  async function handle(exchange: Exchange): Promise<void> {
    const identity = identify(exchange.connection)
    const cluster = clusterFor(exchange.connection, identity)
    const target = targetWithin(exchange, { identity, cluster })
    checkTarget(target)
    const { method } = exchange.request
    const asked = parseKubernetesRequest(method, target)
    const actor = events.actorOf(identity, options.teleportCluster, addressOf(exchange.connection))
    let grant: Grant | undefined
    try {
      checkAsked(asked, pathOf(target))
      const allowed = authorize(exchange, { identity, cluster })
      grant = allowed
      await withLease(allowed, asked, () =>
        serve(exchange, { identity, cluster, asked, target, grant: allowed, actor }),
      )
    } catch (error) {
      record({
        method,
        identity,
        cluster,
        asked,
        target,
        actor,
        status: statusOf(error).code,
        ...(grant ? { grant } : {}),
      })
      throw error
    }
  }

  function identify(connection: Connection): UserIdentity {
    const identity = options.verifier.verify(connection.peer)
    if (identity.type !== 'user') throw accessDenied('[00] access denied')
    if (identity.usage.length > 0 && !identity.usage.includes('usage:kube'))
      throw accessDenied('certificate is not for Kubernetes access')
    return identity
  }

  function clusterFor(connection: Connection, identity: UserIdentity): ServedCluster {
    const name = targets.get(connection)
    const cluster = name === undefined ? undefined : options.clusters.get(name)
    if (!cluster) throw notFound(`Kubernetes cluster ${JSON.stringify(name ?? '')} not found`)
    // Whoever routed the connection here cannot change where its certificate points.
    if (identity.kubernetesCluster !== '' && identity.kubernetesCluster !== cluster.name)
      throw accessDenied('existing route in identity may not be overwritten')
    return cluster
  }

  /** A path may name the cluster as well; it can only say what the connection says already. */
  function targetWithin(
    exchange: Exchange,
    { identity, cluster }: { identity: UserIdentity; cluster: ServedCluster },
  ): string {
    const { target } = exchange.request
    if (!isPathRouted(target)) return target
    const named = parsePathTarget(target)
    checkPathTarget(named, identity, options.teleportCluster)
    if (named.kubernetesCluster !== cluster.name)
      throw accessDenied('existing route in identity may not be overwritten')
    return named.target
  }

  function authorize(
    exchange: Exchange,
    { identity, cluster }: { identity: UserIdentity; cluster: ServedCluster },
  ): Grant {
    const preference = options.cache.get('cluster_auth_preference', authPreferenceName)
    const networking = options.cache.get('cluster_networking_config', networkingConfigName)
    if (!preference || !networking) throw accessDenied('the cluster configuration is not known yet')
    return authorizeKubernetes({
      identity,
      policy: policies(identity),
      cluster: { name: cluster.name, labels: cluster.labels() },
      preference: parseClusterAuthPreference(preference),
      networking: parseClusterNetworkingConfig(networking),
      clientAddress: exchange.connection.client.host,
    })
  }

  /** Streams count against the user's limit of connections, wherever they are served. */
  async function withLease(grant: Grant, asked: KubernetesRequest, run: () => Promise<void>): Promise<void> {
    const limit = grant.limits.maxKubernetesConnections
    if (limit === 0 || streamOf(asked) === undefined) return run()
    const lease = { kind: 'kubernetes_connection', name: grant.username }
    const { id } = await options.client
      .acquireLease({ ...lease, limit, ttl: leaseTtl })
      .catch((error: unknown) => {
        throw isKind(error, 'limit-exceeded') ? accessDenied(error.message, { cause: error }) : error
      })
    try {
      await run()
    } finally {
      await options.client
        .releaseLease({ ...lease, id })
        .catch((error: unknown) =>
          log.warn('a connection lease was not released', { error: messageOf(error) }),
        )
    }
  }

  async function serve(exchange: Exchange, request: AuthorizedRequest): Promise<void> {
    if (exchange.request.upgrade !== '') return serveStream(exchange, request, options)
    await options.audit.room()
    let principals: Principals | undefined
    metrics.kubernetesInFlight.inc()
    const leave = options.live.enter(request, (reason) => exchange.abort(reason))
    try {
      const { status } = await request.cluster.forward(request.grant, exchange, {
        target: request.target,
        onPrincipals: (chosen) => {
          principals = chosen
        },
      })
      metrics.kubernetesRequests.inc({ code: `${Math.floor(status / 100)}xx` })
      record({ ...request, method: exchange.request.method, status, ...(principals ? { principals } : {}) })
    } finally {
      leave()
      metrics.kubernetesInFlight.dec()
    }
  }

  interface Record {
    readonly identity: UserIdentity
    readonly cluster: ServedCluster
    readonly asked: KubernetesRequest
    readonly target: string
    readonly method: string
    readonly actor: events.Actor
    readonly status: number
    readonly grant?: Grant
    readonly principals?: Principals
  }

  function record({ method, cluster, asked, target, actor, status, grant, principals }: Record): void {
    if (asked.discovery) return
    const block = kubernetesBlock(cluster, { grant, principals })
    const group = asked.group === '' ? asked.version : `${asked.group}/${asked.version}`
    options.audit.add(
      events.kubernetesRequest(actor, block, {
        request_path: pathOf(target),
        verb: method,
        resource_api_group: asked.kind === '' ? '' : group,
        resource_kind: asked.kind,
        resource_name: asked.name,
        resource_namespace: asked.namespace,
        response_code: status,
      }),
    )
  }

  const http = createHttpService(handle, { onError: answerStatus })
  return (connection, kubernetesCluster) => {
    targets.set(connection, kubernetesCluster)
    http(connection)
  }
}

function checkAsked(asked: KubernetesRequest, path: string): void {
  if (asked.verb === '') throw badParameter('this method means nothing to a Kubernetes cluster')
  if (asked.kind !== '' || asked.discovery) return
  if (/^\/apis?\/?[^/]*\/?$/.test(path) || isAllowedNonResource(path)) return
  throw accessDenied(`path ${JSON.stringify(path)} is not available through Teleport`)
}

function addressOf({ client }: Connection): string {
  return `${client.host}:${client.port}`
}

/** Policies of the users seen, as long as nothing they come from has changed. */
const policyCacheSize = 5000

function createPolicyCache(cache: Pick<Cache, 'get' | 'generation'>): (identity: UserIdentity) => Policy {
  let generation = -1
  let policies = new Map<UserIdentity, Policy>()
  return (identity) => {
    if (cache.generation !== generation || policies.size > policyCacheSize) {
      generation = cache.generation
      policies = new Map()
    }
    const known = policies.get(identity)
    if (known) return known
    const roles = rolesNamed(identity.roles, (name) => {
      const found = cache.get('role', name)
      return found && parseRole(found)
    })
    const policy = compilePolicy(roles, identity)
    policies.set(identity, policy)
    return policy
  }
}
