// The one client of the auth API. How requests travel (in this process, or over mutual TLS) is the caller's choice.

import { connectionProblem, messageOf, TeleportError } from '../errors.ts'
import type { Resource } from '../resources/resource.ts'
import type { AuthClient } from './operations.ts'
import type * as schemas from './schemas.ts'
import { errorFromBody } from './wire-errors.ts'

/** Sends one request to the API of the auth server. */
export type ApiFetch = (request: Request) => Promise<Response>

/** Lines of a watch longer than this are not ours. */
const lineLimit = 8 << 20

export function createAuthClient(fetch: ApiFetch): AuthClient {
  const send = async (
    method: string,
    path: string,
    more: { body?: unknown; signal?: AbortSignal } = {},
  ): Promise<Response> => {
    const request = new Request(`https://teleport.internal${path}`, {
      method,
      ...(more.body === undefined
        ? {}
        : { body: JSON.stringify(more.body), headers: { 'content-type': 'application/json' } }),
      ...(more.signal ? { signal: more.signal } : {}),
    })
    try {
      const response = await fetch(request)
      if (response.ok) return response
      throw errorFromBody(await response.json().catch(() => undefined), response.status)
    } catch (cause) {
      if (cause instanceof TeleportError) throw cause
      throw connectionProblem(`cannot reach the auth server: ${messageOf(cause)}`, { cause })
    }
  }
  // Both sides are one program: an answer has the type of its operation.
  const ask = async <Result>(method: string, path: string, body?: unknown): Promise<Result> =>
    (await (await send(method, path, { body })).json()) as Result
  const secrets = (options?: { with_secrets?: boolean }) =>
    options?.with_secrets ? '?with_secrets=true' : ''
  const segment = encodeURIComponent

  return {
    clusterInfo: () => ask('GET', '/v1/cluster'),
    listResources: (kind, options) => ask('GET', `/v1/resources/${segment(kind)}${secrets(options)}`),
    getResource: (kind, name, options) =>
      ask('GET', `/v1/resources/${segment(kind)}/${segment(name)}${secrets(options)}`),
    createResource: (resource, options = {}) => ask('POST', '/v1/resources', { resource, ...options }),
    updateResource: (resource) => ask('PUT', '/v1/resources', { resource }),
    deleteResource: async (kind, name) =>
      void (await send('DELETE', `/v1/resources/${segment(kind)}/${segment(name)}`)),
    heartbeat: async (resource: Resource) =>
      void (await send('POST', '/v1/heartbeat', { body: { resource } })),
    watch: (request, signal) => readWatch(() => send('POST', '/v1/watch', { body: request, signal })),
    addUser: (input) => ask('POST', '/v1/users', input),
    resetUser: (name, options = {}) => ask('POST', `/v1/users/${segment(name)}/reset`, options),
    signupPage: (token) => ask('GET', `/v1/signup/${segment(token)}`),
    completeSignup: (input) => ask('POST', '/v1/signup', input),
    changePassword: async (input) => void (await send('POST', '/v1/password', { body: input })),
    login: (input) => ask('POST', '/v1/login', input),
    reissueCertificate: (input) => ask('POST', '/v1/certificates/reissue', input),
    signUserCertificate: (input) => ask('POST', '/v1/certificates/user', input),
    signHostCertificate: (input) => ask('POST', '/v1/certificates/host', input),
    exportAuthorities: (type, options) =>
      ask('GET', `/v1/authorities/${segment(type)}${options?.keys ? '?keys=true' : ''}`),
    kubernetesClusters: () => ask('GET', '/v1/kubernetes/clusters'),
    acquireLease: (input) => ask('POST', '/v1/leases', input),
    releaseLease: async (input) => void (await send('POST', '/v1/leases/release', { body: input })),
    emitAudit: async (events) => void (await send('POST', '/v1/audit', { body: { events } })),
    verifyAudit: () => ask('GET', '/v1/audit/verify'),
    searchAudit: (input) => ask('POST', '/v1/audit/search', input),
  }
}

async function* readWatch(open: () => Promise<Response>): AsyncGenerator<schemas.WatchEvent> {
  const response = await open()
  if (!response.body) return
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of response.body) {
    text += decoder.decode(chunk, { stream: true })
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      yield JSON.parse(text.slice(0, end)) as schemas.WatchEvent
      text = text.slice(end + 1)
    }
    if (text.length > lineLimit) throw connectionProblem('the auth server sent a line that is too long')
  }
}
