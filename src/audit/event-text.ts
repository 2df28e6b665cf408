// An event as the text of its line. No line is longer than 64 KiB: what is too long is trimmed field by field, and
// the line says which fields those are.

import { chainBytes } from './chain.ts'
import type { AuditEvent } from './events.ts'

/** With the chain's part, without the line break. */
export const lineLimitBytes = 64 * 1024
/** What is left of a field that is trimmed, in characters. */
const trimmedLength = 1024

const commonFields = new Set(['event', 'code', 'time', 'uid', 'ei', 'cluster_name'])

/** A JSON object of at least one field. */
export function eventText(event: AuditEvent): string {
  // The chain's own; a host that sends one cannot choose it.
  const { prev: _, ...fields } = event
  const whole = JSON.stringify(fields)
  return fits(whole) ? whole : trimmed(fields)
}

function trimmed(fields: Record<string, unknown>): string {
  const left = { ...fields }
  const cut: string[] = []
  let excess = excessOf({ ...fields, trimmed_fields: cut })
  for (const { name, text, bytes } of longFields(fields)) {
    if (excess <= 0) break
    const short = `${text.slice(0, trimmedLength)}…`
    left[name] = short
    cut.push(name)
    excess -= bytes - bytesOf(short) - bytesOf(name) - 1
  }
  const whole = JSON.stringify({ ...left, trimmed_fields: cut })
  if (fits(whole)) return whole
  // Thousands of small fields: no event of ours, but what it was is still told.
  const common = Object.fromEntries(Object.entries(fields).filter(([name]) => commonFields.has(name)))
  return JSON.stringify({ ...common, trimmed_fields: ['all others'] })
}

/** Fields that can be trimmed, the largest first. */
function longFields(fields: Record<string, unknown>): { name: string; text: string; bytes: number }[] {
  return Object.entries(fields)
    .filter(([name, value]) => !commonFields.has(name) && value !== undefined)
    .map(([name, value]) => ({
      name,
      text: typeof value === 'string' ? value : JSON.stringify(value),
      bytes: bytesOf(value),
    }))
    .filter(({ text }) => text.length > trimmedLength)
    .sort((left, right) => right.bytes - left.bytes)
}

function bytesOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value))
}

function excessOf(value: unknown): number {
  return bytesOf(value) + chainBytes - lineLimitBytes
}

function fits(text: string): boolean {
  return Buffer.byteLength(text) + chainBytes <= lineLimitBytes
}
