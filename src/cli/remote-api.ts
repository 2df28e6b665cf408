// Reaching the auth API from another process: mutual TLS to auth itself, or through the proxy's web port, where the
// API is told apart by its ALPN name.

import { type ApiFetch, createAuthClient } from '../api/client.ts'
import type { AuthClient } from '../api/operations.ts'
import { createUpstream } from '../http/upstream.ts'

export interface RemoteApi {
  readonly host: string
  readonly port: number
  /** Through a proxy, the Teleport cluster whose API is meant. */
  readonly throughProxy?: string
  readonly certificate: string
  readonly key: string
  /** PEM of the cluster's host authorities. */
  readonly authorities: string
}

/** Every certificate of a cluster's processes is good for names below this one. */
const apiServerName = 'auth.teleport.cluster.local'
const answerLimit = 64 << 20

export interface RemoteClient extends AsyncDisposable {
  readonly client: AuthClient
}

export function connectToAuth(api: RemoteApi): RemoteClient {
  const upstream = createUpstream({
    name: 'the auth server',
    host: api.host,
    port: api.port,
    tls: {
      ca: api.authorities,
      certificate: api.certificate,
      key: api.key,
      serverName: apiServerName,
      ...(api.throughProxy === undefined
        ? {}
        : { protocols: [`teleport-auth@${Buffer.from(api.throughProxy).toString('hex')}`] }),
    },
  })
  const fetch: ApiFetch = async (request) => {
    const url = new URL(request.url)
    const body = request.body ? new Uint8Array(await request.arrayBuffer()) : undefined
    const answer = await upstream.send(
      {
        method: request.method,
        target: url.pathname + url.search,
        headers: [
          ['accept', 'application/json'],
          ...(body
            ? ([
                ['content-type', 'application/json'],
                ['content-length', String(body.length)],
              ] as const)
            : []),
        ],
      },
      { limit: answerLimit, ...(body ? { body } : {}) },
    )
    return new Response(answer.status === 204 ? null : Buffer.from(answer.body), { status: answer.status })
  }
  return { client: createAuthClient(fetch), [Symbol.asyncDispose]: () => upstream[Symbol.asyncDispose]() }
}

/** Key, certificate and authorities of a file that holds all three as PEM. */
export function splitIdentityFile(
  text: string,
): { key: string; certificate: string; authorities: string } | undefined {
  const key = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----\n?/.exec(text)?.[0]
  const [certificate, ...authorities] =
    text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----\n?/g) ?? []
  if (!key || !certificate || authorities.length === 0) return undefined
  return { key, certificate, authorities: authorities.join('') }
}
