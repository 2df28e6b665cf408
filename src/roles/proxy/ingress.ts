// Where a connection goes: the table of listeners, SNI, ALPN and certificates. The proxy ends TLS and hands the
// decrypted bytes to one service; only connections that may name several clusters are parsed here, by the path
// router. What cannot be routed is answered as a Kubernetes Status by a service of its own, never by a closed socket.
//
//   listener  SNI                         ALPN               certificate              goes to
//   web       kube-teleport-proxy-alpn.*  h2, http/1.1       user, one kube cluster   that cluster's agent
//   web       same                        same               any other                path router
//   web       any                         teleport-auth@…    any                      auth API
//   web       any                         h2, http/1.1       any                      web (which knows the path router)
//   kube      any                         h2, http/1.1       as the first two rows

import { accessDenied, TeleportError } from '../../errors.ts'
import type { Identity, UserIdentity } from '../../identity/identity.ts'
import { createLogger } from '../../log.ts'
import { metrics } from '../../metrics.ts'
import type { Connection, Service } from '../../net/connection.ts'
import type { Accepted } from '../../net/listen.ts'
import type { Agents } from './agents.ts'

const log = createLogger('proxy:ingress')

/** Clients that speak Kubernetes through the web port say so by this prefix of the server name. */
export const kubeServerNamePrefix = 'kube-teleport-proxy-alpn.'
/** ALPN names of the auth API begin with this; the cluster name follows. */
export const authProtocolPrefix = 'teleport-auth@'

export interface IngressOptions {
  /** Proves a chain; throws when it is not valid now. */
  verify: (peer: readonly Uint8Array[]) => Identity
  agents: Pick<Agents, 'pick'>
  teleportCluster: string
  kubernetesEnabled: boolean
  pathRouter: Service
  authApi: Service
  web: Service
  /** A service that answers every request with this error as a Status. */
  refuse: (error: unknown) => Service
}

export interface Ingress {
  web(accepted: Accepted): void
  kube(accepted: Accepted): void
}

export function createIngress(options: IngressOptions): Ingress {
  const { verify, agents, teleportCluster, pathRouter, refuse } = options

  /** Rows for Kubernetes traffic: by the certificate alone when it names a cluster. */
  function kubernetes(connection: Connection): void {
    try {
      if (!options.kubernetesEnabled) {
        log.warn('received kube request but k8 service is disabled', { client: connection.client.host })
        throw new TeleportError('bad-parameter', 'received kube request but k8 service is disabled')
      }
      const identity = requireUser(verify(connection.peer))
      if (identity.kubernetesCluster === '') return pathRouter(connection)
      checkRoute(identity, teleportCluster)
      agents.pick(identity.kubernetesCluster)(connection, identity.kubernetesCluster)
    } catch (error) {
      if (error instanceof TeleportError && error.kind === 'not-found') metrics.clusterNotFound.inc()
      if (error instanceof TeleportError && error.kind === 'unauthenticated')
        metrics.certificateMismatches.inc()
      refuse(error)(connection)
    }
  }

  return {
    kube(accepted) {
      kubernetes(connectionOf(accepted))
    },
    web(accepted) {
      if (accepted.protocol.startsWith(authProtocolPrefix)) return options.authApi(connectionOf(accepted))
      const connection = connectionOf(accepted)
      if (accepted.serverName.startsWith(kubeServerNamePrefix)) return kubernetes(connection)
      options.web(connection)
    },
  }
}

/** Only people and bots make Kubernetes requests; an agent's or proxy's certificate is refused. */
export function requireUser(identity: Identity): UserIdentity {
  if (identity.type !== 'user') throw accessDenied('[00] access denied')
  if (identity.usage.length > 0 && !identity.usage.includes('usage:kube')) {
    throw accessDenied('certificate is not for Kubernetes access')
  }
  return identity
}

function checkRoute(identity: UserIdentity, teleportCluster: string): void {
  if (identity.routeToCluster === '' || identity.routeToCluster === teleportCluster) return
  throw new TeleportError(
    'not-found',
    `cluster ${JSON.stringify(identity.routeToCluster)} is not this cluster, and trusted clusters are not supported in this build`,
  )
}

// No ALPN at all is HTTP/1.1; so is the auth API's own name, which is not followed by HTTP/2.
function connectionOf(accepted: Accepted): Connection {
  return { ...accepted, protocol: accepted.protocol === 'h2' ? 'h2' : 'http/1.1' }
}
