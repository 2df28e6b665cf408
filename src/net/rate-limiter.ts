// A token bucket per key (a client address), with a bounded number of keys.

export interface RateLimiterOptions {
  /** Calls a key may make in a row before it has to wait. */
  burst: number
  /** Calls per minute that come back. */
  perMinute: number
  /** Keys remembered at once; the one unused for longest is forgotten first. @default 10_000 */
  keys?: number
  /** @default Date.now */
  clock?: () => number
}

/** Returns whether this call of `key` may go on, and counts it when it may. */
export function createRateLimiter(options: RateLimiterOptions): (key: string) => boolean {
  const { burst, perMinute, keys = 10_000, clock = Date.now } = options
  const buckets = new Map<string, { tokens: number; at: number }>()
  return (key) => {
    const now = clock()
    const known = buckets.get(key)
    const refill = known ? ((now - known.at) / 60_000) * perMinute : 0
    const tokens = known ? Math.min(burst, known.tokens + Math.max(0, refill)) : burst
    // Deleting first keeps the map in order of last use, so that the oldest key is the first one.
    buckets.delete(key)
    buckets.set(key, { tokens: tokens >= 1 ? tokens - 1 : tokens, at: now })
    const oldest = buckets.size > keys ? buckets.keys().next() : undefined
    if (oldest && !oldest.done) buckets.delete(oldest.value)
    return tokens >= 1
  }
}
