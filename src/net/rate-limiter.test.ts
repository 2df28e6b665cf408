import { describe, expect, it } from 'bun:test'
import { createRateLimiter } from './rate-limiter.ts'

describe('createRateLimiter', () => {
  it('allows a burst, then refuses, then gives back one call per interval', () => {
    let now = 0
    const allow = createRateLimiter({ burst: 3, perMinute: 60, clock: () => now })
    expect([allow('a'), allow('a'), allow('a'), allow('a')]).toEqual([true, true, true, false])
    now += 1000
    expect([allow('a'), allow('a')]).toEqual([true, false])
  })

  it('keeps keys apart', () => {
    const allow = createRateLimiter({ burst: 1, perMinute: 1, clock: () => 0 })
    expect([allow('a'), allow('b'), allow('a')]).toEqual([true, true, false])
  })

  it('gives nothing back when the clock steps backwards', () => {
    let now = 100_000
    const allow = createRateLimiter({ burst: 1, perMinute: 60, clock: () => now })
    expect(allow('a')).toBe(true)
    now = 0
    expect(allow('a')).toBe(false)
  })

  it('forgets the key unused for longest when there are too many', () => {
    const allow = createRateLimiter({ burst: 1, perMinute: 1, keys: 2, clock: () => 0 })
    allow('a')
    allow('b')
    allow('a')
    allow('c')
    expect(allow('a')).toBe(false)
    expect(allow('b')).toBe(true)
  })
})
