// YAML that people write: positions in every complaint, no duplicate keys, no custom tags, no alias bombs. The only
// importer of the YAML library.

import {
  type Document,
  isMap,
  isSeq,
  LineCounter,
  parseAllDocuments,
  parseDocument,
  stringify,
  type YAMLMap,
} from 'yaml'
import { badParameter } from '../errors.ts'

/** Larger files are mistakes or attacks. */
const sizeLimit = 4 << 20
const options = {
  uniqueKeys: true,
  customTags: [],
  strict: true,
  prettyErrors: false,
  version: '1.2' as const,
  merge: false,
}
const maxAliasCount = 100

/** All documents of a file, empty ones left out. `name` is for error messages. */
export function parseYamlDocuments(text: string, name: string): unknown[] {
  checkSize(text, name)
  const counter = new LineCounter()
  const documents = parseAllDocuments(text, { ...options, lineCounter: counter })
  if (!Array.isArray(documents)) return []
  return documents.map((document) => valueOf(document, { name, counter })).filter((value) => value !== null)
}

/** The one document of a file; null when it is empty. */
export function parseYaml(text: string, name: string): unknown {
  const [value = null, ...more] = parseYamlDocuments(text, name)
  if (more.length > 0)
    throw badParameter(`${name}: one YAML document was expected, there are ${more.length + 1}`)
  return value
}

export function stringifyYaml(value: unknown): string {
  return stringify(value, { lineWidth: 0, version: '1.1' })
}

/** A value together with the lines its keys stand on. */
export interface PlacedYaml {
  readonly value: unknown
  /** Line of the key at this path, counted from 1; the nearest one above when it is not there. */
  lineOf(path: readonly (string | number)[]): number
}

export function parsePlacedYaml(text: string, name: string): PlacedYaml {
  checkSize(text, name)
  const counter = new LineCounter()
  const document = parseDocument(text, { ...options, lineCounter: counter })
  const value = valueOf(document, { name, counter })
  return {
    value,
    lineOf: (path) => {
      for (let length = path.length; length > 0; length--) {
        const offset = keyOffset(document, path.slice(0, length))
        if (offset !== undefined) return counter.linePos(offset).line
      }
      return 1
    },
  }
}

function keyOffset(document: Document, path: readonly (string | number)[]): number | undefined {
  const last = path.at(-1)
  const parent: unknown = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true)
  if (isSeq(parent) && typeof last === 'number') {
    const item = parent.items[last]
    return hasRange(item) ? item.range[0] : undefined
  }
  if (!isMap(parent)) return undefined
  const pair = parent.items.find((one) => hasValue(one.key) && one.key.value === last)
  return hasRange(pair?.key) ? pair.key.range[0] : undefined
}

function hasRange(node: unknown): node is { range: [number, number, number] } {
  return typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range)
}

function hasValue(node: unknown): node is { value: unknown } {
  return typeof node === 'object' && node !== null && 'value' in node
}

function checkSize(text: string, name: string): void {
  if (text.length > sizeLimit) throw badParameter(`${name} is larger than ${sizeLimit} bytes`)
}

function valueOf(document: Document, { name, counter }: { name: string; counter: LineCounter }): unknown {
  const [error] = document.errors
  if (error) {
    const { line } = counter.linePos(error.pos[0])
    throw badParameter(`${name}: yaml: line ${line}: ${error.message.split('\n')[0] ?? ''}`)
  }
  try {
    const value: unknown = document.toJS({ maxAliasCount })
    return value ?? null
  } catch (cause) {
    throw badParameter(`${name}: yaml: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

/** A document that is changed in place: what is not touched keeps its comments and order. */
export interface EditableYaml {
  get(path: readonly string[]): unknown
  set(path: readonly string[], value: unknown): void
  /** The items of a list, each readable by `get` and `items`. */
  items(path: readonly string[]): readonly Pick<EditableYaml, 'get' | 'items'>[]
  /** Puts `{ name, ...fields }` into a list, in the place of the item of that name if there is one. */
  putNamed(path: readonly string[], name: string, fields: Readonly<Record<string, unknown>>): void
  removeNamed(path: readonly string[], remove: (name: string) => boolean): void
  text(): string
}

/** Throws when the text is not one YAML mapping. */
export function editableYaml(text: string): EditableYaml {
  const document = parseDocument(text, { ...options, version: '1.1' })
  const [error] = document.errors
  if (error) throw error
  if (!isMap(document.contents)) throw new Error('not a mapping')
  const root = document.contents
  const listAt = (path: readonly string[]): YAMLMap[] => {
    const list: unknown = root.getIn(path, true)
    return isSeq(list) ? list.items.filter((item): item is YAMLMap => isMap(item)) : []
  }
  return {
    get: (path) => root.getIn(path),
    set: (path, value) => root.setIn(path, value),
    items: (path) => listAt(path).map(reader),
    putNamed: (path, name, fields) => {
      const node = document.createNode({ ...fields, name })
      const list: unknown = root.getIn(path, true)
      if (!isSeq(list)) return root.setIn(path, document.createNode([{ ...fields, name }]))
      const index = list.items.findIndex((item) => isMap(item) && item.get('name') === name)
      if (index < 0) list.add(node)
      else list.items[index] = node
    },
    removeNamed: (path, remove) => {
      const list: unknown = root.getIn(path, true)
      if (!isSeq(list)) return
      list.items = list.items.filter((item) => {
        const name = isMap(item) ? item.get('name') : undefined
        return typeof name !== 'string' || !remove(name)
      })
    },
    text: () => document.toString({ lineWidth: 0 }),
  }
}

function reader(map: YAMLMap): Pick<EditableYaml, 'get' | 'items'> {
  return {
    get: (path) => map.getIn(path),
    items: (path) => {
      const list: unknown = map.getIn(path, true)
      return isSeq(list) ? list.items.filter((item): item is YAMLMap => isMap(item)).map(reader) : []
    },
  }
}
