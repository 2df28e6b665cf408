// The audit log in files: `<folder>/YYYY-MM-DD.00:00:00.log` per UTC day and a link `events.log` to the current one.
// Emitting returns when the event is on disk; emitters wait when the queue is full, and nothing is dropped. `read.ts`
// searches and verifies what is written here; recordings of sessions live elsewhere.

import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, rename, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf, TeleportError } from '../errors.ts'
import { createLogger } from '../log.ts'
import { metrics } from '../metrics.ts'
import { chainedLine, hashLine } from './chain.ts'
import { eventText } from './event-text.ts'
import type { AuditEvent } from './events.ts'
import { fileNameOf } from './files.ts'
import { batchLimitBytes, Head, recover } from './head.ts'

const log = createLogger('audit')

/** Text of events waiting to be written; whoever emits more waits. */
const queueLimitBytes = 16 << 20

export interface Audit extends AsyncDisposable {
  /** Resolves when the events are stored; rejects when they cannot be. */
  emit(...events: readonly AuditEvent[]): Promise<void>
}

interface Waiting {
  readonly text: string
  readonly bytes: number
  readonly stored: () => void
  readonly failed: (error: unknown) => void
}

/** Opens the log in this folder, and mends what a crash has left at its end. */
export async function openAuditLog(folder: string, clock: () => number = Date.now): Promise<Audit> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  return new FileAudit(folder, { clock, end: await recover(folder) })
}

interface CurrentFile {
  readonly name: string
  readonly handle: FileHandle
}

class FileAudit implements Audit {
  readonly #folder: string
  readonly #clock: () => number
  #queue: Waiting[] = []
  #queueBytes = 0
  readonly #room: (() => void)[] = []
  /** Undefined after a failure: what is in the file then has to be found out. */
  #end: { previous: string; newest: string } | undefined
  #file: CurrentFile | undefined
  #head: Head | undefined
  #writing: Promise<void> | undefined
  #closed = false

  constructor(
    folder: string,
    { clock, end }: { clock: () => number; end: { previous: string; newest: string } },
  ) {
    this.#folder = folder
    this.#clock = clock
    this.#end = end
  }

  async emit(...events: readonly AuditEvent[]): Promise<void> {
    const stored: Promise<void>[] = []
    for (const event of events) {
      const text = eventText(event)
      while (this.#queueBytes >= queueLimitBytes)
        await new Promise<void>((resolve) => this.#room.push(resolve))
      stored.push(this.#enqueue(text))
    }
    await Promise.all(stored)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#writing) await this.#writing
    this.#closed = true
    await this.#release()
  }

  async #enqueue(text: string): Promise<void> {
    if (this.#closed) throw new TeleportError('internal', 'the audit log is closed')
    const bytes = Buffer.byteLength(text)
    const written = new Promise<void>((stored, failed) => this.#queue.push({ text, bytes, stored, failed }))
    this.#queueBytes += bytes
    this.#writing ??= this.#drain()
    return written
  }

  async #drain(): Promise<void> {
    // A turn later, so that what is emitted together is written together.
    await Promise.resolve()
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch()
      try {
        await this.#write(batch.map(({ text }) => text))
        for (const { stored } of batch) stored()
      } catch (error) {
        metrics.auditFailures.inc(batch.length)
        log.error('audit events could not be written', { events: batch.length, error: messageOf(error) })
        await this.#forget()
        for (const { failed } of batch) failed(error)
      }
    }
    this.#writing = undefined
  }

  #takeBatch(): Waiting[] {
    let [count, total] = [0, 0]
    for (const { bytes } of this.#queue) {
      if (count > 0 && total + bytes > batchLimitBytes) break
      count++
      total += bytes
    }
    const batch = this.#queue.slice(0, count)
    this.#queue = this.#queue.slice(count)
    this.#queueBytes -= total
    for (const wake of this.#room.splice(0)) wake()
    return batch
  }

  async #write(texts: readonly string[]): Promise<void> {
    this.#end ??= await recover(this.#folder)
    const { handle, name } = await this.#current(this.#end.newest)
    this.#head ??= await Head.open(this.#folder)
    let previous = this.#end.previous
    let lines = ''
    for (const text of texts) {
      const line = chainedLine(text, previous)
      previous = hashLine(line)
      lines += `${line}\n`
    }
    await handle.appendFile(lines)
    await handle.datasync()
    this.#end = { previous, newest: name }
    await this.#head.write(previous)
  }

  async #current(newest: string): Promise<CurrentFile> {
    const today = fileNameOf(this.#clock())
    // A clock that goes back must not put new lines into files before old ones.
    const name = today > newest ? today : newest
    if (this.#file?.name === name && (await this.#file.handle.stat()).nlink > 0) return this.#file
    await this.#file?.handle.close()
    this.#file = undefined
    const flags = constants.O_APPEND | constants.O_CREAT | constants.O_WRONLY
    const handle = await open(join(this.#folder, name), flags, 0o640)
    this.#file = { name, handle }
    // Whatever the mask of this process is.
    await handle.chmod(0o640)
    await pointTo(this.#folder, name)
    return this.#file
  }

  /** After a failure the file may hold half of a batch: the next one begins as after a crash. */
  async #forget(): Promise<void> {
    this.#end = undefined
    await this.#release().catch((error: unknown) => {
      log.warn('a file of the audit log could not be closed', { error: messageOf(error) })
    })
  }

  async #release(): Promise<void> {
    const [file, head] = [this.#file, this.#head]
    this.#file = undefined
    this.#head = undefined
    await file?.handle.close()
    await head?.[Symbol.asyncDispose]()
  }
}

/** Makes `events.log` a link to the current file, in one step. */
async function pointTo(folder: string, name: string): Promise<void> {
  const temporary = join(folder, `.events.log.${process.pid}`)
  await rm(temporary, { force: true })
  await symlink(name, temporary)
  await rename(temporary, join(folder, 'events.log'))
}
