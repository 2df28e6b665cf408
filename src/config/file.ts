// The configuration file as it stands: parsed and checked against the schema, without judgement or defaults.

import { badParameter } from '../errors.ts'
import { nearest } from '../resources/fields.ts'
import { type KeyType, schema, type Section } from './schema.ts'
import { parsePlacedYaml, type PlacedYaml } from './yaml.ts'

export interface ConfigFile {
  /** For messages. */
  readonly name: string
  readonly value: Readonly<Record<string, unknown>>
  lineOf(path: readonly (string | number)[]): number
}

/** Throws `bad-parameter` that names file, line, key and the nearest known key. */
export function parseConfigFile(text: string, name: string): ConfigFile {
  const placed = parsePlacedYaml(text, name)
  const value = placed.value ?? {}
  if (typeof value !== 'object' || Array.isArray(value))
    throw badParameter(`failed parsing the config file ${name}: not a mapping`)
  check(value, schema, { name, placed, path: [] })
  return { name, value: value as Record<string, unknown>, lineOf: placed.lineOf }
}

interface Place {
  readonly name: string
  readonly placed: PlacedYaml
  readonly path: readonly string[]
}

function check(value: object, section: Section, place: Place): void {
  for (const [key, one] of Object.entries(value)) {
    const path = [...place.path, key]
    const type = Object.hasOwn(section, key) ? section[key] : undefined
    const line = place.placed.lineOf(path)
    if (type === undefined) {
      const near = nearest(key, Object.keys(section))
      throw badParameter(
        `failed parsing the config file ${place.name}: yaml: unmarshal errors: line ${line}: field ${key} not found in type config.FileConfig`,
        {
          hint: near
            ? `${path.join('.')} is not known; did you mean ${[...place.path, near].join('.')}?`
            : `${path.join('.')} is not known`,
        },
      )
    }
    if (one === null || one === undefined) continue
    const problem = typeProblem(one, type)
    if (problem)
      throw badParameter(
        `failed parsing the config file ${place.name}: line ${line}: ${path.join('.')} ${problem}`,
      )
    if (typeof type === 'object') check(one as object, type, { ...place, path })
  }
}

function typeProblem(value: unknown, type: KeyType): string | undefined {
  const scalar = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
  switch (type) {
    case 'any':
      return undefined
    case 'text':
      return scalar ? undefined : 'must be a string'
    case 'flag':
      return typeof value === 'boolean' ||
        (typeof value === 'string' && /^(yes|no|true|false|on|off)$/i.test(value))
        ? undefined
        : 'must be yes or no'
    case 'count':
      return typeof value === 'number' && Number.isInteger(value) && value >= 0
        ? undefined
        : 'must be a whole number'
    case 'texts':
      return scalar ||
        (Array.isArray(value) && value.every((one) => typeof one === 'string' || typeof one === 'number'))
        ? undefined
        : 'must be a string or a list of strings'
    default:
      return typeof value === 'object' && !Array.isArray(value) ? undefined : 'must be a mapping'
  }
}
