// The watches of one process: changes are handed to those whose prefixes match, each with a bounded queue of its own.
// A watch that asks for the past reads it from the store page by page, and joins the live ones when it has caught up.

import { type Change, type Key, type Watch, WatchCompacted } from './store.ts'

/** What a watch may leave unread before it has to start anew. */
const queueLimit = 10_000
const queueLimitBytes = 16 << 20

/** The next changes of the past; `last` when there are no more, as of now. Throws `WatchCompacted`. */
export type ReadPast = () => { readonly changes: readonly Change[]; readonly last: boolean }

export class Watchers {
  /** Length of prefix → prefix → watches. Few lengths are in use, so a change needs few look-ups. */
  readonly #byLength = new Map<number, Map<Key, Set<QueuedWatch>>>()
  readonly #all = new Set<QueuedWatch>()

  /** A watch of what comes from now on or, with `past`, of that first. */
  open(prefixes: readonly Key[], { after, past }: { after: number; past?: ReadPast }): Watch {
    const watch: QueuedWatch = new QueuedWatch(prefixes, {
      after,
      past,
      join: () => this.#join(watch),
      leave: () => this.#leave(watch),
    })
    this.#all.add(watch)
    if (!past) this.#join(watch)
    return watch
  }

  /** Whether anybody is there to hear of changes. */
  get live(): boolean {
    return this.#byLength.size > 0
  }

  offer(change: Change, bytes: number): void {
    const key = change.type === 'put' ? change.item.key : change.key
    const matching = new Set<QueuedWatch>()
    for (const [length, byPrefix] of this.#byLength) {
      for (const watch of byPrefix.get(key.slice(0, length)) ?? []) matching.add(watch)
    }
    for (const watch of matching) watch.offer(change, bytes)
  }

  /** Changes were missed: every live watch has to start anew. */
  fail(): void {
    for (const byPrefix of this.#byLength.values()) {
      for (const watches of byPrefix.values()) for (const watch of watches) watch.fail()
    }
  }

  /** Ends every watch, after what it has not read yet. */
  end(): void {
    for (const watch of this.#all) watch.end()
  }

  #join(watch: QueuedWatch): void {
    for (const prefix of watch.prefixes) {
      const byPrefix = this.#byLength.get(prefix.length) ?? new Map<Key, Set<QueuedWatch>>()
      this.#byLength.set(prefix.length, byPrefix)
      byPrefix.set(prefix, (byPrefix.get(prefix) ?? new Set()).add(watch))
    }
  }

  #leave(watch: QueuedWatch): void {
    this.#all.delete(watch)
    for (const prefix of watch.prefixes) {
      const byPrefix = this.#byLength.get(prefix.length)
      const watches = byPrefix?.get(prefix)
      watches?.delete(watch)
      if (watches?.size === 0) byPrefix?.delete(prefix)
      if (byPrefix?.size === 0) this.#byLength.delete(prefix.length)
    }
  }
}

interface WatchLife {
  readonly after: number
  readonly past: ReadPast | undefined
  readonly join: () => void
  readonly leave: () => void
}

class QueuedWatch implements Watch {
  readonly after: number
  readonly prefixes: readonly Key[]
  readonly #life: WatchLife
  #queue: { readonly change: Change; readonly bytes: number }[] = []
  #unread = 0
  #unreadBytes = 0
  /** `ended` by the store, after what is unread; `closed` by the reader, at once. */
  #state: 'open' | 'failed' | 'ended' | 'closed' = 'open'
  #wake: (() => void) | undefined

  constructor(prefixes: readonly Key[], life: WatchLife) {
    this.prefixes = prefixes
    this.after = life.after
    this.#life = life
  }

  offer(change: Change, bytes: number): void {
    if (this.#state !== 'open') return
    if (this.#unread >= queueLimit || this.#unreadBytes + bytes > queueLimitBytes) return this.fail()
    this.#queue.push({ change, bytes })
    this.#unread++
    this.#unreadBytes += bytes
    this.#wake?.()
  }

  fail(): void {
    this.#stop('failed')
  }

  end(): void {
    this.#stop('ended')
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Change> {
    try {
      yield* this.#past()
      for (;;) {
        const batch = this.#queue
        this.#queue = []
        for (const { change, bytes } of batch) {
          if (this.#mayGoOn()) yield change
          else return
          this.#unread--
          this.#unreadBytes -= bytes
        }
        if (this.#queue.length > 0) continue
        if (!this.#mayGoOn() || this.#state === 'ended') return
        await new Promise<void>((resolve) => (this.#wake = resolve))
      }
    } finally {
      this.#life.leave()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop('closed')
  }

  *#past(): Generator<Change> {
    const { past, join } = this.#life
    while (past && this.#state === 'open') {
      const { changes, last } = past()
      // In the same breath as the last page was read, so that no change falls between the two.
      if (last) join()
      for (const change of changes) {
        if (!this.#matches(change)) continue
        if (!this.#mayGoOn()) return
        yield change
      }
      if (last) return
    }
  }

  #matches(change: Change): boolean {
    const key = change.type === 'put' ? change.item.key : change.key
    return this.prefixes.some((prefix) => key.startsWith(prefix))
  }

  /** False when the reader has closed it. Throws when it fell too far behind. */
  #mayGoOn(): boolean {
    if (this.#state === 'failed') throw new WatchCompacted()
    return this.#state !== 'closed'
  }

  #stop(state: 'failed' | 'ended' | 'closed'): void {
    if (this.#state !== 'open') return
    this.#state = state
    if (state !== 'ended') this.#queue = []
    this.#life.leave()
    this.#wake?.()
  }
}
