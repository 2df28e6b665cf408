import { afterAll, beforeAll, describe, expect, it } from 'bun:test'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeStore } from './conformance.ts'
import { openSqlite } from './sqlite.ts'

let folder: string
let files = 0
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'teleport-store-'))
})
afterAll(() => rm(folder, { recursive: true }))

describeStore('the SQLite store', {
  open: async (options) => openSqlite(join(folder, `store-${files++}.db`), { ...options, sweepMs: 10 }),
})

describe('the file of a SQLite store', () => {
  it('is for its owner only', async () => {
    const path = join(folder, 'deep/er/modes.db')
    await using store = openSqlite(path)
    await store.commit([], [{ put: '/a', value: 1 }])
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect((await stat(join(folder, 'deep/er'))).mode & 0o777).toBe(0o700)
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
