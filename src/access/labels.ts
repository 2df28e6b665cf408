// Whether a role's label matchers reach a cluster: every key must match (AND), by any of its values (OR). `'*': '*'`
// reaches everything, labels or not.

import type { Traits } from '../identity/identity.ts'
import type { LabelMatchers } from '../resources/role.ts'
import { compilePattern, type Matcher } from './patterns.ts'
import { expandTemplate, isTemplate } from './traits.ts'

export type Labels = Readonly<Record<string, string>>
export type LabelsMatcher = (labels: Labels) => boolean

/** Prepares matchers for one user. No matchers reach nothing. */
export function compileLabels(matchers: LabelMatchers, traits: Traits): LabelsMatcher {
  const keys = Object.entries(matchers)
  if (keys.length === 0) return () => false
  if (keys.length === 1 && matchers['*']?.includes('*')) return () => true
  const compiled = keys.map(([key, values]) => ({
    key,
    any: key === '*',
    matches: compileValues(values, traits),
  }))
  return (labels) =>
    compiled.every(({ key, any, matches }) => {
      if (any) return true
      const value = Object.hasOwn(labels, key) ? labels[key] : undefined
      return value !== undefined && matches.some((match) => match(value))
    })
}

function compileValues(values: readonly string[], traits: Traits): Matcher[] {
  return values.flatMap((value): Matcher[] => {
    if (!isTemplate(value)) return [compilePattern(value)]
    const literals = new Set(expandTemplate(value, traits))
    return [(text) => literals.has(text)]
  })
}
