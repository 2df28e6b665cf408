// Durations as Go programs write them: `1h30m`, `500ms`, `12h0m0s`.

import { badParameter } from '../errors.ts'

const units: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3600_000,
}

/** Milliseconds. Throws `bad-parameter` when the text is not a duration, or a negative one. */
export function parseDuration(text: string): number {
  if (text === '0') return 0
  if (!/^(\d+(\.\d+)?(ns|us|µs|μs|ms|s|m|h))+$/.test(text) || text.length > 64) {
    throw badParameter(`time: invalid duration ${JSON.stringify(text)}`, {
      hint: 'write a number with a unit, for example 30m, 12h or 1h30m',
    })
  }
  let total = 0
  for (const [, amount = '', unit = ''] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|μs|ms|s|m|h)/g)) {
    total += Number(amount) * (units[unit] ?? 0)
  }
  return total
}

/** Go's own form: `1h0m0s`, `1m30s`, `1.5s`, `500ms`, `0s`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds === 0) return '0s'
  if (milliseconds < 1) return `${Math.round(milliseconds * 1e6)}ns`
  if (milliseconds < 1000) return `${milliseconds}ms`
  const hours = Math.floor(milliseconds / 3600_000)
  const minutes = Math.floor((milliseconds % 3600_000) / 60_000)
  const seconds = (milliseconds % 60_000) / 1000
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`
}

/** The form in sentences for people: without units that are zero, `8h`, `1h30m`. */
export function trimDuration(text: string): string {
  return formatDuration(parseDuration(text))
    .replace(/(?<=[hm])0s$/, '')
    .replace(/(?<=h)0m$/, '')
}
