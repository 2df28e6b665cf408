// The audit log in files: `<folder>/YYYY-MM-DD.00:00:00.log` per UTC day and a link `events.log` to the current one.
// Emitting returns when the event is in the file; emitters wait when the queue is full, and nothing is dropped.

import { constants } from 'node:fs'
import {
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { createLogger } from '../log.ts'
import { chainedLine, chainStart, hashLine } from './chain.ts'
import type { AuditEvent } from './events.ts'

const log = createLogger('audit')

/** Events waiting to be written; whoever emits more waits. */
const queueLimit = 10_000
/** Events written in one go. */
const batchLimit = 500
/** A longer line is trimmed field by field. */
const lineLimit = 64 * 1024

export interface Audit extends AsyncDisposable {
  /** Resolves when the events are stored. */
  emit(...events: readonly AuditEvent[]): Promise<void>
}

interface Waiting {
  readonly event: AuditEvent
  readonly done: () => void
  readonly failed: (error: unknown) => void
}

/** Opens the log in this folder, and mends what a crash has left of its last line. */
export async function openAuditLog(folder: string, clock: () => number = Date.now): Promise<Audit> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const previous = await recover(folder)
  return new FileAudit(folder, { clock, previous })
}

class FileAudit implements Audit {
  readonly #folder: string
  readonly #clock: () => number
  readonly #queue: Waiting[] = []
  readonly #room: (() => void)[] = []
  #previous: string
  #file: { name: string; handle: FileHandle } | undefined
  #writing: Promise<void> | undefined

  constructor(folder: string, { clock, previous }: { clock: () => number; previous: string }) {
    this.#folder = folder
    this.#clock = clock
    this.#previous = previous
  }

  async emit(...events: readonly AuditEvent[]): Promise<void> {
    await Promise.all(
      events.map(async (event) => {
        while (this.#queue.length >= queueLimit)
          await new Promise<void>((resolve) => this.#room.push(resolve))
        const stored = new Promise<void>((done, failed) => this.#queue.push({ event, done, failed }))
        this.#writing ??= this.#drain()
        await stored
      }),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#writing) await this.#writing
    await this.#file?.handle.close()
    this.#file = undefined
  }

  async #drain(): Promise<void> {
    // A turn later, so that what is emitted together is written together.
    await Promise.resolve()
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, batchLimit)
      for (const wake of this.#room.splice(0)) wake()
      try {
        await this.#write(batch.map(({ event }) => event))
        for (const { done } of batch) done()
      } catch (error) {
        log.error('audit events could not be written', { events: batch.length, error: String(error) })
        for (const { failed } of batch) failed(error)
      }
    }
    this.#writing = undefined
  }

  async #write(events: readonly AuditEvent[]): Promise<void> {
    const handle = await this.#current()
    let previous = this.#previous
    let text = ''
    for (const event of events) {
      const line = chainedLine(trimmed(event), previous)
      previous = hashLine(line)
      text += `${line}\n`
    }
    await handle.appendFile(text)
    this.#previous = previous
  }

  async #current(): Promise<FileHandle> {
    const name = `${new Date(this.#clock()).toISOString().slice(0, 10)}.00:00:00.log`
    if (this.#file?.name === name) return this.#file.handle
    await this.#file?.handle.close()
    const handle = await open(
      join(this.#folder, name),
      constants.O_APPEND | constants.O_CREAT | constants.O_WRONLY,
      0o640,
    )
    this.#file = { name, handle }
    await link(this.#folder, name)
    return handle
  }
}

/** Points `events.log` at the current file, in one step. */
async function link(folder: string, name: string): Promise<void> {
  const temporary = join(folder, `.events.log.${process.pid}`)
  await rm(temporary, { force: true })
  await symlink(name, temporary)
  await rename(temporary, join(folder, 'events.log'))
}

/** The files of the log, oldest first. */
export async function auditFiles(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder)
  return names
    .filter((name) => /^\d{4}-\d\d-\d\d\.\d\d:\d\d:\d\d\.log$/.test(name))
    .sort()
    .map((name) => join(folder, name))
}

/** The hash of the last line there is. Half a line at the end, from a crash, is put aside into a file of its own. */
async function recover(folder: string): Promise<string> {
  for (const path of [...(await auditFiles(folder))].reverse()) {
    const text = await readFile(path, 'utf8')
    const end = text.lastIndexOf('\n') + 1
    if (end < text.length) {
      log.warn('the audit log ended in the middle of a line; the rest was put aside', { file: path })
      await writeFile(`${path}.torn`, text.slice(end), { flag: 'a', mode: 0o640 })
      await truncate(path, Buffer.byteLength(text.slice(0, end)))
    }
    const last = text.slice(0, end).trimEnd()
    if (last !== '') return hashLine(last.slice(last.lastIndexOf('\n') + 1))
  }
  return chainStart
}

/** Cuts the longest texts of an event until its line is short enough, and says which. */
function trimmed(event: AuditEvent): AuditEvent {
  let size = JSON.stringify(event).length
  if (size <= lineLimit) return event
  const fields: Record<string, unknown> = { ...event }
  const cut: string[] = []
  const bySize = Object.entries(event).sort(
    ([, left], [, right]) => JSON.stringify(right)?.length - JSON.stringify(left)?.length,
  )
  for (const [name, value] of bySize) {
    if (size <= lineLimit - 1024) break
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    fields[name] = `${text.slice(0, 1024)}…`
    cut.push(name)
    size = JSON.stringify(fields).length
  }
  return { ...event, ...fields, trimmed_fields: cut }
}
