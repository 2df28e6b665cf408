// What has changed in a SQLite store, for watchers: written in the transaction of the commit, read in pages, and
// removed again when there are too many of them or they are too old.

import type { Database } from 'bun:sqlite'
import type { Change, Item, Key } from './store.ts'

/** A row of `items`, or of `events`, where a missing value is a deletion. */
export interface Row {
  readonly key: Key
  readonly value: string | null
  readonly revision: number
  readonly expires: number | null
}

export interface EventRow extends Row {
  readonly position: number
}

/** Between two events, or after the last. */
export interface Place {
  readonly revision: number
  readonly position: number
}

export interface EventsOptions {
  readonly clock: () => number
  readonly keep: number
  readonly keepMs: number
}

/** Events read at once. */
export const eventPageSize = 500
/** Events may be this much more or older than what is kept, so that most commits and sweeps remove nothing. */
const slack = 1 / 4

export class SqliteEvents {
  readonly #database: Database
  readonly #options: EventsOptions
  #sinceCompaction = 0

  constructor(database: Database, options: EventsOptions) {
    this.#database = database
    this.#options = options
  }

  /** The revision of the newest commit. */
  revision(): number {
    return this.#counter('revision')
  }

  /** The newest revision whose events are gone. */
  compacted(): number {
    return this.#counter('compacted')
  }

  /** Inside of the transaction of a commit. */
  append(revision: number, rows: readonly EventRow[]): void {
    const insert = this.#database.query(
      'insert into events (revision, position, at, key, expires, value) values (?, ?, ?, ?, ?, ?)',
    )
    const at = this.#options.clock()
    for (const { position, key, expires, value } of rows)
      insert.run(revision, position, at, key, expires, value)
    this.#setCounter('revision', revision)
    this.#sinceCompaction += rows.length
    if (this.#sinceCompaction > this.#options.keep * slack) this.#compactByCount()
  }

  /** A page of the events after a place, up to and with a revision. */
  page(after: Place, until: number): EventRow[] {
    return this.#database
      .query<EventRow, [number, number, number, number]>(
        `select revision, position, key, expires, value from events
         where (revision, position) > (?, ?) and revision <= ? order by revision, position limit ?`,
      )
      .all(after.revision, after.position, until, eventPageSize)
  }

  /** Inside of a transaction, now and then. */
  compactByAge(): void {
    const { clock, keepMs } = this.#options
    const now = clock()
    const oldest = this.#database
      .query<{ at: number }, []>('select at from events order by revision limit 1')
      .get()
    if (!oldest || oldest.at >= now - keepMs * (1 + slack)) return
    const newestToGo = this.#database
      .query<{ revision: number | null }, [number]>(
        'select max(revision) as revision from events where at < ?',
      )
      .get(now - keepMs)
    if (newestToGo?.revision) this.#compact(newestToGo.revision)
  }

  #compactByCount(): void {
    this.#sinceCompaction = 0
    const newestToGo = this.#database
      .query<{ revision: number }, [number]>(
        'select revision from events order by revision desc, position desc limit 1 offset ?',
      )
      .get(this.#options.keep)
    if (newestToGo) this.#compact(newestToGo.revision)
  }

  #compact(revision: number): void {
    this.#database.query('delete from events where revision <= ?').run(revision)
    this.#setCounter('compacted', revision)
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
}

/** The place after all events of a revision. */
export function after(revision: number): Place {
  return { revision, position: Number.MAX_SAFE_INTEGER }
}

export function itemOf(row: Row): Item {
  const item = { key: row.key, value: JSON.parse(row.value ?? 'null') as unknown, revision: row.revision }
  return row.expires === null ? item : { ...item, expires: row.expires }
}

export function changeOf(row: Row): Change {
  return row.value === null
    ? { type: 'delete', key: row.key, revision: row.revision }
    : { type: 'put', item: itemOf(row) }
}
