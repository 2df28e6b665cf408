import { Database } from 'bun:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'bun:test'
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeStore } from './conformance.ts'
import { openSqlite } from './sqlite.ts'
import { WatchCompacted } from './store.ts'

let folder: string
let files = 0
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'teleport-store-'))
})
afterAll(() => rm(folder, { recursive: true }))

describeStore('the SQLite store', {
  open: async (options) => openSqlite(join(folder, `store-${files++}.db`), { ...options, sweepMs: 10 }),
})

it('needs no poll to hear of what others commit', async () => {
  const path = join(folder, 'told.db')
  await using store = openSqlite(path, { pollMs: 600_000 })
  const watch = store.watch(['/'])
  await using other = openSqlite(path)
  await other.commit([], [{ put: '/from-elsewhere', value: 1 }])
  for await (const change of watch) {
    expect(change).toMatchObject({ item: { key: '/from-elsewhere', value: 1 } })
    break
  }
})

it('orders the commits of several writers of one file', async () => {
  const path = join(folder, 'two-writers.db')
  await using one = openSqlite(path, { pollMs: 5 })
  await using two = openSqlite(path, { pollMs: 5 })
  const watch = one.watch(['/'])
  const revisions: number[] = []
  for (let round = 0; round < 50; round++) {
    revisions.push(await (round % 3 === 0 ? one : two).commit([], [{ put: `/${round}`, value: round }]))
  }
  expect(revisions).toEqual(Array.from({ length: 50 }, (_, index) => index + 1))
  const seen: unknown[] = []
  for await (const change of watch) {
    if (change.type === 'put') seen.push(change.item.value)
    if (seen.length === 50) break
  }
  expect(seen).toEqual(Array.from({ length: 50 }, (_, index) => index))
})

describe('the file of a SQLite store', () => {
  it('is for its owner only', async () => {
    const path = join(folder, 'deep/er/modes.db')
    await using store = openSqlite(path)
    await store.commit([], [{ put: '/a', value: 1 }])
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect((await stat(join(folder, 'deep/er'))).mode & 0o777).toBe(0o700)
  })

  it('is made private again when somebody has opened it up', async () => {
    const path = join(folder, 'opened.db')
    await openSqlite(path)[Symbol.asyncDispose]()
    await chmod(path, 0o644)
    await using _store = openSqlite(path)
    for (const file of [path, `${path}-wal`, `${path}-shm`])
      expect((await stat(file)).mode & 0o777, file).toBe(0o600)
  })

  it('is refused, and left alone, when a newer version wrote it', async () => {
    const path = join(folder, 'newer.db')
    await openSqlite(path)[Symbol.asyncDispose]()
    const database = new Database(path)
    database.run('pragma user_version = 7')
    database.close()
    const before = await readFile(path)
    expect(() => openSqlite(path)).toThrow(
      `cannot open the store ${path}: it was written by a newer version (schema 7, this version knows 1)`,
    )
    expect(before.equals(await readFile(path))).toBe(true)
  })

  it("is refused when it is somebody else's database", () => {
    const path = join(folder, 'foreign.db')
    const database = new Database(path)
    database.run('create table people (name text)')
    database.close()
    expect(() => openSqlite(path)).toThrow(
      `cannot open the store ${path}: it is a database of something else`,
    )
  })

  it('is refused when it is damaged', async () => {
    const path = join(folder, 'damaged.db')
    const store = openSqlite(path)
    for (let index = 0; index < 200; index++)
      await store.commit([], [{ put: `/${index}`, value: 'x'.repeat(500) }])
    await store[Symbol.asyncDispose]()
    const bytes = await readFile(path)
    // Whole pages in the middle of the file, as a bad disk would leave them.
    bytes.fill(0xff, 8 * 4096, 20 * 4096)
    await writeFile(path, bytes)
    expect(() => openSqlite(path)).toThrow(/^cannot open the store .*damaged\.db: it is damaged: /)
  })

  it('keeps changes for a time only', async () => {
    let now = 1000
    await using store = openSqlite(join(folder, 'old.db'), {
      clock: () => now,
      keepEventsMs: 100,
      sweepMs: 5,
    })
    const first = await store.commit([], [{ put: '/a', value: 1 }])
    const second = await store.commit([], [{ put: '/b', value: 1 }])
    now = 2000
    await store.commit([], [{ put: '/c', value: 1 }])
    const seen = async (after: number) => {
      for await (const change of store.watch(['/'], { after })) return change
    }
    const compacted = async () => {
      for (;;) {
        const result = await seen(first).catch((error: unknown) => error)
        if (result instanceof WatchCompacted) return true
        await Bun.sleep(5)
      }
    }
    expect(await compacted()).toBe(true)
    expect(await seen(second)).toMatchObject({ item: { key: '/c' } })
  })

  it('is refused when it is something else', async () => {
    const path = join(folder, 'garbage.db')
    await writeFile(path, 'this is not a database, but it is long enough to look at '.repeat(100))
    expect(() => openSqlite(path)).toThrow(`cannot open the store ${path}: `)
  })

  it('may be written by another process, whose commits watchers see', async () => {
    const path = join(folder, 'shared.db')
    await using store = openSqlite(path, { pollMs: 10 })
    const watch = store.watch(['/'])
    const script = `
      const { openSqlite } = await import(${JSON.stringify(join(import.meta.dir, 'sqlite.ts'))})
      await using store = openSqlite(${JSON.stringify(path)})
      await store.commit([], [{ put: '/from-elsewhere', value: 1 }])`
    const child = Bun.spawn([process.execPath, '-e', script], {
      env: { PATH: process.env['PATH'] ?? '' },
      stderr: 'inherit',
    })
    for await (const change of watch) {
      expect(change).toMatchObject({ type: 'put', item: { key: '/from-elsewhere' } })
      break
    }
    expect(await child.exited).toBe(0)
  })

  it('holds every acknowledged commit, whole, after the process was killed', async () => {
    const path = join(folder, 'killed.db')
    const script = `
      const { openSqlite } = await import(${JSON.stringify(join(import.meta.dir, 'sqlite.ts'))})
      const store = openSqlite(${JSON.stringify(path)})
      for (let index = 0; ; index++) {
        await store.commit([], [{ put: '/a', value: index }, { put: '/b', value: index }])
        process.stdout.write(index + '\\n')
      }`
    const child = Bun.spawn([process.execPath, '-e', script], {
      env: { PATH: process.env['PATH'] ?? '' },
      stdout: 'pipe',
    })
    let seen = ''
    for await (const chunk of child.stdout) {
      seen += new TextDecoder().decode(chunk)
      if (seen.split('\n').length > 200) child.kill('SIGKILL')
    }
    const acknowledged = Number(seen.split('\n').at(-2))
    await using store = openSqlite(path)
    const [first, second] = [await store.get('/a'), await store.get('/b')]
    expect(first?.value).toBe(second?.value)
    expect(Number(first?.value)).toBeGreaterThanOrEqual(acknowledged)
  })
})
