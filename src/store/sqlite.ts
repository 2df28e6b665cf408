// The store in one SQLite file. Each commit is one immediate transaction that writes items and events together, on
// disk before it returns (`synchronous=FULL`). Other processes may write the same file; their commits are noticed.

import { type Database, SQLiteError } from 'bun:sqlite'
import { badParameter, connectionProblem, limitExceeded, messageOf, TeleportError } from '../errors.ts'
import { createLogger } from '../log.ts'
import { openDatabase } from './sqlite-file.ts'
import { noticeWrites } from './sqlite-notice.ts'
import {
  after,
  changeOf,
  eventPageSize,
  itemOf,
  type Place,
  type Row,
  SqliteEvents,
} from './sqlite-events.ts'
import {
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
/** Expired items removed at once. */
const sweepLimit = 1000

/** Opens or creates the file. Throws `bad-parameter` when it is damaged, no store of ours, or from a newer version. */
export function openSqlite(path: string, options: SqliteOptions = {}): Store {
  return new SqliteStore(path, options)
}

class SqliteStore implements Store {
  readonly #path: string
  readonly #database: Database
  readonly #clock: () => number
  readonly #events: SqliteEvents
  readonly #watchers = new Watchers()
  readonly #maintenance = new DisposableStack()
  /** The newest revision that watchers have been told of. */
  #delivered: number

  constructor(path: string, options: SqliteOptions) {
    this.#path = path
    this.#clock = options.clock ?? Date.now
    this.#database = openDatabase(path)
    this.#events = new SqliteEvents(this.#database, {
      clock: this.#clock,
      keep: options.keepEvents ?? 20_000,
      keepMs: options.keepEventsMs ?? 24 * 3600_000,
    })
    this.#delivered = this.#events.revision()
    this.#maintenance.use(
      noticeWrites(this.#database, {
        path,
        pollMs: options.pollMs ?? 1000,
        onWritten: () => this.#deliver(),
      }),
    )
    const sweeper = setInterval(() => this.#trySweep(), options.sweepMs ?? 5000)
    sweeper.unref()
    this.#maintenance.defer(() => clearInterval(sweeper))
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
    return this.#attempt(() => this.#events.revision())
  }

  watch(prefixes: readonly Key[], options: { after?: number } = {}): Watch {
    return this.#attempt(() => {
      this.#deliver()
      const { after: from = this.#delivered } = options
      return this.#watchers.open(prefixes, {
        after: from,
        ...(from === this.#delivered ? {} : { past: this.#past(from) }),
      })
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#maintenance.disposed) return
    this.#maintenance.dispose()
    this.#watchers.end()
    this.#database.close()
  }

  /** Inside of a transaction. A deletion of what is not there is no event. */
  #write(rows: readonly NewRow[]): number {
    const revision = this.#events.revision() + 1
    const put = this.#database.query(
      `insert into items (key, value, revision, expires) values (?, ?, ?, ?) on conflict (key) do update set
       value = excluded.value, revision = excluded.revision, expires = excluded.expires`,
    )
    const remove = this.#database.query('delete from items where key = ?')
    const changed = rows.filter(({ key, value, expires }) => {
      const { changes } = value === null ? remove.run(key) : put.run(key, value, revision, expires)
      return changes > 0
    })
    this.#events.append(
      revision,
      changed.map((row, position) => ({ ...row, revision, position })),
    )
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

  #past(from: number): ReadPast {
    let place = after(from)
    const read = this.#database.transaction(() => {
      // Whoever has caught up joins the others, so these must be as far.
      this.#deliver()
      // A revision that has not been yet is one of a store whose place ours has taken.
      if (place.revision < this.#events.compacted() || place.revision > this.#delivered)
        throw new WatchCompacted()
      return this.#events.page(place, this.#delivered)
    })
    return () => {
      const page = read()
      place = page.at(-1) ?? place
      return { changes: page.map(changeOf), last: page.length < eventPageSize }
    }
  }

  /** Gives watchers what has been committed since the last time, by whomever. */
  #deliver(): void {
    if (this.#events.revision() <= this.#delivered) return
    // In one view of the database, so that what another process removes meanwhile is not missed unseen.
    this.#database.transaction(() => {
      let place: Place = after(this.#delivered)
      this.#delivered = this.#events.revision()
      if (!this.#watchers.live) return
      if (place.revision < this.#events.compacted()) return this.#watchers.fail()
      const next = () => this.#events.page(place, this.#delivered)
      for (let page = next(); page.length > 0; page = next()) {
        for (const row of page) this.#watchers.offer(changeOf(row), row.value?.length ?? 0)
        place = page.at(-1) ?? place
      }
    })()
  }

  #sweep(): void {
    this.#database
      .transaction(() => {
        const expired = this.#database
          .query<{ key: string }, [number, number]>(
            'select key from items where expires is not null and expires <= ? limit ?',
          )
          .all(this.#clock(), sweepLimit)
        if (expired.length > 0) this.#write(expired.map(({ key }) => ({ key, value: null, expires: null })))
        this.#events.compactByAge()
      })
      .immediate()
    this.#deliver()
  }

  #trySweep(): void {
    try {
      this.#sweep()
    } catch (error) {
      // The next round tries again; until then what has expired is not shown all the same.
      log.error('expired items could not be removed', { error: messageOf(error) })
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
}

type NewRow = Omit<Row, 'revision'>

function rowOf(write: Write): NewRow {
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

/** The first key after all that begin with `prefix`. */
function endOf(prefix: string): string {
  return `${prefix}\u{10ffff}`
}
