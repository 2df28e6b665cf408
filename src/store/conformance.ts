// What every store must do, as one suite: `describe` it with a way to open an empty store.

import { afterEach, beforeEach, describe, expect, it } from 'bun:test'
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
        const error: unknown = await store
          .commit([condition], [{ put: '/x', value: 1 }, { delete: '/a' }])
          .catch((one: unknown) => one)
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

    it('tells a watcher of what expires', async () => {
      const watch = store.watch(['/'])
      await put('/a', 1, now + 10)
      now += 10
      expect(await take(watch, 2)).toEqual(['put /a', 'delete /a'])
    })

    it('says so when the position of a watcher is no longer kept', async () => {
      const first = await put('/a')
      for (let round = 0; round < 2100; round++) await put('/b', round)
      await expect(take(store.watch(['/'], { after: first }), 1)).rejects.toBeInstanceOf(WatchCompacted)
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
      await expect(take(slow, 1)).rejects.toBeInstanceOf(WatchCompacted)
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

async function take(watch: AsyncIterable<Change>, count: number): Promise<string[]> {
  const seen: string[] = []
  for await (const change of watch) {
    seen.push(change.type === 'put' ? `put ${change.item.key}` : `delete ${change.key}`)
    if (seen.length === count) break
  }
  return seen
}
