// Patterns that roles use for names: a literal, a glob with `*`, or `^…$` as a regular expression. Expressions run on
// a linear-time engine, since both the pattern and the text can be chosen by somebody with bad intentions.

import { RE2JS } from 're2js'
import { badParameter, messageOf } from '../errors.ts'

export type Matcher = (text: string) => boolean

const cacheLimit = 2000
const cache = new Map<string, Matcher>()

/** Prepares a pattern once. Throws `bad-parameter` when an expression does not compile. */
export function compilePattern(pattern: string): Matcher {
  const known = cache.get(pattern)
  if (known) return known
  const matcher = compile(pattern)
  if (cache.size >= cacheLimit) cache.clear()
  cache.set(pattern, matcher)
  return matcher
}

function compile(pattern: string): Matcher {
  if (pattern === '*') return () => true
  if (pattern.startsWith('^') && pattern.endsWith('$')) return compileExpression(pattern)
  return pattern.includes('*') ? compileGlob(pattern) : (text) => text === pattern
}

function compileExpression(pattern: string): Matcher {
  try {
    const expression = RE2JS.compile(pattern)
    return (text) => expression.matcher(text).find()
  } catch (cause) {
    throw badParameter(`${JSON.stringify(pattern)} is not a regular expression: ${messageOf(cause)}`, {
      cause,
    })
  }
}

/** Each part between stars must come after the one before it: leftmost first is enough, and linear. */
function compileGlob(pattern: string): Matcher {
  const parts = pattern.split('*')
  const first = parts[0] ?? ''
  const last = parts.at(-1) ?? ''
  const middle = parts.slice(1, -1).filter((part) => part !== '')
  return (text) => {
    if (!text.startsWith(first) || text.length < first.length + last.length || !text.endsWith(last))
      return false
    let at = first.length
    for (const part of middle) {
      const found = text.indexOf(part, at)
      if (found < 0) return false
      at = found + part.length
    }
    return at <= text.length - last.length
  }
}

/** Replaces as `regexp.replace` of a template does: no match, no value. */
export function replaceExpression(text: string, pattern: string, replacement: string): string | undefined {
  const expression = RE2JS.compile(pattern)
  const matcher = expression.matcher(text)
  return matcher.find() ? matcher.replaceAll(replacement) : undefined
}
