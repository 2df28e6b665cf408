// Notices that another process has written a SQLite store: at once by the changes of its write-ahead log and, in case
// those go unseen, by asking for the database's data version now and then.

import type { Database } from 'bun:sqlite'
import { type FSWatcher, watch } from 'node:fs'
import { messageOf } from '../errors.ts'
import { createLogger } from '../log.ts'

const log = createLogger('store')

export interface NoticeOptions {
  /** Of the database's file. */
  readonly path: string
  readonly pollMs: number
  /** Called after each commit that was not made through this connection. */
  readonly onWritten: () => void
}

export function noticeWrites(database: Database, { path, pollMs, onWritten }: NoticeOptions): Disposable {
  const read = () =>
    database.query<{ data_version: number }, []>('pragma data_version').get()?.data_version ?? 0
  let [version, ended] = [read(), false]
  const look = () => {
    if (ended) return
    try {
      const now = read()
      if (now === version) return
      onWritten()
      version = now
    } catch (error) {
      // The next look tries again.
      log.error('cannot read what another process has written to the store', { error: messageOf(error) })
    }
  }
  const file = path === ':memory:' ? undefined : watchFile(`${path}-wal`, look)
  const timer = setInterval(look, pollMs)
  timer.unref()
  return {
    [Symbol.dispose]() {
      ended = true
      clearInterval(timer)
      file?.close()
    },
  }
}

function watchFile(path: string, onChange: () => void): FSWatcher | undefined {
  try {
    return watch(path, { persistent: false }, onChange).on('error', (error) => {
      log.debug('no longer told of changes of the store file', { error: messageOf(error) })
    })
  } catch (error) {
    // The next poll sees them.
    log.debug('not told of changes of the store file', { error: messageOf(error) })
    return undefined
  }
}
