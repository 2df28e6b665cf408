import { describe, expect, it } from 'bun:test'
import type { AuditPage, AuditVerdict, SearchAudit } from '../../api/schemas.ts'
import { auditList, type AuditListInput, auditVerify } from './audit.ts'
import { fakeContext, refusal } from './testing/context.ts'

const event = (uid: number, more: Record<string, unknown> = {}) => ({
  event: 'kube.request',
  code: 'T3009I',
  time: '2026-03-01T11:00:00.000Z',
  uid: String(uid),
  ei: 0,
  cluster_name: 'root',
  user: 'alice',
  ...more,
})

describe('tctl audit ls', () => {
  const list = async (more: Partial<AuditListInput>, pages: readonly AuditPage[]) => {
    const asked: SearchAudit[] = []
    const context = fakeContext({
      searchAudit: async (search) => {
        asked.push(search)
        return pages[asked.length - 1] ?? { events: [], next_key: '' }
      },
    })
    expect(await auditList({ types: [], limit: 100, format: 'text', ...more }, context)).toBe(0)
    return { asked, stdout: context.stdout() }
  }

  it('prints what happened, newest first', async () => {
    const { asked, stdout } = await list({}, [
      {
        events: [
          event(1, { verb: 'GET', request_path: '/api/v1/pods', response_code: 200 }),
          event(2, { event: 'exec', code: 'T3002I', command: 'ls -l', exitCode: '0' }),
          event(3, { event: 'cert.create', code: 'TC000I', identity: { user: 'bob', roles: ['x'] } }),
        ],
        next_key: '',
      },
    ])
    expect(asked).toEqual([{ order: 'desc', limit: 100 }])
    expect(stdout).toBe(
      [
        'Time (UTC)               Code   Event        User  Description                                             ',
        '------------------------ ------ ------------ ----- --------------------------------------------------------',
        '2026-03-01T11:00:00.000Z T3009I kube.request alice verb="GET" request_path="/api/v1/pods" response_code=200',
        '2026-03-01T11:00:00.000Z T3002I exec         alice command="ls -l" exitCode="0"                            ',
        '2026-03-01T11:00:00.000Z TC000I cert.create  alice identity="bob"                                          ',
        '',
      ].join('\n'),
    )
  })

  it('asks page after page until it has enough', async () => {
    const { asked, stdout } = await list({ limit: 600, format: 'json' }, [
      { events: [event(1), event(2)], next_key: 'a' },
      { events: [event(3)], next_key: '' },
    ])
    expect(asked.map(({ limit, start_key }) => [limit, start_key])).toEqual([
      [500, undefined],
      [500, 'a'],
    ])
    expect((JSON.parse(stdout) as { uid: string }[]).map(({ uid }) => uid)).toEqual(['1', '2', '3'])

    const enough = await list({ limit: 2 }, [{ events: [event(1), event(2)], next_key: 'a' }])
    expect(enough.asked.length).toBe(1)
  })

  it('passes on what to look for, times also as so long ago', async () => {
    const { asked, stdout } = await list(
      { types: ['exec', 'port'], user: 'joe', from: '24h', to: '2026-03-01' },
      [],
    )
    expect(asked).toEqual([
      {
        order: 'desc',
        types: ['exec', 'port'],
        user: 'joe',
        from: '2026-02-28T12:00:00.000Z',
        to: '2026-03-01T00:00:00.000Z',
        limit: 100,
      },
    ])
    expect(stdout).toBe('No events found.\n')
    expect(await refusal(list({ from: 'yesterday' }, []))).toBe('"yesterday" is not a time')
  })

  it('cannot be made to move the cursor by what a client sent', async () => {
    const { stdout } = await list({}, [
      { events: [event(1, { user: '\u001b[2Jmallory', request_path: '/\u001b[2J' })], next_key: '' },
    ])
    expect(stdout).not.toContain('\u001b')
  })
})

describe('tctl audit verify', () => {
  const verify = async (verdict: AuditVerdict) => {
    const context = fakeContext({ verifyAudit: async () => verdict })
    return { code: await auditVerify({}, context), stdout: context.stdout(), stderr: context.stderr() }
  }

  it('says that nothing was changed', async () => {
    expect(await verify({ lines: 3, files: 1, torn: [] })).toEqual({
      code: 0,
      stdout: 'The audit log is intact: 3 events in 1 files.\n',
      stderr: '',
    })
  })

  it('tells of what a crash has cut, which is no harm', async () => {
    const torn = [{ file: '/log/2026-03-01.00:00:00.log.torn', bytes: 17 }]
    expect(await verify({ lines: 3, files: 1, torn })).toEqual({
      code: 0,
      stdout: 'The audit log is intact: 3 events in 1 files.\n',
      stderr: 'A crash cut off an unfinished line of 17 bytes: /log/2026-03-01.00:00:00.log.torn\n',
    })
  })

  it('names the first line that is not as it was', async () => {
    const bad = {
      file: '/log/2026-03-01.00:00:00.log',
      line: 2,
      reason: 'the line before it was changed, removed or moved',
    }
    expect(await verify({ lines: 2, files: 1, bad, torn: [] })).toEqual({
      code: 1,
      stdout: '',
      stderr: 'ERROR: /log/2026-03-01.00:00:00.log:2: the line before it was changed, removed or moved\n',
    })
  })
})
