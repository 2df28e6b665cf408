// The proxy's web API, as far as a login needs it.

import { badParameter, connectionProblem, messageOf, TeleportError, unauthenticated } from '../../errors.ts'
import { version } from '../../version.ts'

export interface ProxyInfo {
  /** `host:port` that answered. */
  readonly address: string
  readonly cluster: string
  readonly serverVersion: string
  readonly minimumClientVersion: string
  readonly secondFactor: string
  readonly kubernetes: {
    readonly enabled: boolean
    readonly publicAddress: string
    readonly listenAddress: string
  }
  readonly tlsRouting: boolean
}

const pingTimeoutMs = 10_000
/** Tried when the user names no port. */
const usualPorts = [443, 3080]

export class WebApi {
  readonly #insecure: boolean

  constructor({ insecure }: { insecure: boolean }) {
    this.#insecure = insecure
  }

  /** Finds the proxy. Without a port, the first of the usual ones that answers. */
  async ping(proxy: string): Promise<ProxyInfo> {
    const bare = proxy.replace(/^https:\/\//, '').replace(/\/.*$/, '')
    const [host = '', ports] = splitAddress(bare)
    const candidates =
      ports === undefined ? usualPorts.map((port) => `${host}:${port}`) : [`${host}:${ports}`]
    try {
      return await Promise.any(candidates.map((address) => this.#pingOne(address)))
    } catch (cause) {
      const first = cause instanceof AggregateError ? (cause.errors as unknown[])[0] : cause
      if (first instanceof TeleportError && first.kind !== 'connection-problem') throw first
      throw connectionProblem(`Teleport proxy not available at ${candidates[0]}.`, {
        cause: first,
        hint: messageOf(first),
      })
    }
  }

  async #pingOne(address: string): Promise<ProxyInfo> {
    const body = await this.#json(address, '/webapi/ping', {})
    const at = (...path: string[]): unknown =>
      path.reduce<unknown>(
        (value, key) =>
          typeof value === 'object' && value !== null && key in value
            ? (value as Record<string, unknown>)[key]
            : undefined,
        body,
      )
    const text = (...path: string[]) => {
      const value = at(...path)
      return typeof value === 'string' ? value : ''
    }
    if (text('cluster_name') === '') throw badParameter(`${address} is not a Teleport proxy`)
    return {
      address,
      cluster: text('cluster_name'),
      serverVersion: text('server_version'),
      minimumClientVersion: text('min_client_version'),
      secondFactor: text('auth', 'second_factor'),
      kubernetes: {
        enabled: at('proxy', 'kube', 'enabled') === true,
        publicAddress: text('proxy', 'kube', 'public_addr'),
        listenAddress: text('proxy', 'kube', 'listen_addr'),
      },
      tlsRouting: at('proxy', 'tls_routing_enabled') === true,
    }
  }

  async login(
    address: string,
    input: {
      user: string
      password: string
      code: string
      publicKey: string
      ttlMinutes: number
      kubernetesCluster: string
    },
  ) {
    const body = {
      user: input.user,
      password: input.password,
      otp_token: input.code,
      tls_pub_key: Buffer.from(input.publicKey).toString('base64'),
      ...(input.ttlMinutes > 0 ? { ttl: input.ttlMinutes * 60e9 } : {}),
      ...(input.kubernetesCluster ? { kubernetes_cluster: input.kubernetesCluster } : {}),
    }
    const answer = await this.#json(address, '/webapi/ssh/certs', {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    })
    const { tls_cert, host_signers } = answer as {
      tls_cert?: unknown
      host_signers?: { tls_certs?: unknown[] }[]
    }
    if (typeof tls_cert !== 'string') throw connectionProblem('the proxy answered without a certificate')
    const decode = (text: unknown) => Buffer.from(String(text), 'base64').toString('utf8')
    return {
      certificate: decode(tls_cert),
      authorities: (host_signers?.[0]?.tls_certs ?? []).map(decode).join(''),
    }
  }

  async #json(address: string, path: string, init: RequestInit): Promise<unknown> {
    let response: Response
    try {
      response = await fetch(`https://${address}${path}`, {
        ...init,
        tls: { rejectUnauthorized: !this.#insecure },
        signal: AbortSignal.timeout(pingTimeoutMs),
        redirect: 'manual',
      })
    } catch (cause) {
      throw explain(cause)
    }
    const body: unknown = await response.json().catch(() => undefined)
    if (response.ok) return body
    const error = typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined
    const message =
      typeof error === 'object' && error !== null && 'message' in error
        ? String(error.message)
        : `the proxy answered with status ${response.status}`
    throw unauthenticated(message)
  }
}

function explain(cause: unknown): Error {
  const text = messageOf(cause)
  if (/certificate|self.signed|CERT_/i.test(text)) {
    return unauthenticated('x509: certificate signed by unknown authority', {
      cause,
      hint: 'The proxy you are connecting to has presented a certificate signed by a unknown authority. If you trust it, rerun with --insecure',
    })
  }
  return connectionProblem(text, { cause })
}

function splitAddress(text: string): [string, string | undefined] {
  const match = /^(\[[^\]]+\]|[^:,]+)(?::(\d+))?/.exec(text)
  if (!match)
    throw badParameter(`${JSON.stringify(text)} is not a proxy address`, { hint: 'write host or host:port' })
  return [match[1] ?? '', match[2]]
}

/** Throws when the server no longer works with this client. */
export function checkVersion({ minimumClientVersion }: ProxyInfo): void {
  const major = (text: string) => Number.parseInt(text, 10) || 0
  if (major(version) >= major(minimumClientVersion)) return
  throw badParameter(
    `Minimum client version supported by the server is ${minimumClientVersion} but you are using ${version}.`,
    {
      hint: `Please upgrade tsh to ${minimumClientVersion} or newer or use the --skip-version-check flag to bypass this check.`,
    },
  )
}
