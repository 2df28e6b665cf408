// The predicate language of `kubernetes_labels_expression`: compiled once per user, then a few calls per cluster.
// Values are strings, lists of strings and booleans; a missing label or trait is an empty one.

import { badParameter } from '../errors.ts'
import type { Traits } from '../identity/identity.ts'
import type { Labels, LabelsMatcher } from './labels.ts'
import { compilePattern } from './patterns.ts'

type Value = string | readonly string[] | boolean
type Node = (labels: Labels) => Value

export interface ExpressionUser {
  readonly username: string
  readonly roles: readonly string[]
  readonly traits: Traits
}

/** Longer expressions, and deeper ones, are mistakes or attacks. */
const lengthLimit = 4096
const depthLimit = 50

/** Throws `bad-parameter` when the text is not an expression of this language. */
export function compileExpression(text: string, user: ExpressionUser): LabelsMatcher {
  if (text.length > lengthLimit) throw badParameter('label expression is too long')
  const node = new Parser(text, user).parse()
  return (labels) => node(labels) === true
}

const token = /\s*(?:([A-Za-z_]\w*)|("(?:[^"\\]|\\.)*")|(==|!=|&&|\|\||[!.,()[\]]))/y

class Parser {
  readonly #text: string
  readonly #user: ExpressionUser
  readonly #tokens: string[] = []
  #at = 0
  #depth = 0

  constructor(text: string, user: ExpressionUser) {
    this.#text = text
    this.#user = user
    const trimmed = text.trim()
    token.lastIndex = 0
    while (token.lastIndex < trimmed.length) {
      const found = token.exec(trimmed)
      if (!found) throw this.#problem('unexpected character')
      this.#tokens.push(found[1] ?? found[2] ?? found[3] ?? '')
    }
  }

  parse(): Node {
    const node = this.#or()
    if (this.#at < this.#tokens.length) throw this.#problem(`unexpected ${this.#tokens[this.#at]}`)
    return node
  }

  #or(): Node {
    if (++this.#depth > depthLimit) throw this.#problem('nested too deeply')
    let left = this.#and()
    while (this.#take('||')) {
      const [first, second] = [left, this.#and()]
      left = (labels) => isTrue(first(labels)) || isTrue(second(labels))
    }
    this.#depth--
    return left
  }

  #and(): Node {
    let left = this.#not()
    while (this.#take('&&')) {
      const [first, second] = [left, this.#not()]
      left = (labels) => isTrue(first(labels)) && isTrue(second(labels))
    }
    return left
  }

  #not(): Node {
    let negated = false
    while (this.#take('!')) negated = !negated
    const node = this.#comparison()
    return negated ? (labels) => !isTrue(node(labels)) : node
  }

  #comparison(): Node {
    const left = this.#value()
    const operator = this.#take('==') ? '==' : this.#take('!=') ? '!=' : undefined
    if (!operator) return left
    const right = this.#value()
    return (labels) => isEqual(left(labels), right(labels)) === (operator === '==')
  }

  #value(): Node {
    if (this.#take('(')) {
      const inner = this.#or()
      this.#expect(')')
      return inner
    }
    const word = this.#next()
    if (word.startsWith('"')) {
      const text = unquote(word)
      return () => text
    }
    if (word === 'true' || word === 'false') return () => word === 'true'
    if (!/^\w/.test(word)) throw this.#problem(`unexpected ${word || 'end'}`)
    let name = word
    while (this.#take('.')) name += `.${this.#next()}`
    if (this.#take('(')) return this.#call(name)
    return this.#field(name)
  }

  #field(name: string): Node {
    const { username, roles, traits } = this.#user
    if (name === 'labels') {
      const key = this.#index()
      return (labels) => (Object.hasOwn(labels, key) ? (labels[key] ?? '') : '')
    }
    if (name === 'user.spec.traits') {
      const key = this.#index()
      const values = Object.hasOwn(traits, key) ? (traits[key] ?? []) : []
      return () => values
    }
    if (name === 'user.metadata.name') return () => username
    if (name === 'user.spec.roles') return () => roles
    throw this.#problem(`unknown name ${name}`)
  }

  #index(): string {
    this.#expect('[')
    const key = this.#next()
    this.#expect(']')
    if (!key.startsWith('"')) throw this.#problem('a key must be a string')
    return unquote(key)
  }

  #call(name: string): Node {
    const args: Node[] = []
    while (!this.#take(')')) {
      if (args.length > 0) this.#expect(',')
      args.push(this.#or())
    }
    const [first = () => [], second = () => []] = args
    switch (name) {
      case 'contains':
        return (labels) => listOf(first(labels)).includes(textOf(second(labels)))
      case 'contains_any':
        return (labels) => listOf(second(labels)).some((one) => listOf(first(labels)).includes(one))
      case 'contains_all': {
        return (labels) => {
          const wanted = listOf(second(labels))
          return wanted.length > 0 && wanted.every((one) => listOf(first(labels)).includes(one))
        }
      }
      case 'is_empty':
        return (labels) => listOf(first(labels)).length === 0
      case 'set':
        return (labels) => args.flatMap((arg) => listOf(arg(labels)))
      case 'strings.upper':
        return (labels) => listOf(first(labels)).map((one) => one.toUpperCase())
      case 'strings.lower':
        return (labels) => listOf(first(labels)).map((one) => one.toLowerCase())
      case 'email.local':
        return (labels) =>
          listOf(first(labels)).flatMap((one) =>
            one.lastIndexOf('@') > 0 ? [one.slice(0, one.lastIndexOf('@'))] : [],
          )
      case 'regexp.match':
        return (labels) => listOf(first(labels)).some(compilePattern(textOf(second(labels))))
      case 'labels_matching':
        return (labels) =>
          Object.entries(labels).flatMap(([key, value]) =>
            compilePattern(textOf(first(labels)))(key) ? [value] : [],
          )
      default:
        throw this.#problem(`unsupported function ${name}`)
    }
  }

  #take(expected: string): boolean {
    if (this.#tokens[this.#at] !== expected) return false
    this.#at++
    return true
  }

  #expect(expected: string): void {
    if (!this.#take(expected)) throw this.#problem(`expected ${expected}`)
  }

  #next(): string {
    return this.#tokens[this.#at++] ?? ''
  }

  #problem(text: string): Error {
    return badParameter(`failed to parse label expression ${JSON.stringify(this.#text)}: ${text}`)
  }
}

function unquote(text: string): string {
  return text.slice(1, -1).replace(/\\(.)/g, '$1')
}

const isTrue = (value: Value) => value === true

/** A text counts as a list of one; an empty one as none. */
function listOf(value: Value): readonly string[] {
  if (typeof value === 'string') return value === '' ? [] : [value]
  return typeof value === 'boolean' ? [] : value
}

function textOf(value: Value): string {
  return typeof value === 'string' ? value : (listOf(value)[0] ?? '')
}

function isEqual(left: Value, right: Value): boolean {
  if (typeof left === 'boolean' || typeof right === 'boolean') return left === right
  const [first, second] = [listOf(left), listOf(right)]
  return first.length === second.length && first.every((one, index) => one === second[index])
}
