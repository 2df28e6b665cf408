// A watch over kinds of resources: everything there is, `ready`, then changes. One position in the store's sequence
// joins the two, so that nothing is lost between them.

import type { WatchEvent } from '../../api/schemas.ts'
import type { KindEntry } from '../../resources/kinds.ts'
import type { Resource } from '../../resources/resource.ts'
import { type Change, type Store, WatchCompacted } from '../../store/store.ts'
import { kindPrefix, type ResourceStore, resourceOfItem, splitKey } from './resource-store.ts'

export interface WatchInput {
  readonly entries: readonly KindEntry[]
  readonly signal: AbortSignal
  /** The resource as this caller may see it. */
  readonly show: (entry: KindEntry, resource: Resource) => Resource
}

export async function* watchResources(
  { store, resources }: { store: Store; resources: ResourceStore },
  { entries, signal, show }: WatchInput,
): AsyncGenerator<WatchEvent> {
  const byKind = new Map(entries.map((entry) => [entry.kind, entry]))
  await using watch = store.watch(entries.map((entry) => kindPrefix(entry.kind)))
  const stop = () => void watch[Symbol.asyncDispose]()
  signal.addEventListener('abort', stop, { once: true })
  try {
    for (const entry of entries) {
      for (const resource of await resources.list(entry.kind)) {
        yield {
          type: 'put',
          resource: envelope(show(entry, resource)),
          revision: Number(resource.metadata.revision),
        }
      }
    }
    yield { type: 'ready', revision: watch.after }
    for await (const change of watch) {
      if (signal.aborted) return
      yield eventOf(change, { byKind, show })
    }
  } catch (error) {
    if (!(error instanceof WatchCompacted)) throw error
    yield { type: 'compacted' }
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

function eventOf(
  change: Change,
  { byKind, show }: { byKind: ReadonlyMap<string, KindEntry>; show: WatchInput['show'] },
): WatchEvent {
  if (change.type === 'delete') return { type: 'delete', ...splitKey(change.key), revision: change.revision }
  const resource = resourceOfItem(change.item)
  const entry = byKind.get(resource.kind)
  if (!entry) throw new TypeError(`nobody asked for ${resource.kind}`)
  return { type: 'put', resource: envelope(show(entry, resource)), revision: change.item.revision }
}

// The wire's schema wants a mutable copy of the labels' shape only; the value is the same.
function envelope(resource: Resource): Extract<WatchEvent, { type: 'put' }>['resource'] {
  return { ...resource, metadata: { ...resource.metadata } }
}
