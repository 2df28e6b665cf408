// The hash chain of the audit log. A line is the bytes between two line breaks: a JSON object whose last key, `prev`,
// is the SHA-256, in lower case hex, of the bytes of the line before it; files follow each other in the order of their
// names, and the first line of all carries 64 zeros. A line that was changed, taken out, put in or moved breaks the
// chain at the line after it. `head.ts` keeps the hash of the last line, so that the end cannot go unseen either.
//
// Whoever can rewrite every file can also make a new chain: against that, ship lines to another machine as they come.

import { createHash } from 'node:crypto'

export const chainStart = '0'.repeat(64)
/** What the chain adds to an event's own text. */
export const chainBytes = ',"prev":""'.length + chainStart.length

export function hashLine(line: string | Uint8Array): string {
  return createHash('sha256').update(line).digest('hex')
}

/** The line, without line break, of an event's JSON text, after a line with this hash. */
export function chainedLine(eventText: string, previous: string): string {
  return `${eventText.slice(0, -1)},"prev":"${previous}"}`
}

/** The hash a line says the one before it has; undefined when it is no line of the log. */
export function claimedPrevious(line: string): string | undefined {
  try {
    const value: unknown = JSON.parse(line)
    const claimed = typeof value === 'object' && value !== null && 'prev' in value ? value.prev : undefined
    return typeof claimed === 'string' ? claimed : undefined
  } catch {
    // Not JSON: that is the answer, not a failure.
    return undefined
  }
}
