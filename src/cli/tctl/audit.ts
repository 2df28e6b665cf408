// `tctl audit ls` searches the audit log; `tctl audit verify` says whether anything in it was changed.

import type { SearchAudit } from '../../api/schemas.ts'
import { badParameter } from '../../errors.ts'
import { parseDuration } from '../../resources/duration.ts'
import { columns, json, yaml } from '../output.ts'
import type { TctlContext } from './context.ts'

export interface AuditListInput {
  types: readonly string[]
  user?: string
  /** RFC 3339, a date, or a duration such as `24h` before now. */
  from?: string
  to?: string
  limit: number
  format: 'text' | 'json' | 'yaml'
}

/** Pages are fetched until the limit is reached, so that one answer stays small. */
const pageSize = 500

export async function auditList(
  input: AuditListInput,
  { client, out, clock = Date.now }: TctlContext,
): Promise<number> {
  const search: SearchAudit = {
    order: 'desc',
    ...(input.types.length > 0 ? { types: [...input.types] } : {}),
    ...(input.user ? { user: input.user } : {}),
    ...(input.from ? { from: timeOf(input.from, clock()) } : {}),
    ...(input.to ? { to: timeOf(input.to, clock()) } : {}),
  }
  const events: Record<string, unknown>[] = []
  let startKey = ''
  do {
    const limit = Math.min(pageSize, input.limit - events.length)
    const page = await client.searchAudit({ ...search, limit, ...(startKey ? { start_key: startKey } : {}) })
    events.push(...page.events)
    startKey = page.next_key
  } while (startKey !== '' && events.length < input.limit)
  if (input.format === 'json') out(json(events))
  else if (input.format === 'yaml') out(yaml(events))
  else if (events.length === 0) out('No events found.\n')
  else out(columns(['Time (UTC)', 'Code', 'Event', 'User', 'Description'], events.map(row)))
  return 0
}

function row(event: Record<string, unknown>): string[] {
  const text = (name: string) => (typeof event[name] === 'string' ? event[name] : '')
  return [text('time'), text('code'), text('event'), text('user'), describe(event)]
}

/** What an event was about, from whichever of its fields say so. */
function describe(event: Record<string, unknown>): string {
  const fields = [
    'method',
    'verb',
    'request_path',
    'command',
    'name',
    'cert_type',
    'identity',
    'kubernetes_cluster',
    'kubernetes_pod_namespace',
    'kubernetes_pod_name',
    'reason',
    'error',
    'exitCode',
    'response_code',
  ]
  return fields
    .map((field) => ({ field, value: field === 'identity' ? userOf(event[field]) : event[field] }))
    .filter(({ value }) => value !== undefined && value !== '')
    .map(({ field, value }) => `${field}=${JSON.stringify(value)}`)
    .join(' ')
}

/** Of a certificate, whose it is. */
function userOf(identity: unknown): unknown {
  return typeof identity === 'object' && identity !== null && 'user' in identity ? identity.user : undefined
}

function timeOf(text: string, now: number): string {
  if (/^\d+(\.\d+)?(ns|us|µs|ms|s|m|h)/.test(text)) return new Date(now - parseDuration(text)).toISOString()
  const time = Date.parse(text)
  if (Number.isNaN(time))
    throw badParameter(`${JSON.stringify(text)} is not a time`, {
      hint: 'give RFC 3339 (2026-01-31T12:00:00Z), a date, or a duration such as 24h',
    })
  return new Date(time).toISOString()
}

/** Exit code 1 when a line was changed, removed or moved; the server that keeps the log checks it. */
export async function auditVerify(_: object, { client, out, note }: TctlContext): Promise<number> {
  const verdict = await client.verifyAudit()
  for (const { file, bytes } of verdict.torn)
    note(`A crash cut off an unfinished line of ${bytes} bytes: ${file}\n`)
  if (!verdict.bad) {
    out(`The audit log is intact: ${verdict.lines} events in ${verdict.files} files.\n`)
    return 0
  }
  note(`ERROR: ${verdict.bad.file}:${verdict.bad.line}: ${verdict.bad.reason}\n`)
  return 1
}
