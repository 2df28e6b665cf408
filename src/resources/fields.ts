// Strict reading of what came from a file or a client: every field is asked for by name and type, and what was not
// asked for is an error that names its place and the nearest name that would have been right.

import { badParameter } from '../errors.ts'
import { parseDuration } from './duration.ts'

/** Longest text in a resource; kubeconfigs are the largest. */
const textLimit = 512 * 1024
const listLimit = 10_000

export class Fields {
  readonly #path: string
  readonly #values: ReadonlyMap<string, unknown>
  readonly #known = new Set<string>()

  constructor(value: unknown, path: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw badParameter(`${path || 'resource'} must be a mapping`)
    }
    this.#path = path
    this.#values = new Map(Object.entries(value))
  }

  at(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`
  }

  has(name: string): boolean {
    this.#known.add(name)
    const value = this.#values.get(name)
    return value !== undefined && value !== null
  }

  raw(name: string): unknown {
    this.#known.add(name)
    return this.#values.get(name) ?? undefined
  }

  text(name: string, fallback = ''): string {
    const value = this.raw(name)
    if (value === undefined) return fallback
    if (typeof value === 'number' || typeof value === 'boolean') return String(value)
    if (typeof value !== 'string') throw badParameter(`${this.at(name)} must be a string`)
    if (value.length > textLimit) throw badParameter(`${this.at(name)} is too long`)
    return value
  }

  optionalText(name: string): string | undefined {
    return this.has(name) ? this.text(name) : undefined
  }

  /** Booleans as YAML 1.1 writes them, quoted or not. */
  flag(name: string, fallback: boolean): boolean {
    const value = this.raw(name)
    if (value === undefined) return fallback
    if (typeof value === 'boolean') return value
    if (typeof value === 'string') {
      if (/^(yes|true|on|1)$/i.test(value)) return true
      if (/^(no|false|off|0)$/i.test(value)) return false
    }
    throw badParameter(`${this.at(name)} must be yes or no`)
  }

  count(name: string, fallback: number): number {
    const value = this.raw(name)
    if (value === undefined) return fallback
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0)
      throw badParameter(`${this.at(name)} must be a whole number`)
    return value
  }

  /** The text of a duration, checked. */
  duration(name: string, fallback: string): string {
    const value = this.raw(name)
    if (value === undefined || value === '' || value === 'never') return fallback
    if (value === 0) return '0s'
    if (typeof value !== 'string') throw badParameter(`${this.at(name)} must be a duration such as 12h`)
    parseDuration(value)
    return value
  }

  /** A list of strings; one string counts as a list of one. */
  texts(name: string): string[] {
    const value = this.raw(name)
    if (value === undefined) return []
    const list = Array.isArray(value) ? value : [value]
    if (list.length > listLimit) throw badParameter(`${this.at(name)} has too many entries`)
    return list.map((one: unknown) => {
      if (typeof one === 'number' || typeof one === 'boolean') return String(one)
      if (typeof one !== 'string') throw badParameter(`${this.at(name)} must be a list of strings`)
      return one
    })
  }

  list<Result>(name: string, parse: (fields: Fields) => Result): Result[] {
    const value = this.raw(name)
    if (value === undefined) return []
    if (!Array.isArray(value)) throw badParameter(`${this.at(name)} must be a list`)
    if (value.length > listLimit) throw badParameter(`${this.at(name)} has too many entries`)
    return value.map((one, index) => this.#nested(one, `${this.at(name)}[${index}]`, parse))
  }

  nested<Result>(name: string, parse: (fields: Fields) => Result): Result {
    return this.#nested(this.raw(name) ?? {}, this.at(name), parse)
  }

  /** A mapping from any names to lists of strings, e.g. traits and label matchers. */
  textLists(name: string): Record<string, string[]> {
    const value = this.raw(name)
    if (value === undefined) return {}
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw badParameter(`${this.at(name)} must be a mapping`)
    const fields = new Fields(value, this.at(name))
    return Object.fromEntries(
      Object.keys(value).map((key) => [safeKey(key, this.at(name)), fields.texts(key)]),
    )
  }

  /** A mapping from any names to strings. */
  textMap(name: string): Record<string, string> {
    const value = this.raw(name)
    if (value === undefined) return {}
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw badParameter(`${this.at(name)} must be a mapping`)
    const fields = new Fields(value, this.at(name))
    return Object.fromEntries(
      Object.keys(value).map((key) => [safeKey(key, this.at(name)), fields.text(key)]),
    )
  }

  /** Takes a field that this build knows of but does not act on. */
  ignore(...names: readonly string[]): void {
    for (const name of names) this.#known.add(name)
  }

  /** Throws when there is a field nobody asked for. */
  done(): void {
    for (const name of this.#values.keys()) {
      if (this.#known.has(name)) continue
      const near = nearest(name, [...this.#known])
      throw badParameter(
        `${this.at(name)} is not a known field`,
        near ? { hint: `did you mean ${near}?` } : {},
      )
    }
  }

  #nested<Result>(value: unknown, path: string, parse: (fields: Fields) => Result): Result {
    const fields = new Fields(value, path)
    const result = parse(fields)
    fields.done()
    return result
  }
}

function safeKey(key: string, path: string): string {
  if (key === '__proto__') throw badParameter(`${path} has a key that is not allowed`)
  return key
}

/** The candidate with the fewest edits, when that is few enough to be a slip. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1
  for (const candidate of candidates) {
    const distance = editDistance(word, candidate)
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance]
  }
  return best
}

function editDistance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let i = 1; i <= left.length; i++) {
    const next = [i]
    for (let j = 1; j <= right.length; j++) {
      const substituted = (row[j - 1] ?? 0) + (left[i - 1] === right[j - 1] ? 0 : 1)
      next.push(Math.min(substituted, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[right.length] ?? 0
}
