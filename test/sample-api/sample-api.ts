// A small Kubernetes API that says it is a sample: real kubectl can list, watch, read logs, exec and ask who it is.
// The quickstart serves it where no cluster answers, and integration tests look at what reached it.

import { timingSafeEqual } from 'node:crypto'
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { selfSigned } from './certificate.ts'
import { answerExec } from './exec.ts'
import {
  about,
  discovery,
  type Kind,
  kinds,
  type KubernetesObject,
  list,
  pods,
  type Reader,
  table,
} from './objects.ts'

export interface RecordedRequest {
  readonly method: string
  /** Path and query as they came. */
  readonly target: string
  readonly protocol: 'h2' | 'http/1.1'
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** Whether the client is gone or has cancelled before the answer was complete. */
  cancelled: boolean
}

export interface SampleApi extends AsyncDisposable {
  /** `https://127.0.0.1:<port>` */
  readonly server: string
  /** PEM of the certificate to trust. */
  readonly authority: string
  /** The bearer token that it asks for. */
  readonly token: string
  /** The latest requests, oldest first, at most 1,000. */
  readonly requests: readonly RecordedRequest[]
  /** A kubeconfig (JSON, which is YAML) with one context of this name. */
  kubeconfig(context?: string): string
}

export interface SampleApiOptions {
  /** @default 0: any free port */
  readonly port?: number
  /** How often a watch and `logs --follow` say something. @default 2000 */
  readonly tickMs?: number
}

const maxRecorded = 1000
type Request = Http2ServerRequest | IncomingMessage
// HTTP/1.1 requests come through the same listener with the same methods.
type Response = Http2ServerResponse

export async function startSampleApi(options: SampleApiOptions = {}): Promise<SampleApi> {
  const { certificate, key } = await selfSigned()
  const token = Buffer.from(crypto.getRandomValues(new Uint8Array(24))).toString('base64url')
  const requests: RecordedRequest[] = []
  const sockets = new Set<Duplex>()
  const tickMs = options.tickMs ?? 2000

  const record = (request: Request): RecordedRequest => {
    const { method = '', url: target = '', headers } = request
    const protocol = request.httpVersionMajor === 2 ? 'h2' : 'http/1.1'
    const recorded = { method, target, protocol, headers, cancelled: false } as const
    requests.push(recorded)
    if (requests.length > maxRecorded) requests.shift()
    return recorded
  }

  const server = createSecureServer({ cert: certificate, key, allowHTTP1: true })
  server.on('request', (request: Http2ServerRequest, response: Http2ServerResponse) => {
    const recorded = record(request)
    response.on('close', () => (recorded.cancelled = !response.writableFinished))
    if (!holdsToken(request, token)) sendStatus(response, 401, 'Unauthorized')
    else answer(request, response, tickMs)
  })
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    record(request)
    const path = new URL(request.url ?? '/', 'https://sample').pathname
    if (!holdsToken(request, token)) refuseUpgrade(socket, 401)
    else if (!/^\/api\/v1\/namespaces\/sample\/pods\/[a-z]+\/exec$/.test(path)) refuseUpgrade(socket, 404)
    else answerExec(request, socket, head)
  })
  server.on('secureConnection', (socket: Duplex) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  const port = await listen(server, options.port ?? 0)
  const address = `https://127.0.0.1:${port}`
  return {
    server: address,
    authority: certificate,
    token,
    requests,
    kubeconfig: (context = 'sample') => kubeconfig({ context, server: address, certificate, token }),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

function listen(server: Http2SecureServer, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  })
}

function answer(request: Request, response: Response, tickMs: number): void {
  const url = new URL(request.url ?? '/', 'https://sample')
  const reader = readerOf(request)
  if (request.method === 'POST' && url.pathname.startsWith('/apis/'))
    return answerReview(request, response, reader)
  if (request.method !== 'GET') return sendStatus(response, 403, `${about} It cannot be changed`)
  const fixed = discovery[url.pathname]
  if (fixed !== undefined) return sendJson(response, 200, fixed)
  if (/^\/(healthz|readyz|livez)$/.test(url.pathname)) {
    response.writeHead(200, { 'content-type': 'text/plain' })
    return void response.end('ok')
  }
  const log = /^\/api\/v1\/namespaces\/sample\/pods\/([a-z]+)\/log$/.exec(url.pathname)
  if (log !== null)
    return answerLog(response, log[1] ?? '', { follow: url.searchParams.get('follow') === 'true', tickMs })
  answerObjects(request, response, { url, reader, tickMs })
}

interface ObjectsQuestion {
  readonly url: URL
  readonly reader: Reader
  readonly tickMs: number
}

function answerObjects(request: Request, response: Response, { url, reader, tickMs }: ObjectsQuestion): void {
  const path =
    /^\/api\/v1(?:\/namespaces\/([a-z]+))?(?:\/(pods|configmaps|namespaces)(?:\/([a-z-]+))?)?$/.exec(
      url.pathname,
    )
  const [
    ,
    namespace,
    resource = namespace === undefined ? undefined : 'namespaces',
    name = resource === 'namespaces' ? namespace : undefined,
  ] = path ?? []
  const kind = kinds.find((one) => one.resource === resource)
  if (kind === undefined) return sendStatus(response, 404, 'the server could not find the requested resource')
  const objects = kind
    .objects(reader)
    .filter(
      (object) => !kind.namespaced || namespace === undefined || object.metadata.namespace === namespace,
    )
  const asTable = String(request.headers['accept'] ?? '').includes('as=Table')
  if (name !== undefined) {
    const object = objects.find((one) => one.metadata.name === name)
    if (object === undefined) return sendStatus(response, 404, `${kind.resource} "${name}" not found`)
    return sendJson(response, 200, asTable ? table(kind, [object]) : object)
  }
  if (url.searchParams.get('watch') !== 'true') {
    return sendJson(response, 200, asTable ? table(kind, objects) : list(kind, objects))
  }
  const known = !['', '0', null].includes(url.searchParams.get('resourceVersion'))
  answerWatch(response, { kind, objects, known, asTable, tickMs })
}

interface WatchQuestion {
  readonly kind: Kind
  readonly objects: readonly KubernetesObject[]
  /** Whether the client has listed them already. */
  readonly known: boolean
  readonly asTable: boolean
  readonly tickMs: number
}

/** What there is, then a change of the first object at each tick, until the client leaves. */
function answerWatch(response: Response, { kind, objects, known, asTable, tickMs }: WatchQuestion): void {
  const send = (type: string, object: KubernetesObject) =>
    response.write(`${JSON.stringify({ type, object: asTable ? table(kind, [object]) : object })}\n`)
  response.writeHead(200, { 'content-type': 'application/json' })
  if (!known) for (const object of objects) send('ADDED', object)
  let version = 100
  onTicks(response, tickMs, () => {
    const [first] = objects
    if (first === undefined) return
    version++
    send('MODIFIED', { ...first, metadata: { ...first.metadata, resourceVersion: String(version) } })
  })
}

function answerLog(response: Response, pod: string, options: { follow: boolean; tickMs: number }): void {
  if (!pods().some((one) => one.metadata.name === pod))
    return sendStatus(response, 404, `pods "${pod}" not found`)
  response.writeHead(200, { 'content-type': 'text/plain' })
  response.write(`${about}\nThis is the log of the pod ${pod}.\n`)
  if (!options.follow) return void response.end()
  let ticks = 0
  onTicks(response, options.tickMs, () => response.write(`tick ${++ticks}\n`))
}

function onTicks(response: Response, tickMs: number, tick: () => void): void {
  const timer = setInterval(tick, tickMs)
  response.on('close', () => clearInterval(timer))
}

function answerReview(request: Request, response: Response, reader: Reader): void {
  // Clients that prefer Kubernetes' protobuf try again with JSON.
  if (!String(request.headers['content-type']).includes('json')) {
    return sendStatus(response, 415, 'the sample reads JSON only')
  }
  const parts: Buffer[] = []
  request.on('data', (part: Buffer) => parts.push(part))
  request.on('end', () => {
    const { pathname } = new URL(request.url ?? '/', 'https://sample')
    if (pathname === '/apis/authentication.k8s.io/v1/selfsubjectreviews') {
      const { username, uid, groups, extra } = reader
      const userInfo = { username, groups, ...(uid === '' ? {} : { uid }), extra }
      sendJson(response, 201, {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'SelfSubjectReview',
        metadata: {},
        status: { userInfo },
      })
    } else if (pathname === '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews') {
      const asked: unknown = JSON.parse(Buffer.concat(parts).toString() || '{}')
      const spec = typeof asked === 'object' && asked !== null && 'spec' in asked ? asked.spec : {}
      sendJson(response, 201, {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SelfSubjectAccessReview',
        metadata: {},
        spec,
        status: { allowed: true, reason: 'the sample lets everyone do what it can' },
      })
    } else sendStatus(response, 404, 'the server could not find the requested resource')
  })
}

function readerOf(request: Request): Reader {
  const all = (name: string): string[] => {
    const values: string[] = []
    for (let index = 0; index < request.rawHeaders.length; index += 2) {
      if (request.rawHeaders[index]?.toLowerCase() === name) values.push(request.rawHeaders[index + 1] ?? '')
    }
    return values
  }
  const [username] = all('impersonate-user')
  if (username === undefined) {
    return {
      username: 'sample-admin',
      uid: '',
      groups: ['system:masters', 'system:authenticated'],
      extra: {},
    }
  }
  const extra: Record<string, string[]> = {}
  for (const header of Object.keys(request.headers)) {
    const [, key] = /^impersonate-extra-(.+)$/.exec(header) ?? []
    if (key !== undefined) extra[decodeURIComponent(key)] = all(header)
  }
  const groups = [...new Set([...all('impersonate-group'), 'system:authenticated'])]
  return { username, uid: all('impersonate-uid')[0] ?? '', groups, extra }
}

function holdsToken(request: Request, token: string): boolean {
  const given = Buffer.from(String(request.headers['authorization'] ?? ''))
  const wanted = Buffer.from(`Bearer ${token}`)
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}

function sendJson(response: Response, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(value))
}

const reasons: Readonly<Record<number, string>> = {
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  415: 'UnsupportedMediaType',
}

function sendStatus(response: Response, code: number, message: string): void {
  const reason = reasons[code] ?? ''
  sendJson(response, code, {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason,
    code,
  })
}

function refuseUpgrade(socket: Duplex, code: number): void {
  socket.end(`HTTP/1.1 ${code} ${reasons[code]}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`)
}

function kubeconfig(parts: { context: string; server: string; certificate: string; token: string }): string {
  const { context, server, certificate, token } = parts
  const cluster = { server, 'certificate-authority-data': btoa(certificate) }
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: context, cluster }],
    users: [{ name: context, user: { token } }],
    contexts: [{ name: context, context: { cluster: context, user: context, namespace: 'sample' } }],
    'current-context': context,
  })
}
