// Reads the envelope of a resource, strictly: names that could lead out of a path or forge a line are refused here,
// for every kind.

import { badParameter } from '../errors.ts'
import { Fields } from './fields.ts'
import type { Metadata, Resource } from './resource.ts'

const nameLimit = 256
const labelKey = /^[a-zA-Z/.0-9_:*-]+$/

export interface EnvelopeRules<Kind extends string> {
  readonly kind: Kind
  /** Accepted versions; the first is meant when none is given. */
  readonly versions: readonly [string, ...string[]]
  /** For a singleton, whose name need not be given. */
  readonly name?: string
  readonly badVersion?: (version: string) => string
}

export interface Envelope<Kind extends string> {
  readonly kind: Kind
  readonly version: string
  readonly metadata: Metadata
  readonly sub_kind?: string
  readonly fields: Fields
}

export function parseEnvelope<Kind extends string>(
  value: unknown,
  rules: EnvelopeRules<Kind>,
): Envelope<Kind> {
  const fields = new Fields(value, '')
  const kind = fields.text('kind')
  if (kind !== rules.kind) throw badParameter(`kind ${JSON.stringify(kind)} is not ${rules.kind}`)
  const version = fields.text('version') || rules.versions[0]
  if (!rules.versions.includes(version)) {
    throw badParameter(
      rules.badVersion?.(version) ?? `unsupported version ${JSON.stringify(version)} of ${kind}`,
    )
  }
  const subKind = fields.optionalText('sub_kind')
  const metadata = fields.nested('metadata', (inner) => parseMetadata(inner, rules.name))
  return { kind: rules.kind, version, metadata, ...(subKind ? { sub_kind: subKind } : {}), fields }
}

function parseMetadata(fields: Fields, fixedName?: string): Metadata {
  const name = fields.text('name') || (fixedName ?? '')
  checkName(name)
  const labels = fields.textMap('labels')
  for (const key of Object.keys(labels))
    if (!labelKey.test(key)) throw badParameter(`invalid label key: ${JSON.stringify(key)}`)
  const expires = fields.optionalText('expires')
  if (expires && Number.isNaN(Date.parse(expires)))
    throw badParameter('metadata.expires must be a time such as 2026-01-31T12:00:00Z')
  const description = fields.optionalText('description')
  const revision = fields.optionalText('revision')
  fields.ignore('id', 'namespace')
  return {
    name,
    ...(description ? { description } : {}),
    ...(Object.keys(labels).length > 0 ? { labels } : {}),
    ...(expires ? { expires: new Date(expires).toISOString() } : {}),
    ...(revision ? { revision } : {}),
  }
}

/** Throws when this cannot be the name of a resource. */
export function checkName(name: string): void {
  if (name === '') throw badParameter('missing parameter Name')
  const bad =
    name.length > nameLimit ||
    /[\0-\x1f\x7f/\\]/.test(name) ||
    name === '.' ||
    name === '..' ||
    name === '__proto__'
  if (bad)
    throw badParameter(`invalid name ${JSON.stringify(name.slice(0, 64))}`, {
      hint: `at most ${nameLimit} characters, without / and control characters`,
    })
}

/** Puts the parts together in the order in which they are shown. */
export function resourceOf<Kind extends string, Spec>(
  envelope: Envelope<Kind>,
  spec: Spec,
): Resource<Kind, Spec> {
  envelope.fields.ignore('status')
  envelope.fields.done()
  const { kind, sub_kind, metadata, version } = envelope
  return { kind, ...(sub_kind ? { sub_kind } : {}), metadata, spec, version }
}
