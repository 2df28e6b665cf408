// The store in one SQLite file. Each commit is one immediate transaction that writes items and events together, on
// disk before it returns (`synchronous=FULL`). Other processes may write the same file: their commits are noticed by
// the file's changes and, in case those go unseen, by asking for the database's data version now and then.

import { type Database, SQLiteError } from 'bun:sqlite'
import { type FSWatcher, watch as watchFile } from 'node:fs'
import { badParameter, connectionProblem, limitExceeded, messageOf, TeleportError } from '../errors.ts'
import { createLogger } from '../log.ts'
import { openDatabase } from './sqlite-file.ts'
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
import { type ReadPast, Watchers } from './watchers.ts'

const log = createLogger('store')

export interface SqliteOptions {
  /** @default Date.now */
  readonly clock?: () => number
  /** Changes kept for watchers that come back. @default 20_000 */
  readonly keepEvents?: number
  /** How long they are kept at most. @default one day */
  readonly keepEventsMs?: number
  /** How often other processes' commits are looked for when the file has not told of any. @default 1_000 */
  readonly pollMs?: number
  /** How often expired items and old changes are removed. @default 5_000 */
  readonly sweepMs?: number
}

const keyLimitBytes = 1024
/** A value as JSON text. Larger ones are mistakes: resources are kilobytes. */
const valueLimitBytes = 1 << 20
/** Writes of one commit. */
const writesLimit = 10_000
/** Changes read at once for watchers. */
const pageSize = 500
/** Expired items removed at once. */
const sweepLimit = 1000
/** Old changes may be this much more or older than what is kept, so that most commits and sweeps remove nothing. */
const compactionSlack = 1 / 4

interface Row {
  key: string
  value: string | null
  revision: number
  expires: number | null
}

interface EventRow extends Row {
  position: number
}

/** Opens or creates the file. Throws `bad-parameter` when it is damaged, no store of ours, or from a newer version. */
export function openSqlite(path: string, options: SqliteOptions = {}): Store {
  return new SqliteStore(path, options)
}

class SqliteStore implements Store {
  readonly #path: string
  readonly #database: Database
  readonly #clock: () => number
  readonly #keepEvents: number
  readonly #keepEventsMs: number
  readonly #watchers = new Watchers()
  readonly #timers: Timer[] = []
  readonly #file: FSWatcher | undefined
  #closed = false
  /** The newest revision that watchers have been told of. */
  #delivered: number
  #dataVersion: number
  #eventsSinceCompaction = 0

  constructor(path: string, options: SqliteOptions) {
    this.#path = path
    this.#clock = options.clock ?? Date.now
    this.#keepEvents = options.keepEvents ?? 20_000
    this.#keepEventsMs = options.keepEventsMs ?? 24 * 3600_000
    this.#database = openDatabase(path)
    this.#delivered = this.#counter('revision')
    this.#dataVersion = this.#readDataVersion()
    this.#file = path === ':memory:' ? undefined : this.#watchFile(`${path}-wal`)
    this.#every(options.pollMs ?? 1000, () => this.#noticeOthers())
    this.#every(options.sweepMs ?? 5000, () => this.#sweep())
  }

  async get(key: Key): Promise<Item | undefined> {
    checkKey(key)
    return this.#attempt(() => {
      const row = this.#row(key)
      return row && itemOf(row)
    })
  }

  async list(
    prefix: Key,
    { after = '', limit = 1000 }: { after?: Key; limit?: number } = {},
  ): Promise<readonly Item[]> {
    if (!Number.isInteger(limit) || limit < 1) throw new TypeError('a page has at least one item')
    return this.#attempt(() =>
      this.#database
        .query<Row, [string, string, string, number, number]>(
          `select key, value, revision, expires from items
           where key >= ? and key < ? and key > ? and (expires is null or expires > ?) order by key limit ?`,
        )
        .all(prefix, endOf(prefix), after, this.#clock(), limit)
        .map(itemOf),
    )
  }

  async commit(conditions: readonly Condition[], writes: readonly Write[]): Promise<number> {
    if (writes.length === 0) throw new TypeError('a commit writes something')
    if (writes.length > writesLimit) throw limitExceeded(`a commit writes at most ${writesLimit} items`)
    const rows = writes.map(rowOf)
    return this.#attempt(() => {
      const revision = this.#database
        .transaction(() => {
          for (const condition of conditions) if (!this.#holds(condition)) throw new CommitConflict(condition)
          return this.#write(rows)
        })
        .immediate()
      this.#deliver()
      return revision
    })
  }

  async revision(): Promise<number> {
    return this.#attempt(() => this.#counter('revision'))
  }

  watch(prefixes: readonly Key[], { after }: { after?: number } = {}): Watch {
    return this.#attempt(() => {
      this.#deliver()
      if (after === undefined || after === this.#delivered)
        return this.#watchers.open(prefixes, { after: this.#delivered })
      return this.#watchers.open(prefixes, { after, past: this.#past(after) })
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const timer of this.#timers) clearInterval(timer)
    this.#file?.close()
    this.#watchers.end()
    this.#database.close()
  }

  /** Inside of a transaction. A deletion of what is not there is no event. */
  #write(rows: readonly Omit<Row, 'revision'>[]): number {
    const revision = this.#counter('revision') + 1
    const at = this.#clock()
    const put = this.#database.query(
      `insert into items (key, value, revision, expires) values (?, ?, ?, ?) on conflict (key) do update set
       value = excluded.value, revision = excluded.revision, expires = excluded.expires`,
    )
    const remove = this.#database.query('delete from items where key = ?')
    const event = this.#database.query(
      'insert into events (revision, position, at, key, expires, value) values (?, ?, ?, ?, ?, ?)',
    )
    for (const [position, { key, value, expires }] of rows.entries()) {
      const { changes } = value === null ? remove.run(key) : put.run(key, value, revision, expires)
      if (changes > 0) event.run(revision, position, at, key, expires, value)
    }
    this.#setCounter('revision', revision)
    this.#eventsSinceCompaction += rows.length
    if (this.#eventsSinceCompaction > this.#keepEvents * compactionSlack) this.#compactByCount()
    return revision
  }

  #holds(condition: Condition): boolean {
    const row = this.#row(condition.key)
    if ('revision' in condition) return row?.revision === condition.revision
    return (condition.is === 'present') === (row !== undefined)
  }

  /** What is there and has not expired. */
  #row(key: Key): Row | undefined {
    const row = this.#database
      .query<Row, [string, number]>(
        'select key, value, revision, expires from items where key = ? and (expires is null or expires > ?)',
      )
      .get(key, this.#clock())
    return row ?? undefined
  }

  #compactByCount(): void {
    this.#eventsSinceCompaction = 0
    const newestToGo = this.#database
      .query<{ revision: number }, [number]>(
        'select revision from events order by revision desc, position desc limit 1 offset ?',
      )
      .get(this.#keepEvents)
    if (newestToGo) this.#compact(newestToGo.revision)
  }

  #compactByAge(): void {
    const [now, keep] = [this.#clock(), this.#keepEventsMs]
    const oldest = this.#database
      .query<{ at: number }, []>('select at from events order by revision limit 1')
      .get()
    if (!oldest || oldest.at >= now - keep * (1 + compactionSlack)) return
    const newestToGo = this.#database
      .query<{ revision: number | null }, [number]>(
        'select max(revision) as revision from events where at < ?',
      )
      .get(now - keep)
    if (newestToGo?.revision) this.#compact(newestToGo.revision)
  }

  #compact(revision: number): void {
    this.#database.query('delete from events where revision <= ?').run(revision)
    this.#setCounter('compacted', revision)
  }

  #past(after: number): ReadPast {
    let place = { revision: after, position: Number.MAX_SAFE_INTEGER }
    const read = this.#database.transaction(() => {
      // Whoever has caught up joins the others, so these must be as far.
      this.#deliver()
      // A revision that has not been yet is one of a store whose place ours has taken.
      if (place.revision < this.#counter('compacted') || place.revision > this.#delivered)
        throw new WatchCompacted()
      return this.#events(place)
    })
    return () => {
      const page = read()
      place = page.at(-1) ?? place
      return { changes: page.map(changeOf), last: page.length < pageSize }
    }
  }

  /** A page of what was changed after a place, as far as watchers have been told. */
  #events(after: { revision: number; position: number }): EventRow[] {
    return this.#database
      .query<EventRow, [number, number, number, number]>(
        `select revision, position, key, expires, value from events
         where (revision, position) > (?, ?) and revision <= ? order by revision, position limit ?`,
      )
      .all(after.revision, after.position, this.#delivered, pageSize)
  }

  /** Gives watchers what has been committed since the last time, by whomever. */
  #deliver(): void {
    if (this.#counter('revision') <= this.#delivered) return
    // In one view of the database, so that what another process removes meanwhile is not missed unseen.
    this.#database.transaction(() => {
      let place = { revision: this.#delivered, position: Number.MAX_SAFE_INTEGER }
      this.#delivered = this.#counter('revision')
      if (!this.#watchers.live) return
      if (place.revision < this.#counter('compacted')) return this.#watchers.fail()
      for (let page = this.#events(place); page.length > 0; page = this.#events(place)) {
        for (const row of page) this.#watchers.offer(changeOf(row), row.value?.length ?? 0)
        place = page.at(-1) ?? place
      }
    })()
  }

  #noticeOthers(): void {
    if (this.#closed) return
    const version = this.#readDataVersion()
    if (version === this.#dataVersion) return
    this.#dataVersion = version
    this.#deliver()
  }

  #sweep(): void {
    const now = this.#clock()
    this.#database
      .transaction(() => {
        const expired = this.#database
          .query<{ key: string }, [number, number]>(
            'select key from items where expires is not null and expires <= ? limit ?',
          )
          .all(now, sweepLimit)
        if (expired.length > 0) this.#write(expired.map(({ key }) => ({ key, value: null, expires: null })))
        this.#compactByAge()
      })
      .immediate()
    this.#deliver()
  }

  #watchFile(path: string): FSWatcher | undefined {
    try {
      const watcher = watchFile(path, { persistent: false }, () => this.#maintain(() => this.#noticeOthers()))
      return watcher.on('error', (error) => {
        log.debug('no longer told of changes of the store file', { error: messageOf(error) })
      })
    } catch (error) {
      // Without it, others' commits are seen at the next poll.
      log.debug('not told of changes of the store file', { error: messageOf(error) })
      return undefined
    }
  }

  #every(milliseconds: number, action: () => void): void {
    const timer = setInterval(() => this.#maintain(action), milliseconds)
    timer.unref()
    this.#timers.push(timer)
  }

  #maintain(action: () => void): void {
    try {
      action()
    } catch (error) {
      // The next round tries again; what was acknowledged is on disk.
      log.error('store maintenance failed', { error: messageOf(error) })
    }
  }

  #attempt<Result>(action: () => Result): Result {
    try {
      return action()
    } catch (error) {
      if (!(error instanceof SQLiteError)) throw error
      if (error.code?.startsWith('SQLITE_BUSY'))
        throw connectionProblem(`the store ${this.#path} is busy: another process holds it`, { cause: error })
      throw new TeleportError('internal', `the store ${this.#path} failed: ${error.message}`, {
        cause: error,
      })
    }
  }

  #counter(name: 'revision' | 'compacted'): number {
    const row = this.#database
      .query<{ value: number }, [string]>('select value from counters where name = ?')
      .get(name)
    return row?.value ?? 0
  }

  #setCounter(name: 'revision' | 'compacted', value: number): void {
    this.#database.query('update counters set value = ? where name = ?').run(value, name)
  }

  #readDataVersion(): number {
    const row = this.#database.query<{ data_version: number }, []>('pragma data_version').get()
    return row?.data_version ?? 0
  }
}

function rowOf(write: Write): Omit<Row, 'revision'> {
  if ('delete' in write) return { key: checkKey(write.delete), value: null, expires: null }
  const { put, expires } = write
  // `undefined` and functions have no JSON text, whatever the library's types say.
  const value = JSON.stringify(write.value) as string | undefined
  if (value === undefined) throw new TypeError(`the value of ${put} is not JSON`)
  if (Buffer.byteLength(value) > valueLimitBytes)
    throw limitExceeded(`${put} is larger than ${valueLimitBytes} bytes`)
  if (expires !== undefined && !Number.isSafeInteger(expires))
    throw new TypeError(`${put} expires at ${expires}, which is no time`)
  return { key: checkKey(put), value, expires: expires ?? null }
}

// SQLite would store half a surrogate pair as another character, and so make two keys one.
function checkKey(key: Key): Key {
  if (key !== '' && key.isWellFormed() && !key.includes('\0') && Buffer.byteLength(key) <= keyLimitBytes)
    return key
  throw badParameter(`${JSON.stringify(key.slice(0, 64))} cannot be a key`)
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
