// Resources in the store: `/resources/<kind>/<name>`, announcements of hosts with the host before the name. The
// revision people see is the store's own, so that an update of what has changed meanwhile cannot be written.

import { alreadyExists, compareFailed, notFound } from '../../errors.ts'
import { parseResource, requireKind } from '../../resources/kinds.ts'
import type { Resource } from '../../resources/resource.ts'
import { CommitConflict, type Condition, type Item, type Store } from '../../store/store.ts'

const root = '/resources/'

/** What names a resource among its kind: an announcement is one per host. */
function suffixOf(resource: Resource): string {
  const { kind, metadata, spec } = resource
  const host =
    kind === 'kube_server' && typeof spec === 'object' && spec !== null && 'host_id' in spec
      ? `${String(spec.host_id)}/`
      : ''
  return host + metadata.name
}

export const kindPrefix = (kind: string) => `${root}${kind}/`

/** Kind and name of a key under `/resources/`. */
export function splitKey(key: string): { kind: string; name: string } {
  const [kind = '', ...rest] = key.slice(root.length).split('/')
  return { kind, name: rest.join('/') }
}

/** An item of the store as a resource that carries its revision. Not parsed again: it was when it was written. */
export function resourceOfItem(item: Item): Resource {
  const stored = item.value as Resource
  return { ...stored, metadata: { ...stored.metadata, revision: String(item.revision) } }
}

export type PutRule = 'create' | 'replace' | 'update'

export class ResourceStore {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async find(kind: string, name: string): Promise<Resource | undefined> {
    const item = await this.#store.get(kindPrefix(kind) + name)
    return item && resourceOfItem(item)
  }

  async get(kind: string, name: string): Promise<Resource> {
    const found = await this.find(kind, name)
    if (!found) throw notFound(requireKind(kind).notFound(name))
    return found
  }

  async list(kind: string): Promise<readonly Resource[]> {
    const found: Resource[] = []
    let after: string | undefined
    for (;;) {
      const items = await this.#store.list(kindPrefix(kind), after === undefined ? {} : { after })
      found.push(...items.map(resourceOfItem))
      after = items.at(-1)?.key
      if (items.length < 1000 || after === undefined) return found
    }
  }

  /** Writes a resource: a new one, whatever is there, or exactly what was read. */
  async put(value: Resource, rule: PutRule): Promise<{ resource: Resource; outcome: 'created' | 'updated' }> {
    const resource = parseResource(value)
    const key = kindPrefix(resource.kind) + suffixOf(resource)
    const existing = await this.#store.get(key)
    const { revision, ...metadata } = resource.metadata
    const condition = this.#condition(resource, { rule, key, existing, revision })
    const expires = metadata.expires === undefined ? {} : { expires: Date.parse(metadata.expires) }
    try {
      const written = await this.#store.commit(
        [condition],
        [{ put: key, value: { ...resource, metadata }, ...expires }],
      )
      return {
        resource: { ...resource, metadata: { ...metadata, revision: String(written) } },
        outcome: existing ? 'updated' : 'created',
      }
    } catch (error) {
      if (!(error instanceof CommitConflict)) throw error
      throw compareFailed(
        `${resource.kind} ${JSON.stringify(metadata.name)} was modified by another client, retry`,
        { cause: error },
      )
    }
  }

  /** An announcement simply replaces the one before it. */
  async announce(value: Resource): Promise<void> {
    const resource = parseResource(value)
    const expires =
      resource.metadata.expires === undefined ? {} : { expires: Date.parse(resource.metadata.expires) }
    await this.#store.commit(
      [],
      [{ put: kindPrefix(resource.kind) + suffixOf(resource), value: resource, ...expires }],
    )
  }

  async delete(kind: string, name: string): Promise<void> {
    const key = kindPrefix(kind) + name
    try {
      await this.#store.commit([{ key, is: 'present' }], [{ delete: key }])
    } catch (error) {
      if (error instanceof CommitConflict) throw notFound(requireKind(kind).notFound(name), { cause: error })
      throw error
    }
  }

  #condition(
    resource: Resource,
    {
      rule,
      key,
      existing,
      revision,
    }: { rule: PutRule; key: string; existing: Item | undefined; revision: string | undefined },
  ): Condition {
    const { name } = resource.metadata
    if (rule === 'create') {
      if (existing) {
        const message =
          resource.kind === 'kube_cluster'
            ? `Kubernetes cluster ${JSON.stringify(name)} already exists`
            : `${resource.kind} ${JSON.stringify(name)} already exists`
        throw alreadyExists(message, { hint: 'use -f or --force flag to overwrite' })
      }
      return { key, is: 'absent' }
    }
    if (rule === 'update' && !existing) throw notFound(requireKind(resource.kind).notFound(name))
    if (revision !== undefined) {
      if (existing && String(existing.revision) !== revision) {
        throw compareFailed(
          `${resource.kind} ${JSON.stringify(name)} was modified by another client, retry`,
          { hint: 'revision does not match, it must be updated' },
        )
      }
      return existing ? { key, revision: existing.revision } : { key, is: 'absent' }
    }
    return existing ? { key, revision: existing.revision } : { key, is: 'absent' }
  }
}
