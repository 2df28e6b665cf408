// What every store must do, as one suite: `describe` it with a way to open an empty store.

import { afterEach, beforeEach, describe, expect, it } from 'bun:test'
import fc from 'fast-check'
import { type Change, CommitConflict, type Store, WatchCompacted } from './store.ts'

export interface ConformanceOptions {
  /** Opens an empty store on this clock that keeps this many changes and sweeps expired items quickly. */
  open: (options: { clock: () => number; keepEvents: number }) => Promise<Store>
}

export function describeStore(name: string, { open }: ConformanceOptions): void {
  describe(name, () => {
    let store: Store
    let now: number
    beforeEach(async () => {
      now = 1_000_000
      store = await open({ clock: () => now, keepEvents: 1000 })
    })
    afterEach(() => store[Symbol.asyncDispose]())

    const put = (key: string, value: unknown = key, expires?: number) =>
      store.commit([], [expires === undefined ? { put: key, value } : { put: key, value, expires }])

    it('gives back what was put, with the revision of its commit', async () => {
      const revision = await put('/a', { deep: ['json', 1, null, 'ü'] })
      expect(await store.get('/a')).toEqual({ key: '/a', value: { deep: ['json', 1, null, 'ü'] }, revision })
      expect(await store.get('/b')).toBeUndefined()
      expect(await store.revision()).toBe(revision)
    })

    it('counts revisions upwards over all keys', async () => {
      const first = await put('/a')
      const second = await put('/b')
      expect(second).toBeGreaterThan(first)
    })

    it('lists by prefix in key order, in pages', async () => {
      for (const key of ['/roles/b', '/roles/a', '/rolesx', '/users/a', '/roles/a/deep']) await put(key)
      const keys = async (options?: { after?: string; limit?: number }) =>
        (await store.list('/roles/', options)).map((item) => item.key)
      expect(await keys()).toEqual(['/roles/a', '/roles/a/deep', '/roles/b'])
      expect(await keys({ limit: 2 })).toEqual(['/roles/a', '/roles/a/deep'])
      expect(await keys({ after: '/roles/a/deep' })).toEqual(['/roles/b'])
    })

    it('commits all or nothing, and names the condition that does not hold', async () => {
      const revision = await put('/a')
      const refused = async (condition: Parameters<Store['commit']>[0][number]) => {
        const error = await failure(store.commit([condition], [{ put: '/x', value: 1 }, { delete: '/a' }]))
        expect(error).toBeInstanceOf(CommitConflict)
        expect(error).toMatchObject({ condition })
      }
      await refused({ key: '/a', is: 'absent' })
      await refused({ key: '/b', is: 'present' })
      await refused({ key: '/a', revision: revision + 1 })
      await refused({ key: '/b', revision })
      expect(await store.get('/x')).toBeUndefined()
      expect(await store.get('/a')).toBeDefined()
      await store.commit(
        [
          { key: '/a', revision },
          { key: '/b', is: 'absent' },
          { key: '/a', is: 'present' },
        ],
        [{ delete: '/a' }, { put: '/b', value: 2 }],
      )
      expect(await store.get('/a')).toBeUndefined()
      expect((await store.get('/b'))?.value).toBe(2)
    })

    it('loses no update when many race for one key', async () => {
      await put('/counter', 0)
      const increment = async () => {
        for (;;) {
          const item = await store.get('/counter')
          if (!item) throw new Error('gone')
          try {
            return await store.commit(
              [{ key: '/counter', revision: item.revision }],
              [{ put: '/counter', value: Number(item.value) + 1 }],
            )
          } catch (error) {
            if (!(error instanceof CommitConflict)) throw error
          }
        }
      }
      await Promise.all(Array.from({ length: 50 }, increment))
      expect((await store.get('/counter'))?.value).toBe(50)
    })

    it('does not show what has expired, and treats it as absent', async () => {
      await put('/token', 1, now + 1000)
      expect((await store.get('/token'))?.expires).toBe(now + 1000)
      now += 1000
      expect(await store.get('/token')).toBeUndefined()
      expect(await store.list('/')).toEqual([])
      await store.commit([{ key: '/token', is: 'absent' }], [{ put: '/token', value: 2 }])
      expect((await store.get('/token'))?.value).toBe(2)
    })

    it('tells watchers of every change under their prefixes, in order, each once', async () => {
      await put('/roles/before')
      const watch = store.watch(['/roles/', '/users/'])
      await put('/roles/a', 1)
      await put('/other')
      await store.commit([], [{ put: '/users/a', value: 2 }, { delete: '/roles/a' }])
      expect(await take(watch, 3)).toEqual(['put /roles/a', 'put /users/a', 'delete /roles/a'])
      await watch[Symbol.asyncDispose]()
    })

    it('lets a watcher go on from a revision it has seen', async () => {
      const first = await put('/a')
      await put('/b')
      await put('/c')
      expect(await take(store.watch(['/'], { after: first }), 2)).toEqual(['put /b', 'put /c'])
    })

    it('hands a change to a watcher once, whatever prefixes it matches', async () => {
      const watch = store.watch(['/', '/roles/', '/roles/a'])
      const other = store.watch(['/roles/ab'])
      await put('/roles/abc')
      await put('/roles/b')
      expect(await take(watch, 2)).toEqual(['put /roles/abc', 'put /roles/b'])
      expect(await take(other, 1)).toEqual(['put /roles/abc'])
    })

    it('does not call it a change when what is deleted was not there', async () => {
      const watch = store.watch(['/'])
      await store.commit([], [{ delete: '/nothing' }])
      await put('/a')
      expect(await take(watch, 1)).toEqual(['put /a'])
    })

    it('loses and repeats nothing for a watcher that catches up while others write', async () => {
      const first = await put('/start')
      const expected: string[] = []
      for (let round = 0; round < 30; round++) {
        const keys = Array.from({ length: 25 }, (_, index) => `/${round}/${index}`)
        expected.push(...keys.map((key) => `put ${key}`))
        await store.commit(
          [],
          keys.map((key) => ({ put: key, value: 1 })),
        )
      }
      const seen: string[] = []
      for await (const change of store.watch(['/'], { after: first })) {
        seen.push(change.type === 'put' ? `put ${change.item.key}` : `delete ${change.key}`)
        if (seen.length % 250 === 0 && expected.length < 1000) {
          const key = `/late/${seen.length}`
          expected.push(`put ${key}`)
          await put(key)
        }
        if (seen.length === expected.length) break
      }
      expect(seen).toEqual(expected)
    })

    it('is, after any commits, what a map would be, and so is what its watchers make of it', async () => {
      const key = fc.constantFrom('/a', '/a/b', '/ab', '/b', '/ü')
      const write = fc.oneof(
        fc.record({ put: key, value: fc.jsonValue({ maxDepth: 1 }) }),
        fc.record({ delete: key }),
      )
      const condition = fc.record({ key, is: fc.constantFrom('absent' as const, 'present' as const) })
      const commit = fc.record({
        conditions: fc.array(condition, { maxLength: 1 }),
        writes: fc.array(write, { minLength: 1, maxLength: 4 }),
      })
      await fc.assert(
        fc.asyncProperty(fc.array(commit, { maxLength: 15 }), async (commits) => {
          const before = await store.list('/')
          const expected = new Map(before.map((item) => [item.key, item.value]))
          const start = await store.revision()
          const live = store.watch(['/'])
          for (const { conditions, writes } of commits) {
            const holds = conditions.every((one) => expected.has(one.key) === (one.is === 'present'))
            const error = await failure(store.commit(conditions, writes))
            expect(error instanceof CommitConflict).toBe(!holds)
            if (!holds) continue
            for (const one of writes)
              if ('put' in one) expected.set(one.put, JSON.parse(JSON.stringify(one.value)))
              else expected.delete(one.delete)
          }
          const end = await store.commit([], [{ put: '/end', value: await store.revision() }])
          expected.set('/end', end - 1)
          const stored = (await store.list('/')).map((item) => [item.key, item.value] as const)
          expect(new Map(stored)).toEqual(expected)
          expect(stored.map(([one]) => one)).toEqual([...expected.keys()].sort(compareBytes))
          for (const watch of [live, store.watch(['/'], { after: start })]) {
            const seen = new Map(before.map((item) => [item.key, item.value]))
            for await (const change of watch) {
              if (change.type === 'delete') seen.delete(change.key)
              else seen.set(change.item.key, change.item.value)
              if (change.type === 'put' && change.item.revision === end) break
            }
            expect(seen).toEqual(expected)
          }
        }),
        { numRuns: 40 },
      )
    })

    it('sends a watcher back to the start that has seen more than there is', async () => {
      const newest = await put('/a')
      expect(await failure(take(store.watch(['/'], { after: newest + 1 }), 1))).toBeInstanceOf(WatchCompacted)
    })

    it('ends a watch that its reader closes, even while it waits', async () => {
      const watch = store.watch(['/'])
      const all = take(watch, 100)
      await watch[Symbol.asyncDispose]()
      await put('/a')
      expect(await all).toEqual([])
    })

    it('refuses keys that could be taken for others, and values that are too large', async () => {
      for (const key of ['', '/half\ud800', '/nul\0', `/${'x'.repeat(1024)}`]) {
        expect(await failure(put(key))).toMatchObject({ kind: 'bad-parameter' })
        expect(await failure(store.get(key))).toMatchObject({ kind: 'bad-parameter' })
      }
      expect(await failure(put('/large', 'ü'.repeat(600_000)))).toMatchObject({
        kind: 'limit-exceeded',
        message: '/large is larger than 1048576 bytes',
      })
      expect(await failure(store.commit([], [{ put: '/none', value: undefined }]))).toBeInstanceOf(TypeError)
      expect(await store.list('/')).toEqual([])
    })

    it('tells a watcher of what expires', async () => {
      const watch = store.watch(['/'])
      await put('/a', 1, now + 10)
      now += 10
      expect(await take(watch, 2)).toEqual(['put /a', 'delete /a'])
    })

    it('says so when the position of a watcher is no longer kept', async () => {
      const first = await put('/a')
      for (let round = 0; round < 2100; round++) await put('/b', round)
      expect(await failure(take(store.watch(['/'], { after: first }), 1))).toBeInstanceOf(WatchCompacted)
    })

    it('cuts a watcher that does not read, and no other', async () => {
      const slow = store.watch(['/'])
      for (let round = 0; round < 11; round++) {
        await store.commit(
          [],
          Array.from({ length: 1000 }, (_, index) => ({ put: `/${index}`, value: round })),
        )
      }
      const quick = store.watch(['/'])
      await put('/last')
      expect(await take(quick, 1)).toEqual(['put /last'])
      expect(await failure(take(slow, 1))).toBeInstanceOf(WatchCompacted)
    })

    it('ends watches when it is closed', async () => {
      const watch = store.watch(['/'])
      const all = take(watch, 100)
      await store[Symbol.asyncDispose]()
      expect(await all).toEqual([])
      store = await open({ clock: () => now, keepEvents: 1000 })
    })
  })
}

function compareBytes(left: string, right: string): number {
  return Buffer.compare(Buffer.from(left), Buffer.from(right))
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  )
}

async function take(watch: AsyncIterable<Change>, count: number): Promise<string[]> {
  const seen: string[] = []
  for await (const change of watch) {
    seen.push(change.type === 'put' ? `put ${change.item.key}` : `delete ${change.key}`)
    if (seen.length === count) break
  }
  return seen
}
