// What a role must know to decide fast: a copy of some kinds of resources, kept up to date by one watch. It goes on
// answering while auth is away, and says how old its knowledge is.

import { messageOf } from '../errors.ts'
import { createLogger } from '../log.ts'
import type { Resource } from '../resources/resource.ts'
import type { AuthClient } from './operations.ts'

const log = createLogger('cache')

const retryMs = 500
const longestRetryMs = 15_000
/** The server says something at least every five seconds. */
const silenceMs = 20_000

export interface CacheOptions {
  readonly client: Pick<AuthClient, 'watch'>
  readonly kinds: readonly string[]
  /** Called after each change, and after each new snapshot with no kind. */
  readonly onChange?: (kind?: string) => void
  readonly clock?: () => number
}

export class Cache implements AsyncDisposable {
  readonly #options: CacheOptions
  readonly #stop = new AbortController()
  readonly #running: Promise<void>
  #resources = new Map<string, Map<string, Resource>>()
  #heard = 0
  #generation = 0
  readonly ready: Promise<void>

  constructor(options: CacheOptions) {
    this.#options = options
    const { promise, resolve } = Promise.withResolvers<void>()
    this.ready = promise
    this.#running = this.#run(resolve)
  }

  /** Grows with every change: what was computed from the cache is good while this stays the same. */
  get generation(): number {
    return this.#generation
  }

  /** Milliseconds since the server was last heard. */
  age(): number {
    return (this.#options.clock ?? Date.now)() - this.#heard
  }

  get(kind: string, name: string): Resource | undefined {
    const found = this.#resources.get(kind)?.get(name)
    return found && !this.#isExpired(found) ? found : undefined
  }

  list(kind: string): readonly Resource[] {
    return [...(this.#resources.get(kind)?.values() ?? [])].filter((resource) => !this.#isExpired(resource))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  #isExpired(resource: Resource): boolean {
    const expires = resource.metadata.expires
    return expires !== undefined && Date.parse(expires) <= (this.#options.clock ?? Date.now)()
  }

  async #run(ready: () => void): Promise<void> {
    let wait = retryMs
    while (!this.#stop.signal.aborted) {
      try {
        await this.#follow(() => {
          wait = retryMs
          ready()
        })
      } catch (error) {
        if (this.#stop.signal.aborted) return
        log.debug('watch ended, trying again', { error: messageOf(error), waitMs: wait })
      }
      if (this.#stop.signal.aborted) return
      await Bun.sleep(wait * (0.5 + Math.random()))
      wait = Math.min(longestRetryMs, wait * 2)
    }
  }

  /** One watch from its snapshot to its end. The old copy answers until the new one is whole. */
  async #follow(ready: () => void): Promise<void> {
    const quiet = new AbortController()
    const signal = AbortSignal.any([this.#stop.signal, quiet.signal])
    let timer = setTimeout(() => quiet.abort(), silenceMs)
    let snapshot: Map<string, Map<string, Resource>> | undefined = new Map()
    try {
      for await (const event of this.#options.client.watch({ kinds: [...this.#options.kinds] }, signal)) {
        clearTimeout(timer)
        timer = setTimeout(() => quiet.abort(), silenceMs)
        this.#heard = (this.#options.clock ?? Date.now)()
        switch (event.type) {
          case 'put':
            put(snapshot ?? this.#resources, event.resource as Resource)
            if (!snapshot) this.#changed(event.resource.kind)
            break
          case 'delete':
            this.#resources.get(event.kind)?.delete(event.name)
            this.#changed(event.kind)
            break
          case 'ready':
            if (snapshot) this.#resources = snapshot
            snapshot = undefined
            this.#changed()
            ready()
            break
          case 'compacted':
            return
          case 'progress':
            break
        }
      }
    } finally {
      clearTimeout(timer)
    }
  }

  #changed(kind?: string): void {
    this.#generation++
    this.#options.onChange?.(kind)
  }
}

// An agent that serves several clusters and several agents that serve one: announcements are told apart by host.
function cacheName(resource: Resource): string {
  const spec = resource.spec
  const host =
    resource.kind === 'kube_server' && typeof spec === 'object' && spec !== null && 'host_id' in spec
      ? `${String(spec.host_id)}/`
      : ''
  return host + resource.metadata.name
}

function put(resources: Map<string, Map<string, Resource>>, resource: Resource): void {
  const known = resources.get(resource.kind) ?? new Map<string, Resource>()
  resources.set(resource.kind, known)
  known.set(cacheName(resource), resource)
}
