// The files of the audit log: one per UTC day, named so that the order of names is the order of days, and lines as
// bytes, so that a hash is of what is in the file and not of what some decoder made of it.

import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { lineLimitBytes } from './event-text.ts'

/** Bytes without a line break after which a file is taken for something else. */
const unbrokenLimit = 16 * lineLimitBytes

export function fileNameOf(time: number): string {
  return `${new Date(time).toISOString().slice(0, 10)}.00:00:00.log`
}

/** Midnight of a file's day. */
export function dayOf(fileName: string): number {
  return Date.parse(fileName.slice(0, 10))
}

/** Names of the log's files, oldest first; none when there is no such folder yet. */
export async function auditFileNames(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  })
  return names.filter((name) => /^\d{4}-\d\d-\d\d\.\d\d:\d\d:\d\d\.log$/.test(name)).sort()
}

/** Where the end of a file goes that a crash has cut in the middle of a line. */
export function tornPath(folder: string, fileName: string): string {
  return join(folder, `${fileName}.torn`)
}

export interface Line {
  readonly bytes: Buffer
  /** Of its first byte in the file. */
  readonly offset: number
  /** Whether a line break ends it; only the last can lack one. */
  readonly complete: boolean
}

/** The lines of a file from an offset on, without their line breaks. Text without end is given in pieces. */
export async function* readLines(path: string, start = 0): AsyncGenerator<Line> {
  let rest: Buffer = Buffer.alloc(0)
  let offset = start
  for await (const chunk of createReadStream(path, { start, highWaterMark: 256 * 1024 })) {
    // A stream without encoding gives buffers.
    const bytes = Buffer.concat([rest, chunk as Buffer])
    let from = 0
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
      yield { bytes: bytes.subarray(from, end), offset: offset + from, complete: true }
      from = end + 1
    }
    if (bytes.length - from > unbrokenLimit) {
      yield { bytes: bytes.subarray(from), offset: offset + from, complete: false }
      from = bytes.length
    }
    rest = bytes.subarray(from)
    offset += from
  }
  if (rest.length > 0) yield { bytes: rest, offset, complete: false }
}
