// The store in one SQLite file. Each commit is one immediate transaction that writes items and events together, on
// disk before it returns (`synchronous=FULL`). Other processes may write the same file: their commits are noticed by
// the database's data version.

import { Database } from 'bun:sqlite'
import { chmodSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { badParameter, limitExceeded, messageOf } from '../errors.ts'
import { createLogger } from '../log.ts'
import migrationItems from './migrations/001-items-and-events.sql' with { type: 'text' }
import {
  type Change,
  CommitConflict,
  type Condition,
  type Item,
  type Key,
  type Store,
  type Watch,
  WatchCompacted,
  type Write,
} from './store.ts'

const log = createLogger('store')

const migrations: readonly string[] = [migrationItems]

export interface SqliteOptions {
  /** @default Date.now */
  readonly clock?: () => number
  /** Changes kept for watchers that come back. @default 20_000 */
  readonly keepEvents?: number
  /** How often other processes' commits are looked for. @default 500 */
  readonly pollMs?: number
  /** How often expired items are removed. @default 5_000 */
  readonly sweepMs?: number
}

/** A value as JSON text. Larger ones are mistakes: resources are kilobytes. */
const valueLimit = 1 << 20
/** Writes of one commit. */
const writesLimit = 10_000
/** Changes a slow watcher may leave unread before it has to start anew. */
const watchQueueLimit = 10_000

interface Row {
  key: string
  value: string | null
  revision: number
  expires: number | null
}

/** Opens or creates the file. Throws `bad-parameter` when it is not a store or from a newer version. */
export function openSqlite(path: string, options: SqliteOptions = {}): Store {
  return new SqliteStore(path, options)
}

class SqliteStore implements Store {
  readonly #database: Database
  readonly #clock: () => number
  readonly #keepEvents: number
  readonly #watchers = new Set<SqliteWatch>()
  readonly #timers: Timer[] = []
  #delivered: number
  #dataVersion: number

  constructor(path: string, options: SqliteOptions) {
    this.#clock = options.clock ?? Date.now
    this.#keepEvents = options.keepEvents ?? 20_000
    if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    try {
      this.#database = new Database(path, { create: true, strict: true })
      if (path !== ':memory:') chmodSync(path, 0o600)
      this.#database.run('pragma journal_mode = wal')
      this.#database.run('pragma synchronous = full')
      this.#database.run('pragma busy_timeout = 5000')
      migrate(this.#database)
    } catch (cause) {
      throw badParameter(`cannot open the store ${path}: ${messageOf(cause)}`, { cause })
    }
    this.#delivered = this.#counter('revision')
    this.#dataVersion = this.#readDataVersion()
    this.#every(options.pollMs ?? 500, () => this.#noticeOthers())
    this.#every(options.sweepMs ?? 5000, () => this.#sweep())
  }

  async get(key: Key): Promise<Item | undefined> {
    const row = this.#database
      .query<Row, [string]>('select key, value, revision, expires from items where key = ?')
      .get(key)
    return row && !this.#isExpired(row) ? itemOf(row) : undefined
  }

  async list(
    prefix: Key,
    { after = '', limit = 1000 }: { after?: Key; limit?: number } = {},
  ): Promise<readonly Item[]> {
    const rows = this.#database
      .query<Row, [string, string, string, number, number]>(
        `select key, value, revision, expires from items
         where key >= ? and key < ? and key > ? and (expires is null or expires > ?) order by key limit ?`,
      )
      .all(prefix, endOf(prefix), after, this.#clock(), limit)
    return rows.map(itemOf)
  }

  async commit(conditions: readonly Condition[], writes: readonly Write[]): Promise<number> {
    if (writes.length === 0) throw new TypeError('a commit writes something')
    if (writes.length > writesLimit) throw limitExceeded(`a commit writes at most ${writesLimit} items`)
    const revision = this.#database.transaction(() => this.#write(conditions, writes)).immediate()
    this.#deliver()
    return revision
  }

  async revision(): Promise<number> {
    return this.#counter('revision')
  }

  watch(prefixes: readonly Key[], { after }: { after?: number } = {}): Watch {
    this.#deliver()
    const from = after ?? this.#delivered
    const watch = new SqliteWatch(prefixes, from, () => this.#watchers.delete(watch))
    if (from < this.#counter('compacted')) watch.fail(new WatchCompacted())
    else {
      for (const change of this.#changesAfter(from, this.#delivered)) watch.offer(change)
      this.#watchers.add(watch)
    }
    return watch
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    for (const watch of this.#watchers) watch.finish()
    this.#database.close()
  }

  #write(conditions: readonly Condition[], writes: readonly Write[]): number {
    for (const condition of conditions) if (!this.#holds(condition)) throw new CommitConflict(condition)
    const revision = this.#counter('revision') + 1
    this.#database.query('update counters set value = ? where name = ?').run(revision, 'revision')
    const put = this.#database.query(
      'insert into items (key, value, revision, expires) values (?, ?, ?, ?) on conflict (key) do update set value = excluded.value, revision = excluded.revision, expires = excluded.expires',
    )
    const event = this.#database.query(
      'insert into events (revision, position, key, value, expires, at) values (?, ?, ?, ?, ?, ?)',
    )
    for (const [position, write] of writes.entries()) {
      if ('put' in write) {
        const value = JSON.stringify(write.value)
        if (value.length > valueLimit) throw limitExceeded(`${write.put} is larger than ${valueLimit} bytes`)
        put.run(write.put, value, revision, write.expires ?? null)
        event.run(revision, position, write.put, value, write.expires ?? null, this.#clock())
      } else {
        this.#database.query('delete from items where key = ?').run(write.delete)
        event.run(revision, position, write.delete, null, null, this.#clock())
      }
    }
    this.#compact(revision)
    return revision
  }

  #holds(condition: Condition): boolean {
    const row = this.#database
      .query<Row, [string]>('select key, value, revision, expires from items where key = ?')
      .get(condition.key)
    const there = row !== null && !this.#isExpired(row)
    if ('revision' in condition) return there && row.revision === condition.revision
    return condition.is === 'present' ? there : !there
  }

  #compact(revision: number): void {
    // Not at every commit: an amount at a time.
    if (revision % 1000 !== 0) return
    const oldest = revision - this.#keepEvents
    if (oldest <= 0) return
    this.#database.query('delete from events where revision <= ?').run(oldest)
    this.#database.query('update counters set value = ? where name = ?').run(oldest, 'compacted')
  }

  #changesAfter(after: number, until: number): Change[] {
    return this.#database
      .query<Row, [number, number]>(
        'select key, value, revision, expires from events where revision > ? and revision <= ? order by revision, position',
      )
      .all(after, until)
      .map(changeOf)
  }

  /** Gives watchers what has been committed since the last time, by whomever. */
  #deliver(): void {
    const revision = this.#counter('revision')
    if (revision <= this.#delivered) return
    if (this.#watchers.size > 0) {
      for (const change of this.#changesAfter(this.#delivered, revision)) {
        for (const watch of this.#watchers) watch.offer(change)
      }
    }
    this.#delivered = revision
  }

  #noticeOthers(): void {
    const version = this.#readDataVersion()
    if (version === this.#dataVersion) return
    this.#dataVersion = version
    this.#deliver()
  }

  #sweep(): void {
    const expired = this.#database
      .query<{ key: string }, [number]>(
        'select key from items where expires is not null and expires <= ? limit 1000',
      )
      .all(this.#clock())
    if (expired.length === 0) return
    const now = this.#clock()
    this.#database
      .transaction(() => {
        // Somebody may have written it again meanwhile.
        const still = expired.filter(({ key }) => {
          const row = this.#database
            .query<Row, [string]>('select key, value, revision, expires from items where key = ?')
            .get(key)
          return row?.expires !== null && row !== null && row.expires <= now
        })
        if (still.length > 0)
          this.#write(
            [],
            still.map(({ key }) => ({ delete: key })),
          )
      })
      .immediate()
    this.#deliver()
  }

  #every(milliseconds: number, action: () => void): void {
    const timer = setInterval(() => {
      try {
        action()
      } catch (error) {
        // The next round tries again; what was acknowledged is on disk.
        log.error('store maintenance failed', { error: messageOf(error) })
      }
    }, milliseconds)
    timer.unref()
    this.#timers.push(timer)
  }

  #isExpired(row: Row): boolean {
    return row.expires !== null && row.expires <= this.#clock()
  }

  #counter(name: string): number {
    const row = this.#database
      .query<{ value: number }, [string]>('select value from counters where name = ?')
      .get(name)
    return row?.value ?? 0
  }

  #readDataVersion(): number {
    const row = this.#database.query<{ data_version: number }, []>('pragma data_version').get()
    return row?.data_version ?? 0
  }
}

function migrate(database: Database): void {
  const apply = database.transaction(() => {
    const version =
      database.query<{ user_version: number }, []>('pragma user_version').get()?.user_version ?? 0
    if (version > migrations.length) {
      throw new Error(
        `it was written by a newer version (schema ${version}, this one knows ${migrations.length})`,
      )
    }
    for (const sql of migrations.slice(version)) database.run(sql)
    database.run(`pragma user_version = ${migrations.length}`)
  })
  apply.immediate()
}

class SqliteWatch implements Watch {
  readonly after: number
  readonly #prefixes: readonly Key[]
  readonly #closed: () => void
  readonly #queue: Change[] = []
  #waiting: (() => void) | undefined
  #failure: WatchCompacted | undefined
  #finished = false

  constructor(prefixes: readonly Key[], after: number, closed: () => void) {
    this.#prefixes = prefixes
    this.after = after
    this.#closed = closed
  }

  offer(change: Change): void {
    const key = change.type === 'put' ? change.item.key : change.key
    if (this.#failure || !this.#prefixes.some((prefix) => key.startsWith(prefix))) return
    if (this.#queue.length >= watchQueueLimit) return this.fail(new WatchCompacted())
    this.#queue.push(change)
    this.#wake()
  }

  fail(failure: WatchCompacted): void {
    this.#failure = failure
    this.#queue.length = 0
    this.#closed()
    this.#wake()
  }

  finish(): void {
    this.#finished = true
    this.#wake()
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Change> {
    try {
      for (;;) {
        const change = this.#queue.shift()
        if (change) yield change
        else if (this.#failure) throw this.#failure
        else if (this.#finished) return
        else await new Promise<void>((resolve) => (this.#waiting = resolve))
      }
    } finally {
      this.#closed()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed()
    this.finish()
  }

  #wake(): void {
    this.#waiting?.()
    this.#waiting = undefined
  }
}

function itemOf(row: Row): Item {
  const item = { key: row.key, value: JSON.parse(row.value ?? 'null') as unknown, revision: row.revision }
  return row.expires === null ? item : { ...item, expires: row.expires }
}

function changeOf(row: Row): Change {
  return row.value === null
    ? { type: 'delete', key: row.key, revision: row.revision }
    : { type: 'put', item: itemOf(row) }
}

/** The first key after all that begin with `prefix`. */
function endOf(prefix: string): string {
  return `${prefix}\u{10ffff}`
}
