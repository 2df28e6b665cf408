// The end of the audit log: a small file with the hash of the last line, and what is made of it when the log is opened
// again. A crash may leave half a line at the end of the log, or a head that is one batch behind; anything else means
// that lines are gone.

import { constants } from 'node:fs'
import { appendFile, type FileHandle, open, readFile, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { createLogger } from '../log.ts'
import { chainStart, hashLine } from './chain.ts'
import { auditFileNames, readLines, tornPath } from './files.ts'

const log = createLogger('audit')

const headName = 'chain-head'

/** Most text of events that is written before the head follows. */
export const batchLimitBytes = 1 << 20
/** A head further behind is not from a crash: the chain adds to each event less than the event itself has. */
const lookBackBytes = 2 * batchLimitBytes

/** Writes the head, always in place and in one piece. */
export class Head implements AsyncDisposable {
  readonly #file: FileHandle

  private constructor(file: FileHandle) {
    this.#file = file
  }

  static async open(folder: string): Promise<Head> {
    return new Head(await open(join(folder, headName), constants.O_CREAT | constants.O_WRONLY, 0o600))
  }

  async write(hash: string): Promise<void> {
    await this.#file.write(`${hash}\n`, 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close()
  }
}

/** Undefined when there is none, as in a copy of the log's files alone. */
export async function readHead(folder: string): Promise<string | undefined> {
  const text = await readFile(join(folder, headName), 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return ''
    throw error
  })
  return /^[0-9a-f]{64}\n/.test(text) ? text.slice(0, 64) : undefined
}

/**
 * Mends what a crash has left and gives the hash for the next line to carry. When lines are gone from the end that is
 * the hash of the last one there was, so that `verifyAudit` names the place.
 */
export async function recover(folder: string): Promise<{ previous: string; newest: string }> {
  const names = await auditFileNames(folder)
  const newest = names.at(-1) ?? ''
  if (newest !== '') await putTornAside(folder, newest)
  const last = await lastHashes(folder, names)
  const head = await readHead(folder)
  // A head that is the start of the chain says that there was no line yet: none can be missing.
  if (head === undefined || head === chainStart || last.includes(head)) {
    const previous = last.at(-1) ?? chainStart
    await using file = await Head.open(folder)
    await file.write(previous)
    return { previous, newest }
  }
  log.error('lines are missing at the end of the audit log; run tctl audit verify', { folder })
  return { previous: head, newest }
}

async function putTornAside(folder: string, name: string): Promise<void> {
  const path = join(folder, name)
  const { start } = await tail(path)
  for await (const line of readLines(path, start)) {
    if (line.complete) continue
    log.warn('the audit log ended in the middle of a line; the rest was put aside', { file: path })
    await appendFile(tornPath(folder, name), Buffer.concat([line.bytes, Buffer.from('\n')]), { mode: 0o640 })
    await truncate(path, line.offset)
    return
  }
}

/** Hashes of the last lines, the very last one at the end; of more than one file when the newest has few. */
async function lastHashes(folder: string, names: readonly string[]): Promise<readonly string[]> {
  const hashes: string[] = []
  let seenBytes = 0
  for (const name of [...names].reverse()) {
    const { start, size } = await tail(join(folder, name))
    const ofFile: string[] = []
    for await (const line of readLines(join(folder, name), start)) ofFile.push(hashLine(line.bytes))
    hashes.unshift(...ofFile)
    seenBytes += size - start
    if (seenBytes >= lookBackBytes) break
  }
  return hashes
}

/** Where the lines of a file's last part begin. */
async function tail(path: string): Promise<{ start: number; size: number }> {
  const { size } = await stat(path)
  if (size <= lookBackBytes) return { start: 0, size }
  for await (const line of readLines(path, size - lookBackBytes)) {
    // The first is most likely half a line.
    return { start: line.offset + line.bytes.length + 1, size }
  }
  return { start: size, size }
}
