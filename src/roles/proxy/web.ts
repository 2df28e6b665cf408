// The web port's HTTP: pages for browsers and the JSON endpoints that pages and `tsh` call before they have a
// certificate. Everything that changes something is forwarded to auth, which decides; nothing here trusts a
// header. Every path also answers under `/v1`. Errors are `{"error":{"message":…}}` with the HTTP code.

import { Elysia, t } from 'elysia'
import type { AuthClient } from '../../api/operations.ts'
import { statusOfKind } from '../../api/wire-errors.ts'
import { badParameter, limitExceeded, messageOf, notFound, TeleportError } from '../../errors.ts'
import { createLogger } from '../../log.ts'
import { createRateLimiter } from '../../net/rate-limiter.ts'
import { formatDuration } from '../../resources/duration.ts'
import { version } from '../../version.ts'
import { findResponse, type PingSource, pingResponse } from './ping.ts'

const log = createLogger('proxy:web')

/** Requests of clients without a certificate, per address. */
const anonymousRate = { burst: 40, perMinute: 20 }

export interface WebOptions {
  /** Speaks to auth as this proxy. */
  client: Pick<AuthClient, 'signupPage' | 'completeSignup' | 'login'>
  /** What is in force now; read at each request. */
  settings: () => PingSource
  /** Pages and their assets; undefined where there is none. */
  page: (
    path: string,
  ) => { status: number; headers: Record<string, string>; body: string | Uint8Array } | undefined
  /** PNG of a QR code, base64. */
  qr: (text: string) => string
}

export type WebHandler = (request: Request, from: { host: string }) => Promise<Response>

const SignupBody = t.Object({
  token: t.String({ maxLength: 256 }),
  /** Base64. */
  password: t.String({ maxLength: 4096 }),
  second_factor_token: t.Optional(t.String({ maxLength: 64 })),
  deviceName: t.Optional(t.String({ maxLength: 256 })),
})

const CertificateBody = t.Object({
  user: t.String({ maxLength: 1024 }),
  password: t.String({ maxLength: 4096 }),
  otp_token: t.Optional(t.String({ maxLength: 64 })),
  /** Base64 of the SPKI PEM, as byte strings are in this API. */
  pub_key: t.Optional(t.String({ maxLength: 16_384 })),
  tls_pub_key: t.Optional(t.String({ maxLength: 16_384 })),
  ssh_pub_key: t.Optional(t.String({ maxLength: 16_384 })),
  /** Nanoseconds, or a Go duration. */
  ttl: t.Optional(t.Union([t.Number({ minimum: 0 }), t.String({ maxLength: 64 })])),
  compatibility: t.Optional(t.String({ maxLength: 64 })),
  route_to_cluster: t.Optional(t.String({ maxLength: 1024 })),
  kubernetes_cluster: t.Optional(t.String({ maxLength: 1024 })),
})

/** The handler of the web port. */
export function createWeb(options: WebOptions): WebHandler {
  const addresses = new WeakMap<Request, string>()
  const allow = createRateLimiter(anonymousRate)
  const limited = (request: Request) => {
    if (!allow(addresses.get(request) ?? '')) throw limitExceeded('rate limit exceeded')
  }

  const api = new Elysia({ prefix: '/webapi' })
    .get('/ping', () => pingResponse(options.settings()))
    .get('/ping/:connector', () => pingResponse(options.settings()))
    .get('/find', () => findResponse(options.settings()))
    .get('/motd', () => ({ text: options.settings().preference.spec.message_of_the_day }))
    .get('/users/password/token/:token', async ({ params, request }) => {
      limited(request)
      const page = await options.client.signupPage(params.token)
      return {
        tokenId: page.token,
        user: page.user,
        expiry: page.expires,
        qr: page.otp_uri === '' ? '' : options.qr(page.otp_uri),
        otp_secret: page.otp_secret,
        second_factor: page.second_factor,
      }
    })
    .put(
      '/users/password/token/:token',
      async ({ body, params, request }) => {
        limited(request)
        if (body.token !== params.token)
          throw badParameter('token in the body differs from the one in the path')
        return options.client.completeSignup({
          token: body.token,
          password: decodeBase64(body.password, 'password'),
          ...(body.second_factor_token ? { otp_code: body.second_factor_token } : {}),
          ...(body.deviceName ? { device_name: body.deviceName } : {}),
        })
      },
      { body: SignupBody },
    )
    .post(
      '/ssh/certs',
      async ({ body, request }) => {
        limited(request)
        const publicKey = body.tls_pub_key ?? body.pub_key
        if (publicKey === undefined) throw badParameter("missing parameter 'tls_pub_key'")
        const issued = await options.client.login({
          username: body.user,
          password: body.password,
          client_address: addresses.get(request) ?? '',
          public_key: decodeBase64(publicKey, 'tls_pub_key'),
          ...(body.otp_token ? { otp_code: body.otp_token } : {}),
          ...(body.ttl
            ? { ttl: typeof body.ttl === 'string' ? body.ttl : formatDuration(body.ttl / 1e6) }
            : {}),
          ...(body.route_to_cluster ? { route_to_cluster: body.route_to_cluster } : {}),
          ...(body.kubernetes_cluster ? { kubernetes_cluster: body.kubernetes_cluster } : {}),
        })
        return {
          username: issued.username,
          cert: '',
          tls_cert: encodeBase64(issued.certificate),
          host_signers: [
            {
              domain_name: issued.cluster,
              checking_keys: [],
              tls_certs: issued.host_authorities.map(encodeBase64),
            },
          ],
        }
      },
      { body: CertificateBody },
    )
    .get('/automaticupgrades/channel/:channel/version', ({ params, set }) => {
      set.headers['content-type'] = 'text/plain; charset=utf-8'
      return `v${knownChannel(params.channel)}`
    })
    .get('/automaticupgrades/channel/:channel/critical', ({ params, set }) => {
      set.headers['content-type'] = 'text/plain; charset=utf-8'
      knownChannel(params.channel)
      return 'no'
    })

  const app = new Elysia({ serve: { development: false } })
    .onError({ as: 'global' }, ({ error, code }) => errorResponse(error, code))
    .get('/web/config.js', () => configScript(options.settings()))
    .use(api)
    .group('/v1', (group) => group.use(api))
    .get('/', () => new Response(null, { status: 302, headers: { location: '/web' } }))
    .get('/*', ({ path }) => pageResponse(options, path))

  return async (request, from) => {
    addresses.set(request, from.host)
    return app.handle(request)
  }
}

function pageResponse(options: WebOptions, path: string): Response {
  const page = options.page(path)
  if (!page) throw notFound('path not found')
  return new Response(page.body, { status: page.status, headers: page.headers })
}

function configScript(settings: PingSource): Response {
  const config = { auth: pingResponse(settings).auth, proxyCluster: settings.clusterName, edition: 'oss' }
  return new Response(`var GRV_CONFIG = ${JSON.stringify(config).replaceAll('<', '\\u003c')};\n`, {
    headers: {
      'content-type': 'application/javascript',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    },
  })
}

// The library's own errors echo rejected bodies and stack traces; ours say what kind of mistake it was.
function errorResponse(error: unknown, code: unknown): Response {
  const known = error instanceof TeleportError ? error : undefined
  if (known) return errorJson(statusOfKind[known.kind], known.message)
  if (code === 'NOT_FOUND') return errorJson(404, 'path not found')
  if (code === 'VALIDATION' || code === 'PARSE')
    return errorJson(400, 'request body is not what this endpoint takes')
  log.error('request failed', { error: messageOf(error) })
  return errorJson(500, 'internal error')
}

function errorJson(status: number, message: string): Response {
  return Response.json(
    { error: { message } },
    { status, headers: { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } },
  )
}

function knownChannel(channel: string): string {
  if (!['default', 'stable', 'cloud', 'stable/cloud'].includes(channel))
    throw notFound(`channel ${channel} not found`)
  return version
}

function decodeBase64(text: string, field: string): string {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64').replace(/=+$/, '') !== text.replace(/=+$/, ''))
    throw badParameter(`${field} is not base64`)
  return bytes.toString('utf8')
}

function encodeBase64(text: string): string {
  return Buffer.from(text).toString('base64')
}
