// The auth API over HTTP: schema, description and one line to an operation. Who calls is known from the connection
// and never from anything in a request.

import { openapi } from '@elysiajs/openapi'
import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { badParameter, messageOf, TeleportError, unauthenticated } from '../errors.ts'
import { createLogger } from '../log.ts'
import type { Resource } from '../resources/resource.ts'
import { version } from '../version.ts'
import type { Caller, Operations } from './operations.ts'
import * as schemas from './schemas.ts'
import { errorBody, statusOfKind } from './wire-errors.ts'

const log = createLogger('api')

/** Lines that say how far the server is, so that both sides notice a dead connection. */
const progressMs = 5000

/** Serves one request of a caller. */
export type Api = (request: Request, caller: Caller) => Promise<Response>

const Flag = Type.Optional(Type.Union([Type.Literal('true'), Type.Literal('false')]))
const ResourceBody = Type.Object(
  {
    resource: schemas.ResourceEnvelope,
    force: Type.Optional(Type.Boolean()),
    confirm: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
)

export function createApi(operations: Operations): Api {
  const callers = new WeakMap<Request, Caller>()
  const callerOf = (request: Request): Caller => {
    const caller = callers.get(request)
    if (!caller) throw unauthenticated('no caller')
    return caller
  }
  const document = (summary: string) => ({ detail: { summary } })

  /** A route whose body is the operation's input. */
  const post = <Schema extends TSchema>(
    summary: string,
    body: Schema,
    operation: (caller: Caller, input: Static<Schema>) => Promise<unknown>,
  ) =>
    [
      async ({ body: input, request }: { body: unknown; request: Request }) =>
        // The framework has checked the body against this schema before it came here.
        (await operation(callerOf(request), input)) ?? {},
      { body, ...document(summary) },
    ] as const

  const app = new Elysia({ serve: { development: false } })
    .use(
      openapi({
        path: '/v1/openapi',
        specPath: '/v1/openapi.json',
        provider: null,
        documentation: { info: { title: 'Teleport auth API', version } },
      }),
    )
    .onError({ as: 'global' }, ({ error, code }) => errorResponse(error, code))
    .get(
      '/v1/cluster',
      ({ request }) => operations.clusterInfo(callerOf(request)),
      document('What this cluster is'),
    )
    .get(
      '/v1/resources/:kind',
      ({ params, query, request }) =>
        operations.listResources(callerOf(request), params.kind, {
          with_secrets: query.with_secrets === 'true',
        }),
      { query: Type.Object({ with_secrets: Flag }), ...document('All resources of a kind') },
    )
    .get(
      '/v1/resources/:kind/:name',
      ({ params, query, request }) =>
        operations.getResource(callerOf(request), params.kind, decodeURIComponent(params.name), {
          with_secrets: query.with_secrets === 'true',
        }),
      { query: Type.Object({ with_secrets: Flag }), ...document('One resource') },
    )
    .post(
      '/v1/resources',
      ({ body, request }) =>
        operations.createResource(callerOf(request), body.resource as Resource, {
          force: body.force ?? false,
          confirm: body.confirm ?? false,
        }),
      { body: ResourceBody, ...document('Creates a resource, or replaces it with force') },
    )
    .put(
      '/v1/resources',
      ({ body, request }) => operations.updateResource(callerOf(request), body.resource as Resource),
      {
        body: ResourceBody,
        ...document('Replaces a resource whose revision matches'),
      },
    )
    .delete(
      '/v1/resources/:kind/:name',
      async ({ params, request }) => {
        await operations.deleteResource(callerOf(request), params.kind, decodeURIComponent(params.name))
        return {}
      },
      document('Deletes a resource; a singleton is reset'),
    )
    .post(
      '/v1/heartbeat',
      async ({ body, request }) => {
        await operations.heartbeat(callerOf(request), body.resource as Resource)
        return {}
      },
      { body: ResourceBody, ...document('A host announces what it serves') },
    )
    .post(
      '/v1/watch',
      ({ body, request }) => watchResponse(operations.watch(callerOf(request), body, request.signal)),
      {
        body: schemas.WatchRequest,
        ...document('Everything there is of some kinds, then changes, as JSON lines'),
      },
    )
    .post('/v1/users', ...post('Adds a user with an invite', schemas.AddUser, operations.addUser))
    .post(
      '/v1/users/:name/reset',
      async ({ params, body, request }) =>
        operations.resetUser(callerOf(request), decodeURIComponent(params.name), body),
      {
        body: Type.Object({ ttl: Type.Optional(Type.String()) }, { additionalProperties: false }),
        ...document('Wipes credentials and makes a reset link'),
      },
    )
    .get(
      '/v1/signup/:token',
      ({ params, request }) => operations.signupPage(callerOf(request), params.token),
      document('What the invite page shows'),
    )
    .post(
      '/v1/signup',
      ...post('Sets password and second factor', schemas.CompleteSignup, operations.completeSignup),
    )
    .post(
      '/v1/password',
      ...post("Changes the caller's password", schemas.ChangePassword, operations.changePassword),
    )
    .post('/v1/login', ...post('A login that a proxy forwards', schemas.Login, operations.login))
    .post(
      '/v1/certificates/reissue',
      ...post('A certificate for the caller', schemas.ReissueCertificate, operations.reissueCertificate),
    )
    .post(
      '/v1/certificates/user',
      ...post(
        'A certificate for a user, for automation',
        schemas.SignUserCertificate,
        operations.signUserCertificate,
      ),
    )
    .post(
      '/v1/certificates/host',
      ...post('A certificate for a process', schemas.SignHostCertificate, operations.signHostCertificate),
    )
    .get(
      '/v1/authorities/:type',
      ({ params, query, request }) =>
        operations.exportAuthorities(callerOf(request), params.type, { keys: query.keys === 'true' }),
      { query: Type.Object({ keys: Flag }), ...document('Certificates of an authority') },
    )
    .get(
      '/v1/kubernetes/clusters',
      ({ request }) => operations.kubernetesClusters(callerOf(request)),
      document('Kubernetes clusters the caller may see'),
    )
    .post(
      '/v1/leases',
      ...post('Takes one of a limited number of places', schemas.AcquireLease, operations.acquireLease),
    )
    .post(
      '/v1/leases/release',
      ...post(
        'Gives a place back',
        Type.Object({ kind: Type.String(), name: Type.String(), id: Type.String() }),
        operations.releaseLease,
      ),
    )
    .post(
      '/v1/audit',
      ...post(
        'Stores audit events',
        Type.Object({ events: Type.Array(schemas.AuditRecord, { maxItems: 1000 }) }),
        (caller, { events }) => operations.emitAudit(caller, events),
      ),
    )
    .get(
      '/v1/audit/verify',
      ({ request }) => operations.verifyAudit(callerOf(request)),
      document('Checks the chain of the audit log'),
    )
    .post('/v1/audit/search', ...post('Searches the audit log', schemas.SearchAudit, operations.searchAudit))

  return async (request, caller) => {
    callers.set(request, caller)
    return app.handle(request)
  }
}

function errorResponse(error: unknown, code: unknown): Response {
  const known = error instanceof TeleportError ? error : fromFramework(error, code)
  return Response.json(errorBody(known), { status: statusOfKind[known.kind] })
}

// The framework's own errors echo what was rejected; ours do not.
function fromFramework(error: unknown, code: unknown): TeleportError {
  if (code === 'NOT_FOUND') return new TeleportError('not-found', 'no such operation')
  if (code === 'VALIDATION' || code === 'PARSE')
    return badParameter('the request is not what this operation takes')
  log.error('operation failed', {
    error: error instanceof Error ? (error.stack ?? error.message) : messageOf(error),
  })
  return new TeleportError('internal', 'internal error')
}

function watchResponse(events: AsyncIterable<schemas.WatchEvent>): Response {
  const encoder = new TextEncoder()
  const iterator = events[Symbol.asyncIterator]()
  let pending: Promise<IteratorResult<schemas.WatchEvent>> | undefined
  let revision = 0
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      pending ??= iterator.next()
      const next = await Promise.race([pending, Bun.sleep(progressMs)])
      if (next === undefined)
        return controller.enqueue(encoder.encode(`${JSON.stringify({ type: 'progress', revision })}\n`))
      pending = undefined
      if (next.done) return controller.close()
      if ('revision' in next.value) revision = next.value.revision
      controller.enqueue(encoder.encode(`${JSON.stringify(next.value)}\n`))
    },
    async cancel() {
      await iterator.return?.()
    },
  })
  return new Response(body, { headers: { 'content-type': 'application/x-ndjson' } })
}
