import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'bun:test'
import {
  appendFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  rmdir,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises'
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
const today = '2026-03-01.00:00:00.log'
const event = (user: string, at = noon): AuditEvent => ({
  ...userLogin({ cluster: 'root', user }, { method: 'local' }),
  time: new Date(at).toISOString(),
})

async function write(users: readonly string[], clock = noon): Promise<void> {
  await using audit = await openAuditLog(folder, () => clock)
  for (const user of users) await audit.emit(event(user, clock))
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  )
}

describe('the audit log', () => {
  it('takes a log in which nothing has happened yet for whole', async () => {
    await write([])
    await write([])
    expect(await verifyAudit(folder)).toMatchObject({ lines: 0 })
    expect((await verifyAudit(folder)).bad).toBeUndefined()
    await write(['alice'])
    expect((await verifyAudit(folder)).bad).toBeUndefined()
  })

  it('writes JSON lines into a file per day, with a link to the current one', async () => {
    await write(['alice'])
    await write(['bob'], noon + day)
    expect(await readlink(join(folder, 'events.log'))).toBe('2026-03-02.00:00:00.log')
    const [line = ''] = (await readFile(join(folder, today), 'utf8')).split('\n')
    expect(JSON.parse(line)).toMatchObject({
      event: 'user.login',
      code: 'T1000I',
      time: '2026-03-01T12:00:00.000Z',
      user: 'alice',
      cluster_name: 'root',
      success: true,
      prev: '0'.repeat(64),
    })
    expect((await stat(folder)).mode & 0o777).toBe(0o700)
    expect((await stat(join(folder, 'events.log'))).mode & 0o777).toBe(0o640)
    expect(await verifyAudit(folder)).toEqual({ lines: 2, files: 2, torn: [] })
  })

  it('has the mode that collectors need, whatever the mask of the process', async () => {
    const mask = process.umask(0o077)
    try {
      await write(['alice'])
    } finally {
      process.umask(mask)
    }
    expect((await stat(join(folder, today))).mode & 0o777).toBe(0o640)
  })

  it('chains each line to the bytes of the one before it', async () => {
    await write(['alice', 'b\u2028ob', 'carol'])
    const [first = '', second = '', third = ''] = (await readFile(join(folder, today), 'utf8')).split('\n')
    const hash = (text: string) => new Bun.CryptoHasher('sha256').update(text).digest('hex')
    expect(second.endsWith(`,"prev":"${hash(first)}"}`)).toBe(true)
    expect(third.endsWith(`,"prev":"${hash(second)}"}`)).toBe(true)
    expect(await verifyAudit(folder)).toEqual({ lines: 3, files: 1, torn: [] })
  })

  it('loses nothing of many events at once, and keeps one chain over restarts', async () => {
    await using audit = await openAuditLog(folder, () => noon)
    await Promise.all(
      Array.from({ length: 25 }, () =>
        audit.emit(...Array.from({ length: 1000 }, (_, index) => event(`user-${index}`))),
      ),
    )
    await audit[Symbol.asyncDispose]()
    await write(['after'])
    expect(await verifyAudit(folder)).toEqual({ lines: 25_001, files: 1, torn: [] })
  })

  it('makes emitters wait when more is emitted than is written, and drops nothing', async () => {
    await using audit = await openAuditLog(folder, () => noon)
    const large = { ...event('alice'), error: 'x'.repeat(60_000) }
    await Promise.all(Array.from({ length: 600 }, () => audit.emit(large)))
    expect(await verifyAudit(folder)).toEqual({ lines: 600, files: 1, torn: [] })
  })

  it('writes what was emitted before it is closed, and nothing after', async () => {
    const audit = await openAuditLog(folder, () => noon)
    const emitted = audit.emit(event('alice'), event('bob'))
    await audit[Symbol.asyncDispose]()
    await emitted
    expect((await verifyAudit(folder)).lines).toBe(2)
    expect(await failure(audit.emit(event('carol')))).toMatchObject({ message: 'the audit log is closed' })
  })

  it('tells the emitter when an event cannot be stored, and goes on when it can', async () => {
    await using audit = await openAuditLog(folder, () => noon)
    await mkdir(join(folder, today))
    expect(await failure(audit.emit(event('alice')))).toMatchObject({ code: 'EISDIR' })
    await rmdir(join(folder, today))
    await audit.emit(event('bob'))
    // A disk that is full: opening works, writing does not.
    await rm(join(folder, today))
    await symlink('/dev/full', join(folder, today))
    // Where there is no such device the file cannot be opened instead.
    expect(await failure(audit.emit(event('carol')))).toHaveProperty('code')
    await rm(join(folder, today))
    await audit.emit(event('dave'))
    expect((await readFile(join(folder, today), 'utf8')).split('\n').length).toBe(2)
  })

  it('does not write into a file that somebody has removed', async () => {
    await using audit = await openAuditLog(folder, () => noon)
    await audit.emit(event('alice'))
    await rm(join(folder, today))
    await audit.emit(event('bob'))
    expect((await searchAudit(folder, {})).events.map((one) => one['user'])).toEqual(['bob'])
    expect((await verifyAudit(folder)).bad).toEqual({
      file: join(folder, today),
      line: 1,
      reason: 'the line before it was changed, removed or moved',
    })
  })

  it('keeps the order of files when the clock goes back', async () => {
    await write(['alice'], noon + day)
    await write(['bob'])
    expect((await readdir(folder)).filter((name) => name.startsWith('20'))).toEqual([
      '2026-03-02.00:00:00.log',
    ])
    expect((await verifyAudit(folder)).bad).toBeUndefined()
  })

  it.each([
    ['the middle of a line', '{"event":"user.lo'],
    ['the middle of a character', Buffer.from([0x7b, 0x22, 0xc3])],
  ])('puts aside what a crash has cut in %s, and goes on', async (_, torn) => {
    await write(['alice', 'bob'])
    const path = join(folder, today)
    await appendFile(path, torn)
    expect(await verifyAudit(folder)).toEqual({
      lines: 2,
      files: 1,
      torn: [{ file: path, bytes: Buffer.byteLength(torn) }],
    })
    await write(['carol'])
    expect(await verifyAudit(folder)).toEqual({
      lines: 3,
      files: 1,
      torn: [{ file: `${path}.torn`, bytes: Buffer.byteLength(torn) + 1 }],
    })
    expect(await readFile(`${path}.torn`)).toEqual(Buffer.concat([Buffer.from(torn), Buffer.from('\n')]))
  })

  it('takes a head that is one batch behind for a crash', async () => {
    await write(['alice'])
    const head = await readFile(join(folder, 'chain-head'))
    await write(['bob', 'carol'])
    await writeFile(join(folder, 'chain-head'), head)
    await write(['dave'])
    expect(await verifyAudit(folder)).toEqual({ lines: 4, files: 1, torn: [] })
  })

  it('does so however large that batch was, and in whatever file', async () => {
    await write(['alice'])
    const head = await readFile(join(folder, 'chain-head'))
    // As much as is written at once.
    const large = { ...event('bob', noon + day), error: '€'.repeat(20_000) }
    const count = Math.floor((1 << 20) / Buffer.byteLength(JSON.stringify(large)))
    const audit = await openAuditLog(folder, () => noon + day)
    await audit.emit(...Array.from({ length: count }, () => large))
    await audit[Symbol.asyncDispose]()
    await writeFile(join(folder, 'chain-head'), head)
    await write(['carol'], noon + day)
    expect(await verifyAudit(folder)).toEqual({ lines: count + 2, files: 2, torn: [] })
  })

  it('holds every acknowledged event after the process was killed', async () => {
    const script = `
      const { openAuditLog } = await import(${JSON.stringify(join(import.meta.dir, 'audit.ts'))})
      const audit = await openAuditLog(${JSON.stringify(folder)})
      for (let index = 0; ; index++) {
        await Promise.all([1, 2, 3].map((part) => audit.emit({ event: 'test', code: 'T', uid: index + '.' + part,
          time: new Date().toISOString(), ei: 0, cluster_name: 'root' })))
        process.stdout.write(index + '\\n')
      }`
    const child = Bun.spawn([process.execPath, '-e', script], {
      env: { PATH: process.env['PATH'] ?? '' },
      stdout: 'pipe',
    })
    let seen = ''
    for await (const chunk of child.stdout) {
      seen += new TextDecoder().decode(chunk)
      if (seen.split('\n').length > 100) child.kill('SIGKILL')
    }
    const acknowledged = Number(seen.split('\n').at(-2))
    await write(['after'], Date.now())
    const { bad, lines } = await verifyAudit(folder)
    expect(bad).toBeUndefined()
    expect(lines).toBeGreaterThanOrEqual((acknowledged + 1) * 3 + 1)
  })
})

describe('an event over 64 KiB', () => {
  const linesOf = async (...events: readonly AuditEvent[]) => {
    await using audit = await openAuditLog(folder, () => noon)
    await audit.emit(...events)
    return (await readFile(join(folder, today), 'utf8')).trimEnd().split('\n')
  }

  it('is trimmed field by field, the largest first, and says which', async () => {
    const [line = ''] = await linesOf({
      ...event('alice'),
      error: 'x'.repeat(200_000),
      command: 'ü'.repeat(50_000),
      reason: 'y'.repeat(2000),
    })
    expect(Buffer.byteLength(line)).toBeLessThanOrEqual(64 * 1024)
    const { error, command, reason, ...rest } = JSON.parse(line) as Record<string, string>
    expect(rest).toMatchObject({ user: 'alice', trimmed_fields: ['error', 'command'] })
    expect([error, command]).toEqual([`${'x'.repeat(1024)}…`, `${'ü'.repeat(1024)}…`])
    expect(reason).toBe('y'.repeat(2000))
  })

  it('keeps what is in all events when there is no end of small fields', async () => {
    const many = Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`f${index}`, index]))
    const [line = ''] = await linesOf({ ...event('alice'), ...many })
    expect(Object.keys(JSON.parse(line) as object)).toEqual([
      'event',
      'code',
      'time',
      'uid',
      'ei',
      'cluster_name',
      'trimmed_fields',
      'prev',
    ])
  })

  it('is left alone at exactly 64 KiB', async () => {
    const of = (length: number) => ({ ...event('alice'), error: 'x'.repeat(length) })
    const room = 64 * 1024 - JSON.stringify(of(0)).length - ',"prev":""'.length - 64
    const [exact = '', larger = ''] = await linesOf(of(room), of(room + 1))
    expect(exact.length).toBe(64 * 1024)
    expect(larger.length).toBeLessThan(3000)
  })

  it('cannot choose its place in the chain', async () => {
    const [line = ''] = await linesOf({ ...event('mallory'), prev: 'f'.repeat(64) })
    expect(JSON.parse(line)).toMatchObject({ prev: '0'.repeat(64) })
  })
})

describe('verifyAudit', () => {
  const users = ['a', 'b', 'c', 'd', 'e']
  const tamper = async (change: (lines: string[]) => string[]) => {
    await write(users)
    const path = join(folder, today)
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n')
    await writeFile(path, `${change(lines).join('\n')}\n`)
    return (await verifyAudit(folder)).bad
  }
  const broken = 'the line before it was changed, removed or moved'

  it.each([
    [
      'changed',
      (lines: string[]) => lines.map((line, index) => (index === 1 ? line.replace('"b"', '"x"') : line)),
      { line: 3, reason: broken },
    ],
    ['removed', (lines: string[]) => lines.filter((_, index) => index !== 1), { line: 2, reason: broken }],
    ['removed at the start', (lines: string[]) => lines.slice(1), { line: 1, reason: broken }],
    [
      'moved',
      ([a = '', b = '', c = '', ...rest]: string[]) => [a, c, b, ...rest],
      { line: 2, reason: broken },
    ],
    ['added', ([a = '', ...rest]: string[]) => [a, a, ...rest], { line: 2, reason: broken }],
    ['ended by CR LF', ([a = '', ...rest]: string[]) => [`${a}\r`, ...rest], { line: 2, reason: broken }],
    [
      'followed by an empty one',
      ([a = '', ...rest]: string[]) => [a, '', ...rest],
      { line: 2, reason: 'it is not an audit event' },
    ],
    [
      'preceded by garbage',
      (lines: string[]) => ['garbage', ...lines],
      { line: 1, reason: 'it is not an audit event' },
    ],
    [
      'removed at the end',
      (lines: string[]) => lines.slice(0, -1),
      { line: 5, reason: 'lines are missing from here on' },
    ],
    [
      'changed at the end',
      (lines: string[]) => lines.map((line) => line.replace('"e"', '"x"')),
      { line: 6, reason: 'lines are missing from here on' },
    ],
  ])('names the place of a line that was %s', async (_, change, expected) => {
    expect(await tamper(change)).toEqual({ file: join(folder, today), ...expected })
  })

  it('tells two bytes apart that no decoder would', async () => {
    await write(['\ufffd', 'bob'])
    const path = join(folder, today)
    const bytes = await readFile(path)
    const at = bytes.indexOf(Buffer.from('\ufffd'))
    await writeFile(path, Buffer.concat([bytes.subarray(0, at), Buffer.from([0xff]), bytes.subarray(at + 3)]))
    expect((await verifyAudit(folder)).bad).toMatchObject({ line: 2 })
  })

  it('names the place of removed lines even when the log went on since', async () => {
    await write(users)
    const path = join(folder, today)
    const text = await readFile(path, 'utf8')
    await truncate(path, text.trimEnd().lastIndexOf('\n') + 1)
    await write(['after'])
    expect((await verifyAudit(folder)).bad).toEqual({ file: path, line: 5, reason: broken })
  })

  it('notices that a whole day is gone', async () => {
    await write(['alice'])
    await write(['bob'], noon + day)
    await write(['carol'], noon + 2 * day)
    await rm(join(folder, '2026-03-02.00:00:00.log'))
    expect((await verifyAudit(folder)).bad).toMatchObject({
      file: join(folder, '2026-03-03.00:00:00.log'),
      line: 1,
    })
    await rm(join(folder, '2026-03-03.00:00:00.log'))
    expect((await verifyAudit(folder)).bad).toMatchObject({
      line: 2,
      reason: 'lines are missing from here on',
    })
  })

  it('accepts a copy of the files alone, and a log that is empty', async () => {
    await write(users)
    await rm(join(folder, 'chain-head'))
    expect(await verifyAudit(folder)).toEqual({ lines: 5, files: 1, torn: [] })
    expect(await verifyAudit(join(folder, 'nothing'))).toEqual({ lines: 0, files: 0, torn: [] })
  })
})

describe('searchAudit', () => {
  const found = async (search: Parameters<typeof searchAudit>[1]) =>
    (await searchAudit(folder, search)).events.map((one) => one['user'])
  const pages = async (search: Parameters<typeof searchAudit>[1]) => {
    const seen: unknown[][] = []
    let start_key = ''
    do {
      const page = await searchAudit(folder, { ...search, ...(start_key ? { start_key } : {}) })
      seen.push(page.events.map((one) => one['user']))
      start_key = page.next_key
    } while (start_key !== '' && seen.length < 100)
    return seen
  }

  it('finds by user, type and time, in either order', async () => {
    await write(['alice', 'bob'])
    await write(['alice'], noon + day)
    expect(await found({})).toEqual(['alice', 'bob', 'alice'])
    expect(await found({ order: 'desc', user: 'bob' })).toEqual(['bob'])
    expect(await found({ types: ['exec'] })).toEqual([])
    expect(await found({ types: ['exec', 'user.login'], limit: 0 })).toEqual(['alice', 'bob', 'alice'])
    expect(await found({ from: new Date(noon + 1).toISOString() })).toEqual(['alice'])
    expect(await found({ to: new Date(noon + 1).toISOString() })).toEqual(['alice', 'bob'])
    expect((await searchAudit(folder, {})).events[0]).not.toHaveProperty('prev')
  })

  it('sorts by time, then by index, then as written', async () => {
    await using audit = await openAuditLog(folder, () => noon)
    await audit.emit(
      { ...event('4', noon + 5), ei: 1 },
      { ...event('3', noon + 5), ei: 0 },
      event('1', noon),
      event('2', noon),
    )
    expect(await found({})).toEqual(['1', '2', '3', '4'])
    expect(await found({ order: 'desc' })).toEqual(['4', '3', '2', '1'])
  })

  it.each([['asc'], ['desc']] as const)('goes on from page to page, %s, past equal events', async (order) => {
    await using audit = await openAuditLog(folder, () => noon)
    const repeated = event('again')
    await audit.emit(repeated, event('b'), repeated, event('c'))
    await audit[Symbol.asyncDispose]()
    await write(['d', 'e'], noon + day)
    const all = ['again', 'b', 'again', 'c', 'd', 'e']
    const expected = (order === 'asc' ? all : all.toReversed()).map((user) => [user])
    expect(await pages({ limit: 1, order })).toEqual(expected)
    expect((await pages({ limit: 4, order })).flat()).toEqual(expected.flat())
    expect(await pages({ limit: 6, order })).toEqual([expected.flat()])
  })

  it('gives no more than a mebibyte at once, in order, however much there is', async () => {
    await using audit = await openAuditLog(folder, () => noon)
    // Newest first in the file, so that every page has to be picked from all of it.
    const users = Array.from({ length: 200 }, (_, index) => `user-${index}`)
    await audit.emit(
      ...users
        .map((user, index) => ({ ...event(user, noon + index), error: 'x'.repeat(40_000) }))
        .toReversed(),
    )
    const seen = await pages({ limit: 10_000 })
    expect(seen.flat()).toEqual(users)
    expect(seen.map((page) => page.length)).toEqual([26, 26, 26, 26, 26, 26, 26, 18])
  })

  it('refuses times and keys it cannot read', async () => {
    await write(['alice'])
    expect(await failure(searchAudit(folder, { from: 'yesterday' }))).toMatchObject({
      kind: 'bad-parameter',
      message: 'from must be a time such as 2026-01-31T12:00:00Z',
    })
    for (const start_key of ['x', '../../etc/passwd/0', `${today}/1`, `${today}/99999`]) {
      expect(await failure(searchAudit(folder, { start_key }))).toMatchObject({
        kind: 'bad-parameter',
        message: `start key "${start_key}" is not from an earlier page`,
      })
    }
  })
})
