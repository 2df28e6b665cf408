// Reading the audit log back: search, and the check that nobody has changed it. Files are read line by line and only
// one page of answers is kept, so that a large log needs no large memory.

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { badParameter } from '../errors.ts'
import { chainStart, claimedPrevious, hashLine } from './chain.ts'
import type { AuditEvent } from './events.ts'
import { auditFileNames, dayOf, readLines, tornPath } from './files.ts'
import { readHead } from './head.ts'

export interface AuditSearch {
  /** RFC 3339, both inclusive. */
  readonly from?: string
  readonly to?: string
  readonly types?: readonly string[]
  readonly user?: string
  /** 0 means the default. */
  readonly limit?: number
  /** `next_key` of the page before. */
  readonly start_key?: string
  readonly order?: 'asc' | 'desc'
}

const defaultLimit = 500
const maximumLimit = 10_000
/** Text of one page. */
const pageBytes = 1 << 20
const dayMs = 24 * 3600_000

/** An event and where it stands; with the same time and index, what was written first comes first. */
interface Found {
  readonly event: AuditEvent
  readonly time: number
  readonly offset: number
  readonly bytes: number
}

/** Events by day of writing, then time, then index in their session. `next_key` is empty after the last page. */
export async function searchAudit(
  folder: string,
  search: AuditSearch,
): Promise<{ events: AuditEvent[]; next_key: string }> {
  const matches = matcher(search)
  const descending = search.order === 'desc'
  const limit = Math.min(search.limit || defaultLimit, maximumLimit)
  const names = (await auditFileNames(folder)).filter((name) => mayHold(name, search))
  const start = search.start_key ? await startOf(folder, search.start_key) : undefined
  const events: AuditEvent[] = []
  let [bytes, last] = [0, '']
  for (const name of descending ? [...names].reverse() : names) {
    if (start && (descending ? name > start.name : name < start.name)) continue
    const page = new Page({ descending, limit: limit - events.length + 1 })
    for await (const found of eventsOf(join(folder, name))) {
      if (!matches(found.event, found.time)) continue
      if (start?.name === name && page.compare(found, start.found) <= 0) continue
      page.add(found)
    }
    for (const found of page.sorted()) {
      if (events.length >= limit || (bytes + found.bytes > pageBytes && events.length > 0))
        return { events, next_key: last }
      events.push(found.event)
      bytes += found.bytes
      last = `${name}/${found.offset}`
    }
  }
  return { events, next_key: '' }
}

/** The first events of many, in order, without keeping many more. */
class Page {
  readonly #descending: boolean
  readonly #limit: number
  #found: Found[] = []
  #bytes = 0

  constructor({ descending, limit }: { descending: boolean; limit: number }) {
    this.#descending = descending
    this.#limit = limit
  }

  add(found: Found): void {
    this.#found.push(found)
    this.#bytes += found.bytes
    if (this.#found.length > 2 * this.#limit || this.#bytes > 4 * pageBytes) this.#cut()
  }

  sorted(): readonly Found[] {
    this.#cut()
    return this.#found
  }

  compare(left: Found, right: Found): number {
    const ascending = left.time - right.time || left.event.ei - right.event.ei || left.offset - right.offset
    return this.#descending ? -ascending : ascending
  }

  #cut(): void {
    this.#found.sort((left, right) => this.compare(left, right))
    let [count, bytes] = [0, 0]
    for (const found of this.#found) {
      if (count >= this.#limit || bytes > pageBytes) break
      count++
      bytes += found.bytes
    }
    this.#found = this.#found.slice(0, count)
    this.#bytes = bytes
  }
}

function matcher({ from, to, types, user }: AuditSearch): (event: AuditEvent, time: number) => boolean {
  const [earliest, latest] = [timeOf('from', from), timeOf('to', to)]
  const wanted = types && types.length > 0 ? new Set(types) : undefined
  return (event, time) =>
    (earliest === undefined || time >= earliest) &&
    (latest === undefined || time <= latest) &&
    (!wanted || wanted.has(event.event)) &&
    (!user || event['user'] === user)
}

function timeOf(name: string, text: string | undefined): number | undefined {
  if (!text) return undefined
  const time = Date.parse(text)
  if (Number.isNaN(time)) throw badParameter(`${name} must be a time such as 2026-01-31T12:00:00Z`)
  return time
}

// A file's name is the day of its writing; a day of slack on both sides covers clocks, midnight, and hosts that were
// cut off for a while.
function mayHold(name: string, { from, to }: AuditSearch): boolean {
  const day = dayOf(name)
  return (!from || day + 2 * dayMs >= Date.parse(from)) && (!to || day - dayMs <= Date.parse(to))
}

async function startOf(folder: string, key: string): Promise<{ name: string; found: Found }> {
  const [name = '', offset = ''] = key.split('/')
  if ((await auditFileNames(folder)).includes(name) && /^\d{1,15}$/.test(offset)) {
    for await (const found of eventsOf(join(folder, name), Number(offset))) {
      if (found.offset === Number(offset)) return { name, found }
      break
    }
  }
  throw badParameter(`start key ${JSON.stringify(key.slice(0, 64))} is not from an earlier page`)
}

async function* eventsOf(path: string, start = 0): AsyncGenerator<Found> {
  for await (const { bytes, offset, complete } of readLines(path, start)) {
    const event = complete ? parseEvent(bytes.toString()) : undefined
    const time = event ? Date.parse(event.time) : Number.NaN
    // What is no event is for `verifyAudit` to tell of; a search goes on without it.
    if (event && !Number.isNaN(time)) yield { event, time, offset, bytes: bytes.length }
  }
}

function parseEvent(line: string): AuditEvent | undefined {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value !== 'object' || value === null) return undefined
    const {
      event,
      code,
      time,
      uid,
      ei,
      cluster_name,
      prev: _,
      ...fields
    } = { ...value } as Record<string, unknown>
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
    // Not JSON: no event.
    return undefined
  }
}

export interface AuditVerdict {
  readonly lines: number
  readonly files: number
  /** The first line that does not follow from the one before it. */
  readonly bad?: { readonly file: string; readonly line: number; readonly reason: string }
  /** Ends of files that a crash has cut in the middle of a line, and where they were put; no event was lost by it. */
  readonly torn: { readonly file: string; readonly bytes: number }[]
}

/** Checks the whole chain, up to the last line there ever was. */
export async function verifyAudit(folder: string): Promise<AuditVerdict> {
  const names = await auditFileNames(folder)
  const head = await readHead(folder)
  const torn = await tornFiles(folder, names)
  let [previous, lines, number] = [chainStart, 0, 0]
  let headSeen = head === undefined || head === chainStart
  for (const name of names) {
    const path = join(folder, name)
    number = 0
    for await (const line of readLines(path)) {
      // The server may be writing this one just now, or mends it at its next start.
      if (!line.complete && name === names.at(-1))
        return { ...verdict(), torn: [...torn, { file: path, bytes: line.bytes.length }] }
      number++
      lines++
      const claimed = line.complete ? claimedPrevious(line.bytes.toString()) : undefined
      if (claimed === undefined) return bad(path, 'it is not an audit event')
      if (claimed !== previous) return bad(path, 'the line before it was changed, removed or moved')
      previous = hashLine(line.bytes)
      if (previous === head) headSeen = true
    }
  }
  return verdict()

  function verdict(): AuditVerdict {
    if (headSeen) return { lines, files: names.length, torn }
    number++
    return bad(join(folder, names.at(-1) ?? 'events.log'), 'lines are missing from here on')
  }
  function bad(file: string, reason: string): AuditVerdict {
    return { lines, files: names.length, bad: { file, line: number, reason }, torn }
  }
}

async function tornFiles(folder: string, names: readonly string[]): Promise<AuditVerdict['torn']> {
  const found = await Promise.all(
    names.map(async (name) => {
      const file = tornPath(folder, name)
      const size = await stat(file).then(
        (one) => one.size,
        () => 0,
      )
      return { file, bytes: size }
    }),
  )
  return found.filter(({ bytes }) => bytes > 0)
}
