// Templates in role fields: text around one `{{…}}` that names a trait of the user, or computes from one. Parsed
// here; `access/traits.ts` puts the user's values in.

import { badParameter } from '../errors.ts'

export type TemplateSource =
  | { readonly type: 'trait'; readonly namespace: 'internal' | 'external'; readonly name: string }
  | { readonly type: 'email-local'; readonly of: TemplateSource }
  | {
      readonly type: 'replace'
      readonly of: TemplateSource
      readonly pattern: string
      readonly replacement: string
    }
  | { readonly type: 'match'; readonly pattern: string; readonly negated: boolean }

export interface Template {
  readonly prefix: string
  /** Absent: the whole text is `prefix`. */
  readonly source?: TemplateSource
  readonly suffix: string
}

/** Throws `bad-parameter` when the text holds braces that are not a template. */
export function parseTemplate(text: string): Template {
  const open = text.indexOf('{{')
  if (open < 0) {
    if (text.includes('}}')) throw badTemplate(text, 'no opening braces')
    return { prefix: text, suffix: '' }
  }
  const close = text.indexOf('}}', open)
  if (close < 0) throw badTemplate(text, 'no closing braces')
  const prefix = text.slice(0, open)
  const suffix = text.slice(close + 2)
  if (/\{\{|\}\}/.test(prefix + suffix)) throw badTemplate(text, 'only one template is allowed')
  const parser = new ExpressionParser(text.slice(open + 2, close))
  const source = parser.parse()
  if (!source) throw badTemplate(text, parser.problem)
  return { prefix, source, suffix }
}

/** Throws `bad-parameter`, naming the field, when the value is not a template. */
export function checkTemplate(text: string, place: string): void {
  try {
    parseTemplate(text)
  } catch (cause) {
    throw badParameter(`parsing ${place} expression: failed to parse ${JSON.stringify(text)}`, { cause })
  }
}

function badTemplate(text: string, problem: string): Error {
  return badParameter(`failed to parse ${JSON.stringify(text)}: ${problem}`)
}

const token = /\s*(?:([A-Za-z_][\w-]*)|("(?:[^"\\]|\\.)*")|([.,()[\]]))/y

class ExpressionParser {
  readonly #tokens: string[] = []
  problem = 'not an expression'
  #at = 0

  constructor(text: string) {
    const trimmed = text.trim()
    token.lastIndex = 0
    while (token.lastIndex < trimmed.length) {
      const found = token.exec(trimmed)
      if (!found) {
        this.#tokens.length = 0
        return
      }
      this.#tokens.push(found[1] ?? found[2] ?? found[3] ?? '')
    }
  }

  parse(): TemplateSource | undefined {
    const source = this.#source()
    return source && this.#at === this.#tokens.length ? source : undefined
  }

  #source(): TemplateSource | undefined {
    const head = this.#next()
    if (head === 'internal' || head === 'external') return this.#trait(head)
    if (!this.#take('.')) return undefined
    const name = `${head}.${this.#next()}`
    if (!this.#take('(')) return undefined
    const source = this.#call(name)
    return source && this.#take(')') ? source : undefined
  }

  #call(name: string): TemplateSource | undefined {
    if (name === 'email.local') {
      const of = this.#source()
      return of && { type: 'email-local', of }
    }
    if (name === 'regexp.replace') {
      const of = this.#source()
      const pattern = this.#take(',') ? this.#string() : undefined
      const replacement = this.#take(',') ? this.#string() : undefined
      if (!of || pattern === undefined || replacement === undefined) return undefined
      return { type: 'replace', of, pattern, replacement }
    }
    if (name === 'regexp.match' || name === 'regexp.not_match') {
      const pattern = this.#string()
      return pattern === undefined
        ? undefined
        : { type: 'match', pattern, negated: name === 'regexp.not_match' }
    }
    this.problem = `unsupported function: ${name}`
    return undefined
  }

  #trait(namespace: 'internal' | 'external'): TemplateSource | undefined {
    if (this.#take('.')) {
      const name = this.#next()
      return /^\w/.test(name) ? { type: 'trait', namespace, name } : undefined
    }
    if (!this.#take('[')) return undefined
    const name = this.#string()
    return name !== undefined && this.#take(']') ? { type: 'trait', namespace, name } : undefined
  }

  #string(): string | undefined {
    const text = this.#next()
    return text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, '$1') : undefined
  }

  #take(expected: string): boolean {
    if (this.#tokens[this.#at] !== expected) return false
    this.#at++
    return true
  }

  #next(): string {
    return this.#tokens[this.#at++] ?? ''
  }
}
