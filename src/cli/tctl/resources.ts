// `tctl get | create | rm | edit | update`: resources as files. A reference is `kind`, `kind/name` or
// `kind/sub/name`; YAML documents go in and come out, JSON output is always an array.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { childEnvironment } from '../../environment.ts'
import { alreadyExists, badParameter, isKind, notFound, type TeleportError } from '../../errors.ts'
import { findKind, type KindEntry, parseResource, requireKind } from '../../resources/kinds.ts'
import type { Resource } from '../../resources/resource.ts'
import { parseYamlDocuments } from '../../config/yaml.ts'
import { columns, json, yamlDocuments } from '../output.ts'
import type { TctlContext } from './context.ts'
import { outcomeLine } from './wording.ts'

interface Reference {
  readonly kind: KindEntry
  /** Empty: all of the kind. */
  readonly name: string
}

export interface GetInput {
  /** Comma separated references. */
  references: string
  format: 'text' | 'json' | 'yaml'
  withSecrets: boolean
}

export async function get(input: GetInput, { client, out }: TctlContext): Promise<number> {
  const references = parseReferences(input.references)
  if (references.length === 0) throw badParameter("specify resource to list, e.g. 'tctl get roles'")
  if (references.length > 1 && input.format !== 'yaml')
    throw badParameter('mixed resource types only support YAML formatting')
  const found: Resource[] = []
  for (const { kind, name } of references) {
    const options = { with_secrets: input.withSecrets }
    if (name === '' && !kind.singleton) found.push(...(await client.listResources(kind.kind, options)))
    else found.push(await client.getResource(kind.kind, kind.singleton ?? name, options))
  }
  if (input.format === 'json') out(json(found, 4))
  else if (input.format === 'yaml') out(yamlDocuments(found))
  else
    out(
      columns(
        ['Kind', 'Name', 'Labels'],
        found.map((resource) => [resource.kind, resource.metadata.name, labelsOf(resource)]),
      ),
    )
  return 0
}

export interface CreateInput {
  /** Absent or `-`: standard input. */
  file?: string
  force: boolean
  confirm: boolean
}

export async function create(input: CreateInput, context: TctlContext): Promise<number> {
  const fromStandardInput = input.file === undefined || input.file === '-'
  const text = fromStandardInput ? await context.readInput() : await readResourceFile(input.file ?? '')
  const documents = parseYamlDocuments(text, fromStandardInput ? 'standard input' : (input.file ?? ''))
  if (documents.length === 0) throw badParameter('no resources found, empty input?')
  // All are checked before the first is written, so that a mistake in the last changes nothing.
  const resources = documents.map(parseDocument)
  for (const resource of resources) {
    const { outcome } = await context.client
      .createResource(resource, { force: input.force, confirm: input.confirm })
      .catch((error: unknown) => {
        throw isKind(error, 'already-exists') ? overwritable(resource, error) : error
      })
    context.out(outcomeLine(resource.kind, resource.metadata.name, outcome))
  }
  return 0
}

function overwritable({ kind }: Resource, error: TeleportError): TeleportError {
  const advice = 'use -f or --force flag to overwrite'
  return kind === 'kube_cluster'
    ? alreadyExists(error.message, { hint: advice, cause: error })
    : alreadyExists(`${error.message}, ${advice}`, { cause: error })
}

export async function remove(input: { reference: string }, { client, out }: TctlContext): Promise<number> {
  const [reference, ...more] = parseReferences(input.reference)
  if (more.length > 0) throw badParameter('only one resource can be deleted at a time')
  if (!reference || (reference.name === '' && !reference.kind.singleton)) {
    throw badParameter('provide a full resource name to delete, for example:\n$ tctl rm cluster/east\n')
  }
  const name = reference.kind.singleton ?? reference.name
  await client.deleteResource(reference.kind.kind, name)
  out(outcomeLine(reference.kind.kind, name, 'deleted'))
  return 0
}

/** Runs an editor on a file until it ends; returns its exit code. */
export type RunEditor = (command: string, file: string) => Promise<number>

export async function edit(
  input: { reference: string },
  { client, out, env, runEditor = runShellEditor }: TctlContext & { runEditor?: RunEditor },
): Promise<number> {
  const [reference, ...others] = parseReferences(input.reference)
  if (!reference || others.length > 0 || (reference.name === '' && !reference.kind.singleton)) {
    throw badParameter("specify a resource to edit as 'type/name', for example 'role/access'")
  }
  const { kind } = reference
  const before = await client.getResource(kind.kind, kind.singleton ?? reference.name, { with_secrets: true })
  const folder = await mkdtemp(join(tmpdir(), 'teleport-edit-'))
  try {
    const file = join(folder, 'teleport-resource.yaml')
    const text = yamlDocuments([before])
    await writeFile(file, text, { mode: 0o600 })
    const editor = env['TELEPORT_EDITOR'] || env['VISUAL'] || env['EDITOR'] || 'vi'
    const code = await runEditor(editor, file)
    if (code !== 0)
      throw badParameter(
        `skipping resource update, editor did not complete successfully: exit status ${code}`,
      )
    const edited = await readFile(file, 'utf8')
    if (edited === text) {
      out('edit canceled, no changes made\n')
      return 0
    }
    const [document, ...more] = parseYamlDocuments(edited, file)
    if (document === undefined || more.length > 0)
      throw badParameter('edit canceled, exactly one resource was expected')
    const after = parseDocument(document)
    if (after.kind !== before.kind || after.metadata.name !== before.metadata.name) {
      throw badParameter('renaming resources is not supported with tctl edit')
    }
    await client.updateResource(after)
    out(outcomeLine(after.kind, after.metadata.name, 'updated'))
    return 0
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function runShellEditor(command: string, file: string): Promise<number> {
  // $EDITOR may hold arguments, so a shell splits it; the file name is never part of the script.
  const child = Bun.spawn(['sh', '-c', `${command} "$1"`, 'sh', file], {
    stdio: ['inherit', 'inherit', 'inherit'],
    env: childEnvironment(),
  })
  return child.exited
}

/** What `tctl get all` gives: everything that people write. */
const allKinds = [
  'cluster_auth_preference',
  'cluster_networking_config',
  'session_recording_config',
  'role',
  'user',
  'token',
  'kube_cluster',
  'lock',
]

function parseReferences(text: string): Reference[] {
  const references = text.split(',').filter((reference) => reference !== '')
  return references.flatMap((reference) => {
    if (reference === 'all') return allKinds.map((kind) => ({ kind: requireKind(kind), name: '' }))
    const [kindText = '', ...rest] = reference.split('/')
    const kind = findKind(kindText)
    if (!kind || rest.length > 2) {
      throw badParameter(
        `unsupported resource: ${JSON.stringify(reference)} - resources should be expressed as 'type/name', for example 'connector/github'`,
      )
    }
    const name = rest.join('/')
    if (kind.singleton && name !== '' && name !== kind.singleton) {
      throw badParameter(`only simple \`tctl get ${kindText}\` can be used`)
    }
    return { kind, name }
  })
}

function parseDocument(document: unknown): Resource {
  const kindText =
    typeof document === 'object' && document !== null && 'kind' in document ? document.kind : undefined
  if (typeof kindText !== 'string' || kindText === '') throw badParameter('missing resource kind')
  const kind = findKind(kindText)
  if (!kind) throw badParameter(`creating resources of type ${JSON.stringify(kindText)} is not supported`)
  return parseResource(document)
}

async function readResourceFile(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: unknown) => {
    throw notFound(`could not read ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  })
}

function labelsOf(resource: Resource): string {
  return Object.entries(resource.metadata.labels ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(',')
}
