// Domain errors on the API's wire: `{"error":{"kind","message","hint"}}` with a matching HTTP status, and back.

import { type ErrorKind, TeleportError } from '../errors.ts'

export const statusOfKind: Readonly<Record<ErrorKind, number>> = {
  'access-denied': 403,
  'already-exists': 409,
  'bad-parameter': 400,
  'compare-failed': 412,
  'connection-problem': 502,
  internal: 500,
  'limit-exceeded': 429,
  'not-found': 404,
  'not-implemented': 501,
  unauthenticated: 401,
}

export function errorBody(error: TeleportError): {
  error: { kind: ErrorKind; message: string; hint?: string }
} {
  return {
    error: {
      kind: error.kind,
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    },
  }
}

/** The error an answer describes; `internal` when it describes none. */
export function errorFromBody(body: unknown, status: number): TeleportError {
  const error = typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined
  if (typeof error === 'object' && error !== null && 'kind' in error && 'message' in error) {
    const kind = Object.keys(statusOfKind).find((one): one is ErrorKind => one === error.kind)
    const hint = 'hint' in error && typeof error.hint === 'string' ? { hint: error.hint } : {}
    if (kind && typeof error.message === 'string') return new TeleportError(kind, error.message, hint)
  }
  return new TeleportError('internal', `the auth server answered with status ${status}`)
}
