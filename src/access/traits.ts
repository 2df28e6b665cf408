// Puts a user's traits into the templates of a role. A trait's value is data: whatever it looks like, it never
// becomes a pattern or another template.

import { parseTemplate, type TemplateSource } from '../resources/template.ts'
import type { Traits } from '../identity/identity.ts'
import { replaceExpression } from './patterns.ts'

/** The values a field gives for this user; none when its template finds nothing. Values with line breaks are dropped. */
export function expandTemplate(text: string, traits: Traits): readonly string[] {
  const { prefix, source, suffix } = parseTemplate(text)
  if (!source) return [text]
  return valuesOf(source, traits)
    .filter((value) => value !== '' && !/[\0\r\n]/.test(value))
    .map((value) => prefix + value + suffix)
}

export function expandAll(texts: readonly string[], traits: Traits): readonly string[] {
  return [...new Set(texts.flatMap((text) => expandTemplate(text, traits)))]
}

/** Whether a field holds a template, so that its values are literals. */
export function isTemplate(text: string): boolean {
  return text.includes('{{')
}

function valuesOf(source: TemplateSource, traits: Traits): readonly string[] {
  switch (source.type) {
    case 'trait':
      // Own properties only: a trait called `constructor` is not one that every object has.
      return Object.hasOwn(traits, source.name) ? (traits[source.name] ?? []) : []
    case 'email-local':
      return valuesOf(source.of, traits).flatMap((value) => {
        const at = value.lastIndexOf('@')
        return at > 0 ? [value.slice(0, at).replace(/^.*</, '')] : []
      })
    case 'replace':
      return valuesOf(source.of, traits).flatMap(
        (value) => replaceExpression(value, source.pattern, source.replacement) ?? [],
      )
    case 'match':
      return []
  }
}
