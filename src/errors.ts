// The one error family of the product. A domain failure is a `TeleportError` whose `kind` says what went
// wrong; each edge (kube Status, API JSON, CLI lines) translates the kind once. Wrong use by our own code
// is a plain `TypeError`, never one of these.

export type ErrorKind =
  | 'access-denied'
  | 'already-exists'
  | 'bad-parameter'
  | 'compare-failed'
  | 'connection-problem'
  | 'internal'
  | 'limit-exceeded'
  | 'not-found'
  | 'not-implemented'
  | 'unauthenticated'

export interface ErrorOptions {
  /** What the reader can do about it: one sentence, shown on its own line. */
  hint?: string
  cause?: unknown
}

/** A failure that has a meaning outside of our code. Messages are lower case without a full stop unless a spec says otherwise. */
export class TeleportError extends Error {
  override readonly name = 'TeleportError'
  readonly kind: ErrorKind
  readonly hint: string | undefined

  constructor(kind: ErrorKind, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.kind = kind
    this.hint = options.hint
  }
}

export function accessDenied(message: string, options?: ErrorOptions): TeleportError {
  return new TeleportError('access-denied', message, options)
}

export function alreadyExists(message: string, options?: ErrorOptions): TeleportError {
  return new TeleportError('already-exists', message, options)
}

export function badParameter(message: string, options?: ErrorOptions): TeleportError {
  return new TeleportError('bad-parameter', message, options)
}

export function compareFailed(message: string, options?: ErrorOptions): TeleportError {
  return new TeleportError('compare-failed', message, options)
}

export function connectionProblem(message: string, options?: ErrorOptions): TeleportError {
  return new TeleportError('connection-problem', message, options)
}

export function limitExceeded(message: string, options?: ErrorOptions): TeleportError {
  return new TeleportError('limit-exceeded', message, options)
}

export function notFound(message: string, options?: ErrorOptions): TeleportError {
  return new TeleportError('not-found', message, options)
}

export function notImplemented(message: string, options?: ErrorOptions): TeleportError {
  return new TeleportError('not-implemented', message, options)
}

export function unauthenticated(message: string, options?: ErrorOptions): TeleportError {
  return new TeleportError('unauthenticated', message, options)
}

/** Whether `error` is ours and of this kind. */
export function isKind(error: unknown, kind: ErrorKind): error is TeleportError {
  return error instanceof TeleportError && error.kind === kind
}

/** The message of anything thrown, for logs and wrapping. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
