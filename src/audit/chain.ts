// The hash chain of the audit log: each line carries, as its last key `prev`, the SHA-256 of the line before it
// (its bytes without the line break; the first line of all carries 64 zeros). A line that was changed, taken out or
// moved breaks the chain at the line after it.

import { createHash } from 'node:crypto'

export const chainStart = '0'.repeat(64)

export function hashLine(line: string): string {
  return createHash('sha256').update(line).digest('hex')
}

/** The line for an event, without line break, that follows a line with this hash. */
export function chainedLine(event: Readonly<Record<string, unknown>>, previous: string): string {
  const { prev: _, ...fields } = event
  return JSON.stringify({ ...fields, prev: previous })
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
