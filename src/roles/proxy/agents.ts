// Which process serves a Kubernetes cluster, and how a connection gets there. In one process that is a
// function call; agents in other processes will be reached by tunnel through the same `AgentRoute`.

import { notFound } from '../../errors.ts'
import type { Connection } from '../../net/connection.ts'

/** Takes over a connection for one Kubernetes cluster of that agent. */
export type AgentRoute = (connection: Connection, kubernetesCluster: string) => void

/** What the cache knows of one agent serving one cluster: a `kube_server` resource, as far as routing needs it. */
export interface ServedEntry {
  readonly hostId: string
  readonly kubernetesCluster: string
  readonly health: 'healthy' | 'unknown' | 'unhealthy'
}

export interface AgentsOptions {
  /** Live announcements, expired ones left out. */
  servers: () => readonly ServedEntry[]
  /** A number in [0, 1). @default Math.random */
  random?: () => number
}

const healthOrder = { healthy: 0, unknown: 1, unhealthy: 2 } as const

/** The agents this proxy can reach. */
export class Agents {
  readonly #options: AgentsOptions
  readonly #routes = new Map<string, AgentRoute>()

  constructor(options: AgentsOptions) {
    this.#options = options
  }

  /** Makes an agent reachable; the returned function takes it back. */
  add(hostId: string, route: AgentRoute): () => void {
    this.#routes.set(hostId, route)
    return () => {
      if (this.#routes.get(hostId) === route) this.#routes.delete(hostId)
    }
  }

  /** Names of the clusters that are served, sorted, each once. */
  clusters(): readonly string[] {
    return [...new Set(this.#options.servers().map((entry) => entry.kubernetesCluster))].sort()
  }

  /** An agent for this cluster: healthy ones first, then unknown, then unhealthy, each group in random order. */
  pick(kubernetesCluster: string): AgentRoute {
    const random = this.#options.random ?? Math.random
    const candidates = this.#options
      .servers()
      .filter((entry) => entry.kubernetesCluster === kubernetesCluster)
      .map((entry) => ({ entry, order: healthOrder[entry.health] + random() }))
      .sort((left, right) => left.order - right.order)
    for (const { entry } of candidates) {
      const route = this.#routes.get(entry.hostId)
      if (route) return route
    }
    throw notFound(`Kubernetes cluster "${kubernetesCluster}" not found`)
  }
}

/**
 * The cluster a client means. Named: it must be served. Not named: the one called like the Teleport cluster,
 * else the first by name.
 */
export function chooseCluster(asked: string, served: readonly string[], teleportCluster: string): string {
  if (asked !== '') {
    if (!served.includes(asked)) throw notFound(`Kubernetes cluster "${asked}" not found`)
    return asked
  }
  const first = served.includes(teleportCluster) ? teleportCluster : [...served].sort()[0]
  if (first === undefined) throw notFound('no Kubernetes clusters are registered')
  return first
}
