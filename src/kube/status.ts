// Refusals in the API server's own form: a Status object whose code is the HTTP code, or kubectl prints "unknown".

import { type ErrorKind, messageOf, TeleportError } from '../errors.ts'
import type { Exchange } from '../http/exchange.ts'
import { createLogger } from '../log.ts'
import type { KubernetesRequest } from './request.ts'

const log = createLogger('kube')

const statuses: Readonly<Record<ErrorKind, readonly [code: number, reason: string]>> = {
  'not-found': [404, 'NotFound'],
  'bad-parameter': [400, 'BadRequest'],
  'access-denied': [403, 'Forbidden'],
  'not-implemented': [501, 'MethodNotAllowed'],
  'compare-failed': [412, 'Conflict'],
  'already-exists': [409, 'Conflict'],
  'limit-exceeded': [429, 'TooManyRequests'],
  'connection-problem': [503, 'ServiceUnavailable'],
  unauthenticated: [401, 'Unauthorized'],
  internal: [500, 'InternalError'],
}

export interface Status {
  readonly kind: 'Status'
  readonly apiVersion: 'v1'
  readonly metadata: Record<string, never>
  readonly status: 'Failure'
  readonly message: string
  readonly reason: string
  readonly code: number
}

export function statusOf(error: unknown): Status {
  const known = error instanceof TeleportError ? error : undefined
  const [code, reason] = statuses[known?.kind ?? 'internal']
  const message = known
    ? [known.message, known.hint].filter((text) => text !== undefined).join('\n')
    : 'internal error'
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code }
}

/** Answers an exchange that came to nothing. */
export async function answerStatus(exchange: Exchange, error: unknown): Promise<void> {
  if (!(error instanceof TeleportError))
    log.error('request failed', {
      error: error instanceof Error ? (error.stack ?? error.message) : messageOf(error),
    })
  const status = statusOf(error)
  if (isDiscovery(exchange.request.target)) return answerDiscovery(exchange, status)
  const headers = [
    ['content-type', 'application/json'],
    ['cache-control', 'no-cache, private'],
  ] as const
  await exchange.answer({ status: status.code, headers }, JSON.stringify(status))
}

const discoveryPath = /^\/(?:api(?:\/[^/]+)?|apis(?:\/[^/]+){0,2}|version|openapi(?:\/.*)?)\/?$/

function isDiscovery(target: string): boolean {
  const path = target.split('?', 1)[0] ?? ''
  // The same below a path that names a cluster.
  return discoveryPath.test(path.replace(/^\/v1\/teleport\/[^/]+\/[^/]+/, ''))
}

/**
 * kubectl asks for discovery first and reads no Status there: of a JSON answer it prints "unknown", of a text it
 * prints the text. A 404 it takes for a server without discovery, whatever it says, so that becomes a 403.
 */
async function answerDiscovery(exchange: Exchange, { code, message }: Status): Promise<void> {
  const headers = [
    ['content-type', 'text/plain; charset=utf-8'],
    ['cache-control', 'no-cache, private'],
  ] as const
  await exchange.answer({ status: code === 404 ? 403 : code, headers }, message)
}

/** The API server's sentence for something that this user may not do. */
export function forbiddenText(
  user: string,
  { verb, kind, group, namespace, name }: KubernetesRequest,
): string {
  const [resource = ''] = kind.split('/')
  const what = name === '' ? resource : `${resource} ${JSON.stringify(name)}`
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace ${JSON.stringify(namespace)}`
  return `${what} is forbidden: User ${JSON.stringify(user)} cannot ${verb} resource ${JSON.stringify(resource)} in API group ${JSON.stringify(group)} ${where}`
}
