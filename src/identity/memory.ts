// A map that forgets: what was remembered first goes when the whole is larger than its limit.

export interface Memory<Value> {
  get(key: string): Value | undefined
  /** Returns the value. One that is larger than the whole limit is not kept. */
  set(key: string, entry: { value: Value; bytes: number }): Value
}

export function createMemory<Value>(limitBytes: number): Memory<Value> {
  // A map keeps the order of its insertions: the first one is the oldest.
  const entries = new Map<string, { value: Value; bytes: number }>()
  let total = 0

  function forget(key: string): void {
    total -= entries.get(key)?.bytes ?? 0
    entries.delete(key)
  }

  return {
    get: (key) => entries.get(key)?.value,
    set(key, entry) {
      forget(key)
      entries.set(key, entry)
      total += entry.bytes
      for (const oldest of entries.keys()) {
        if (total <= limitBytes) break
        forget(oldest)
      }
      return entry.value
    },
  }
}
