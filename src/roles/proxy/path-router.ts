// The one place where the proxy parses Kubernetes HTTP: connections that may name several clusters, by path or not
// at all. Each cluster asked for gets a connection of its own to the agent, which sees the client's certificate
// chain and verifies it again; requests are forwarded into it unchanged but for the path prefix.

import type { Exchange } from '../../http/exchange.ts'
import { endToEnd } from '../../http/headers.ts'
import { createHttpService } from '../../http/server.ts'
import { createUpstream, type Upstream } from '../../http/upstream.ts'
import type { Identity } from '../../identity/identity.ts'
import { answerStatus } from '../../kube/status.ts'
import type { Connection, Service, Wire } from '../../net/connection.ts'
import { wireToDuplex } from '../../net/duplex.ts'
import { createPair } from '../../net/pair.ts'
import { type Agents, chooseCluster } from './agents.ts'
import { requireUser } from './ingress.ts'
import { checkPathTarget, isPathRouted, parsePathTarget } from '../../kube/path-target.ts'

/** Clusters one client connection may be routed to at once. */
const clustersPerConnection = 256

export interface PathRouterOptions {
  verify: (peer: readonly Uint8Array[]) => Identity
  agents: Pick<Agents, 'pick' | 'clusters'>
  teleportCluster: string
}

export interface PathRouter {
  service: Service
  /** Serves one exchange of another service, e.g. a `/v1/teleport/…` path on the web port… */
  handle: (exchange: Exchange) => Promise<void>
  /** …whose connection went through here first, so that its hops end with it. */
  track: (connection: Connection) => Connection
}

export function createPathRouter(options: PathRouterOptions): PathRouter {
  const hops = new WeakMap<Connection, Map<string, Upstream>>()

  const handle = async (exchange: Exchange): Promise<void> => {
    const { connection, request } = exchange
    const { kubernetesCluster, target } = routeOf(exchange)
    const hop = hopTo(connection, kubernetesCluster)
    const head = {
      method: request.method,
      target,
      headers: endToEnd(request.headers).filter(([name]) => name !== 'content-length' && name !== 'expect'),
    }
    if (request.upgrade !== '') await exchange.upgrade(hop, head)
    else await exchange.forward(hop, head)
  }

  function routeOf(exchange: Exchange): { kubernetesCluster: string; target: string } {
    const identity = requireUser(options.verify(exchange.connection.peer))
    const { target } = exchange.request
    if (!isPathRouted(target)) {
      const chosen = chooseCluster(
        identity.kubernetesCluster,
        options.agents.clusters(),
        options.teleportCluster,
      )
      return { kubernetesCluster: chosen, target }
    }
    const asked = parsePathTarget(target)
    checkPathTarget(asked, identity, options.teleportCluster)
    return asked
  }

  function hopTo(connection: Connection, kubernetesCluster: string): Upstream {
    const known = hops.get(connection) ?? new Map<string, Upstream>()
    hops.set(connection, known)
    const existing = known.get(kubernetesCluster)
    if (existing) return existing
    // Refuses before anything is dialled when nobody serves the cluster.
    options.agents.pick(kubernetesCluster)
    const upstream = createUpstream({
      name: kubernetesCluster,
      host: 'kube-teleport-proxy-alpn.teleport.cluster.local',
      port: 443,
      plainProtocol: 'h2',
      dial: async (protocol) => {
        const [ours, theirs] = createPair()
        options.agents.pick(kubernetesCluster)({ ...connection, protocol, wire: theirs }, kubernetesCluster)
        return wireToDuplex(ours)
      },
    })
    known.set(kubernetesCluster, upstream)
    if (known.size > clustersPerConnection) dropOldest(known)
    return upstream
  }

  function track(connection: Connection): Connection {
    const wire = onClosed(connection.wire, () => closeAll(hops.get(tracked)))
    const tracked: Connection = { ...connection, wire }
    return tracked
  }

  const http = createHttpService(handle, { onError: answerStatus })
  return { handle, track, service: (connection) => http(track(connection)) }
}

function dropOldest(known: Map<string, Upstream>): void {
  for (const [name, upstream] of known) {
    known.delete(name)
    void upstream[Symbol.asyncDispose]()
    return
  }
}

function closeAll(known: Map<string, Upstream> | undefined): void {
  for (const upstream of known?.values() ?? []) void upstream[Symbol.asyncDispose]()
}

function onClosed(wire: Wire, closed: () => void): Wire {
  return {
    write: (bytes, start, end) => wire.write(bytes, start, end),
    end: () => wire.end(),
    reset: () => wire.reset(),
    resume: () => wire.resume(),
    attach: (sink) =>
      wire.attach({
        data: (bytes, start, end) => sink.data(bytes, start, end),
        drained: () => sink.drained(),
        ended: () => sink.ended(),
        closed: (error) => {
          sink.closed(error)
          closed()
        },
      }),
  }
}
