// Opens the file of a SQLite store: only for its owner, only when it is whole and of a version we know.

import { Database } from 'bun:sqlite'
import { chmodSync, closeSync, existsSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { badParameter, messageOf } from '../errors.ts'
import itemsAndEvents from './migrations/001-items-and-events.sql' with { type: 'text' }

/** In order; a store's `user_version` is how many of them it has been through. */
const migrations: readonly string[] = [itemsAndEvents]

/** Marks a file as ours: "tele". */
const applicationId = 0x74656c65
/** How long a commit waits for another process's. It blocks this process, so no process may hold the file for long. */
const busyTimeoutMs = 5000
/** The write-ahead log is cut back to this after a burst. */
const walLimitBytes = 64 << 20

/** Throws `bad-parameter`, naming the file, when it is damaged, foreign, or from a newer version. */
export function openDatabase(path: string): Database {
  try {
    if (path !== ':memory:') prepareFile(path)
    const database = new Database(path, { create: true, strict: true })
    try {
      database.run(`pragma busy_timeout = ${busyTimeoutMs}`)
      // Before anything is written, so that a file that is not ours stays as it was.
      inspect(database)
      database.run('pragma journal_mode = wal')
      database.run('pragma synchronous = full')
      database.run(`pragma journal_size_limit = ${walLimitBytes}`)
      database.transaction(() => migrate(database)).immediate()
      return database
    } catch (error) {
      database.close()
      throw error
    }
  } catch (cause) {
    throw badParameter(`cannot open the store ${path}: ${messageOf(cause)}`, { cause })
  }
}

// SQLite would make the file readable for everyone, and gives its companions the mode of the file.
function prepareFile(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  closeSync(openSync(path, 'a', 0o600))
  for (const file of [path, `${path}-wal`, `${path}-shm`]) if (existsSync(file)) chmodSync(file, 0o600)
}

function inspect(database: Database): void {
  const version = readNumber(database, 'user_version')
  const isEmpty = database.query('select 1 from sqlite_schema limit 1').get() === null
  if (!isEmpty && readNumber(database, 'application_id') !== applicationId) {
    throw new Error('it is a database of something else')
  }
  if (version > migrations.length) {
    throw new Error(
      `it was written by a newer version (schema ${version}, this version knows ${migrations.length})`,
    )
  }
  const check = database.query<{ quick_check: string }, []>('pragma quick_check(1)').get()
  if (check?.quick_check !== 'ok') throw new Error(`it is damaged: ${check?.quick_check ?? 'no answer'}`)
}

function migrate(database: Database): void {
  // Again, now that nobody else can be migrating it.
  const version = readNumber(database, 'user_version')
  if (version >= migrations.length) return
  for (const sql of migrations.slice(version)) database.run(sql)
  database.run(`pragma application_id = ${applicationId}`)
  database.run(`pragma user_version = ${migrations.length}`)
}

function readNumber(database: Database, pragma: 'user_version' | 'application_id'): number {
  return database.query<Record<string, number>, []>(`pragma ${pragma}`).get()?.[pragma] ?? 0
}
