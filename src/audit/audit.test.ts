import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'bun:test'
import { appendFile, mkdtemp, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openAuditLog } from './audit.ts'
import { type AuditEvent, userLogin } from './events.ts'
import { searchAudit, verifyAudit } from './read.ts'

let parent: string
let folder: string
let folders = 0
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'teleport-audit-'))
})
afterAll(() => rm(parent, { recursive: true }))
beforeEach(() => {
  folder = join(parent, `log-${folders++}`)
})

const noon = Date.parse('2026-03-01T12:00:00Z')
const day = 24 * 3600_000
const event = (user: string, at = noon): AuditEvent => ({
  ...userLogin({ cluster: 'root', user }, { method: 'local' }),
  time: new Date(at).toISOString(),
})

async function write(users: readonly string[], clock = noon): Promise<void> {
  await using audit = await openAuditLog(folder, () => clock)
  for (const user of users) await audit.emit(event(user, clock))
}

describe('the audit log', () => {
  it('writes JSON lines into a file per day, with a link to the current one', async () => {
    await write(['alice'])
    await write(['bob'], noon + day)
    expect(await readlink(join(folder, 'events.log'))).toBe('2026-03-02.00:00:00.log')
    const [line = ''] = (await readFile(join(folder, '2026-03-01.00:00:00.log'), 'utf8')).split('\n')
    expect(JSON.parse(line)).toMatchObject({
      event: 'user.login',
      code: 'T1000I',
      user: 'alice',
      cluster_name: 'root',
      success: true,
    })
    expect((await stat(folder)).mode & 0o777).toBe(0o700)
    expect((await stat(join(folder, 'events.log'))).mode & 0o777).toBe(0o640)
    expect(await verifyAudit(folder)).toEqual({ lines: 2, files: 2 })
  })

  it('loses nothing of many events at once, and keeps one chain over restarts', async () => {
    await using audit = await openAuditLog(folder, () => noon)
    await Promise.all(
      Array.from({ length: 25 }, () =>
        audit.emit(...Array.from({ length: 1000 }, (_, index) => event(`user-${index}`))),
      ),
    )
    await write(['after'])
    expect(await verifyAudit(folder)).toEqual({ lines: 25_001, files: 1 })
  })

  it('puts half a line that a crash has left aside, and goes on', async () => {
    await write(['alice', 'bob'])
    const path = join(folder, '2026-03-01.00:00:00.log')
    await appendFile(path, '{"event":"user.lo')
    await write(['carol'])
    expect(await verifyAudit(folder)).toEqual({ lines: 3, files: 1 })
    expect(await readFile(`${path}.torn`, 'utf8')).toBe('{"event":"user.lo')
  })

  it('trims an event over 64 KiB and says which fields', async () => {
    await using audit = await openAuditLog(folder, () => noon)
    await audit.emit({ ...event('alice'), error: 'x'.repeat(200_000) })
    const line = await readFile(join(folder, 'events.log'), 'utf8')
    expect(line.length).toBeLessThan(64 * 1024)
    expect(JSON.parse(line)).toMatchObject({ user: 'alice', trimmed_fields: ['error'] })
  })
})

describe('verifyAudit', () => {
  const users = ['a', 'b', 'c', 'd', 'e']
  const tamper = async (change: (lines: string[]) => string[]) => {
    await write(users)
    const path = join(folder, '2026-03-01.00:00:00.log')
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n')
    await writeFile(path, `${change(lines).join('\n')}\n`)
    return (await verifyAudit(folder)).bad
  }

  it.each([
    [
      'changed',
      (lines: string[]) => lines.map((line, index) => (index === 1 ? line.replace('"b"', '"x"') : line)),
      3,
    ],
    ['removed', (lines: string[]) => lines.filter((_, index) => index !== 1), 2],
    ['moved', ([a = '', b = '', c = '', ...rest]: string[]) => [a, c, b, ...rest], 2],
    ['added', ([a = '', ...rest]: string[]) => [a, a, ...rest], 2],
  ])('names the line after one that was %s', async (_, change, line) => {
    expect(await tamper(change)).toMatchObject({ line })
  })

  it('names a line that is no event', async () => {
    expect(await tamper((lines) => ['garbage', ...lines])).toMatchObject({
      line: 1,
      reason: 'not an audit event',
    })
  })
})

describe('searchAudit', () => {
  const found = async (search: Parameters<typeof searchAudit>[1]) =>
    (await searchAudit(folder, search)).events.map((one) => one['user'])

  it('finds by user, type and time, in either order', async () => {
    await write(['alice', 'bob'])
    await write(['alice'], noon + day)
    expect(await found({})).toEqual(['alice', 'bob', 'alice'])
    expect(await found({ order: 'desc', user: 'bob' })).toEqual(['bob'])
    expect(await found({ types: ['exec'] })).toEqual([])
    expect(await found({ from: new Date(noon + 1).toISOString() })).toEqual(['alice'])
    expect(await found({ to: new Date(noon + 1).toISOString() })).toEqual(['alice', 'bob'])
  })

  it('goes on from page to page', async () => {
    await write(['1', '2', '3', '4', '5'])
    const seen: unknown[] = []
    let start_key = ''
    do {
      const page = await searchAudit(folder, { limit: 2, ...(start_key ? { start_key } : {}) })
      seen.push(...page.events.map((one) => one['user']))
      start_key = page.next_key
    } while (start_key !== '')
    expect(seen).toEqual(['1', '2', '3', '4', '5'])
  })
})
