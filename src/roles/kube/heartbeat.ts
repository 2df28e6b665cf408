// Tells the cluster what this agent serves: one `kube_server` per Kubernetes cluster, with a time to live, so
// that an agent that dies without a word is forgotten by itself.

import { messageOf } from '../../errors.ts'
import { createLogger } from '../../log.ts'
import type { Resource } from '../../resources/resource.ts'
import { version } from '../../version.ts'

const log = createLogger('kube:heartbeat')

/** How long an announcement is believed. */
const timeToLiveMs = 10 * 60_000
/** Announced again after about half of that, with jitter so that agents do not come all at once. */
const intervalMs = timeToLiveMs / 2
/** After a failure, sooner. */
const retryMs = 5_000

export interface HeartbeatSource {
  readonly hostId: string
  readonly hostname: string
  /** What is served now, with the labels in force. */
  readonly clusters: () => readonly {
    readonly name: string
    readonly labels: Readonly<Record<string, string>>
  }[]
}

export interface HeartbeatOptions {
  send: (resource: Resource) => Promise<void>
  /** Called after each round, e.g. for readiness. */
  onRound?: (ok: boolean) => void
  clock?: () => number
  random?: () => number
}

/** Announces at once, then regularly, until disposed of. */
export class Heartbeat implements Disposable {
  readonly #source: HeartbeatSource
  readonly #options: HeartbeatOptions
  #timer: Timer | undefined
  #stopped = false

  constructor(source: HeartbeatSource, options: HeartbeatOptions) {
    this.#source = source
    this.#options = options
  }

  /** One round now; also plans the next one. Never rejects: a failed round is logged and tried again soon. */
  async announce(): Promise<void> {
    clearTimeout(this.#timer)
    let ok = true
    for (const cluster of this.#source.clusters()) {
      try {
        await this.#options.send(kubeServer(this.#source, cluster, (this.#options.clock ?? Date.now)()))
      } catch (error) {
        ok = false
        log.warn('could not announce a Kubernetes cluster', {
          cluster: cluster.name,
          error: messageOf(error),
        })
      }
    }
    this.#options.onRound?.(ok)
    if (this.#stopped) return
    const random = (this.#options.random ?? Math.random)()
    this.#timer = setTimeout(
      () => void this.announce(),
      ok ? intervalMs * (0.8 + 0.4 * random) : retryMs * (0.5 + random),
    )
    this.#timer.unref()
  }

  [Symbol.dispose](): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }
}

function kubeServer(
  source: HeartbeatSource,
  cluster: { readonly name: string; readonly labels: Readonly<Record<string, string>> },
  now: number,
): Resource {
  return {
    kind: 'kube_server',
    version: 'v3',
    metadata: { name: cluster.name, expires: new Date(now + timeToLiveMs).toISOString() },
    spec: {
      version,
      hostname: source.hostname,
      host_id: source.hostId,
      cluster: {
        kind: 'kube_cluster',
        version: 'v3',
        metadata: { name: cluster.name, labels: cluster.labels },
        spec: {},
      },
    },
  }
}
