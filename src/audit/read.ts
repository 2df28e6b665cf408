// Reading the audit log back: search, and the check that nobody has changed it. Files are read line by line, so that
// a large log needs no large memory.

import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { createInterface } from 'node:readline'
import { auditFiles } from './audit.ts'
import { chainStart, claimedPrevious, hashLine } from './chain.ts'
import type { AuditEvent } from './events.ts'

export interface AuditSearch {
  /** RFC 3339, inclusive. */
  readonly from?: string
  readonly to?: string
  readonly types?: readonly string[]
  readonly user?: string
  /** 0 means the default. */
  readonly limit?: number
  /** `uid` of the last event of the page before. */
  readonly start_key?: string
  readonly order?: 'asc' | 'desc'
}

const defaultLimit = 500
/** Text of one page. */
const pageBytes = 1 << 20

/** Events in order of time. `next_key` is empty after the last page. */
export async function searchAudit(
  folder: string,
  search: AuditSearch,
): Promise<{ events: AuditEvent[]; next_key: string }> {
  const limit = search.limit || defaultLimit
  const files = await auditFiles(folder)
  const descending = search.order === 'desc'
  const events: AuditEvent[] = []
  let skipping = search.start_key ? search.start_key : ''
  let bytes = 0
  for (const path of descending ? [...files].reverse() : files) {
    if (!mayHold(path, search)) continue
    // A file is a day: going backwards, its matches are turned round.
    const found = await matches(path, search)
    for (const event of descending ? found.reverse() : found) {
      if (skipping !== '') {
        if (event.uid === skipping) skipping = ''
        continue
      }
      const size = JSON.stringify(event).length
      if (events.length >= limit || (bytes + size > pageBytes && events.length > 0))
        return { events, next_key: events.at(-1)?.uid ?? '' }
      events.push(event)
      bytes += size
    }
  }
  return { events, next_key: '' }
}

// A file's name is its day; one day of slack on both sides covers clocks and writes at midnight.
function mayHold(path: string, { from, to }: AuditSearch): boolean {
  const day = Date.parse(basename(path).slice(0, 10))
  const dayMs = 24 * 3600_000
  return (!from || day + 2 * dayMs >= Date.parse(from)) && (!to || day - dayMs <= Date.parse(to))
}

async function matches(path: string, search: AuditSearch): Promise<AuditEvent[]> {
  const found: AuditEvent[] = []
  for await (const line of lines(path)) {
    const event = parseEvent(line)
    if (event && matchesSearch(event, search)) found.push(event)
  }
  return found.sort((left, right) => left.time.localeCompare(right.time) || left.ei - right.ei)
}

function matchesSearch(event: AuditEvent, { from, to, types, user }: AuditSearch): boolean {
  const time = Date.parse(event.time)
  if (from && time < Date.parse(from)) return false
  if (to && time > Date.parse(to)) return false
  if (types && types.length > 0 && !types.includes(event.event)) return false
  return !user || event['user'] === user
}

function parseEvent(line: string): AuditEvent | undefined {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value !== 'object' || value === null) return undefined
    const { event, code, time, uid, ei, cluster_name, prev: _, ...fields } = value as Record<string, unknown>
    if (typeof event !== 'string' || typeof time !== 'string') return undefined
    return {
      ...fields,
      event,
      code: String(code),
      time,
      uid: String(uid),
      ei: Number(ei) || 0,
      cluster_name: String(cluster_name),
    }
  } catch {
    // A line that is not JSON is for `verifyAudit` to tell of; a search goes on without it.
    return undefined
  }
}

export interface AuditVerdict {
  readonly lines: number
  readonly files: number
  /** The first line that does not follow from the one before it. */
  readonly bad?: { readonly file: string; readonly line: number; readonly reason: string }
}

/** Checks the whole chain. */
export async function verifyAudit(folder: string): Promise<AuditVerdict> {
  const files = await auditFiles(folder)
  let previous = chainStart
  let count = 0
  for (const path of files) {
    let number = 0
    for await (const line of lines(path)) {
      number++
      count++
      const claimed = claimedPrevious(line)
      if (claimed !== previous) {
        const reason =
          claimed === undefined ? 'not an audit event' : 'the line before it was changed, removed or moved'
        return { lines: count, files: files.length, bad: { file: path, line: number, reason } }
      }
      previous = hashLine(line)
    }
  }
  return { lines: count, files: files.length }
}

async function* lines(path: string): AsyncGenerator<string> {
  await stat(path)
  yield* createInterface({ input: createReadStream(path, 'utf8'), crlfDelay: Number.POSITIVE_INFINITY })
}
