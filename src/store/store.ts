// The one store behind the auth role: keys with JSON values, revisions, expiry, conditional commits of several
// keys, and a watch that resumes by revision. `sqlite.ts` is the embedded implementation; `conformance.ts` is
// the suite that any implementation must pass. Only `roles/auth` knows this room.

/** Path-like, `/` separated, e.g. `/roles/editor`. Compared as UTF-8 bytes. */
export type Key = string

export interface Item {
  readonly key: Key
  /** Plain JSON. */
  readonly value: unknown
  /** The revision of the commit that wrote this item; one increasing sequence for the whole store. */
  readonly revision: number
  /** Milliseconds since the epoch; absent when the item does not expire. */
  readonly expires?: number
}

/** All must hold or nothing is written. `absent` also holds for an expired item. */
export type Condition =
  | { readonly key: Key; readonly is: 'absent' }
  | { readonly key: Key; readonly is: 'present' }
  | { readonly key: Key; readonly revision: number }

export type Write =
  { readonly put: Key; readonly value: unknown; readonly expires?: number } | { readonly delete: Key }

export type Change =
  | { readonly type: 'put'; readonly item: Item }
  | { readonly type: 'delete'; readonly key: Key; readonly revision: number }

export interface Watch extends AsyncIterable<Change>, AsyncDisposable {
  /** Changes after this revision are delivered, each once, in order. */
  readonly after: number
}

export interface Store extends AsyncDisposable {
  get(key: Key): Promise<Item | undefined>
  /** Items whose key starts with `prefix`, in key order, starting after the key `after`. @default limit 1000 */
  list(prefix: Key, options?: { after?: Key; limit?: number }): Promise<readonly Item[]>
  /**
   * The only write: all of `writes` or nothing. Returns the commit's revision.
   * Throws `CommitConflict` naming the first condition that does not hold.
   */
  commit(conditions: readonly Condition[], writes: readonly Write[]): Promise<number>
  /** The revision of the newest commit. */
  revision(): Promise<number>
  /**
   * Changes under any of `prefixes` after a revision (default: from now on). Iterating throws `WatchCompacted`
   * when that revision is no longer kept or the reader fell too far behind: list again, then watch again.
   */
  watch(prefixes: readonly Key[], options?: { after?: number }): Watch
}

/** A condition of a commit did not hold. */
export class CommitConflict extends Error {
  override readonly name = 'CommitConflict'
  readonly condition: Condition
  constructor(condition: Condition) {
    super(`commit refused: condition on ${condition.key} does not hold`)
    this.condition = condition
  }
}

/** The changes a watcher still needs are gone; take a new snapshot. */
export class WatchCompacted extends Error {
  override readonly name = 'WatchCompacted'
  constructor() {
    super('watch position is no longer kept')
  }
}
