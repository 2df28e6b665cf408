// Requests that live long: exec, attach and port-forward, and everything else while it runs. They are held to the
// user's limits, and each session leaves its events, whatever way it ends.

import { randomUUID } from 'node:crypto'
import * as events from '../../audit/events.ts'
import { messageOf, TeleportError } from '../../errors.ts'
import type { Exchange, UpgradedSession, UpgradeOutcome } from '../../http/exchange.ts'
import { headerValue } from '../../http/headers.ts'
import type { Principals } from '../../kube/impersonate.ts'
import { streamOf } from '../../kube/request.ts'
import { type CommandEnd, observeStream, type StreamObserver } from '../../kube/stream-observer.ts'
import { metrics } from '../../metrics.ts'
import { type AuthorizedRequest, kubernetesBlock, type ServeOptions } from './authorized-request.ts'

/** Relays a request that leaves HTTP, and records it. */
export async function serveStream(
  exchange: Exchange,
  request: AuthorizedRequest,
  options: ServeOptions,
): Promise<void> {
  const kind = streamOf(request.asked)
  // An upgrade of anything else (a service proxy, say) is forwarded, and its end is a request like any other.
  const session = kind === undefined ? undefined : new StreamSession(exchange, { request, options, kind })
  await session?.start()
  let leave: (() => void) | undefined
  try {
    const outcome = await request.cluster.upgrade(request.grant, exchange, {
      target: request.target,
      onPrincipals: (principals) => session?.chosen(principals),
      opened: (upgraded) => {
        const observer = session?.opened(upgraded)
        leave = options.live.enter(
          request,
          (reason) => endSession(upgraded, { observer, reason, request, options }),
          () => upgraded.lastActivity,
        )
        return observer
      },
    })
    await session?.ended(outcome)
  } catch (error) {
    await session?.failed(error)
    throw error
  } finally {
    leave?.()
  }
}

interface EndContext {
  readonly observer: StreamObserver | undefined
  readonly reason: string
  readonly request: AuthorizedRequest
  readonly options: ServeOptions
}

function endSession(upgraded: UpgradedSession, { observer, reason, request, options }: EndContext): void {
  options.audit.add(events.clientDisconnect(request.actor, { reason, serverId: options.hostId }))
  const farewell = observer?.farewell(reason)
  if (farewell && farewell.length > 0) upgraded.sendToClient(farewell)
  upgraded.end()
}

interface SessionContext {
  readonly request: AuthorizedRequest
  readonly options: ServeOptions
  readonly kind: 'exec' | 'attach' | 'portforward'
}

/** The events of one exec, attach or port-forward. */
class StreamSession {
  readonly #exchange: Exchange
  readonly #context: SessionContext
  readonly #sid = randomUUID()
  readonly #startedAt = Date.now()
  readonly #query: URLSearchParams
  readonly #ports = new Set<number>()
  #principals: Principals | undefined
  #observer: StreamObserver | undefined

  constructor(exchange: Exchange, context: SessionContext) {
    this.#exchange = exchange
    this.#context = context
    const { target } = exchange.request
    this.#query = new URLSearchParams(target.includes('?') ? target.slice(target.indexOf('?') + 1) : '')
  }

  /** Nothing starts that could not be recorded. */
  async start(): Promise<void> {
    const { kind, options } = this.#context
    metrics.kubernetesSessions.inc({ kind })
    if (kind === 'portforward') return options.audit.room()
    await options.audit.store(
      events.sessionStart(this.#block(), { command: this.#command, interactive: this.#interactive }),
    )
  }

  chosen(principals: Principals): void {
    this.#principals = principals
  }

  opened(upgraded: UpgradedSession): StreamObserver {
    const { kind, options } = this.#context
    this.#observer = observeStream({
      kind,
      upgrade: this.#exchange.request.upgrade,
      subprotocol: headerValue(upgraded.response.headers, 'sec-websocket-protocol') ?? '',
      ports: this.#query.getAll('ports').flatMap((list) => list.split(',').map(Number)),
      onPort: (port) => {
        this.#ports.add(port)
        options.audit.add(events.port(this.#block(), { port, phase: 'start' }))
      },
    })
    return this.#observer
  }

  async ended(outcome: UpgradeOutcome): Promise<void> {
    await this.#observer?.finished()
    const { audit } = this.#context.options
    if (this.#context.kind === 'portforward') {
      if (outcome.status !== 101) return audit.add(events.port(this.#block(), { port: 0, phase: 'failure' }))
      return audit.add(...[...this.#ports].map((port) => events.port(this.#block(), { port, phase: 'stop' })))
    }
    this.#finish(outcome.status === 101 ? this.#observer?.commandEnd() : refusalOf(outcome), {
      tx: outcome.bytesFromClient,
      rx: outcome.bytesFromServer,
    })
  }

  async failed(error: unknown): Promise<void> {
    const { kind, options } = this.#context
    if (kind === 'portforward')
      return options.audit.add(events.port(this.#block(), { port: 0, phase: 'failure' }))
    this.#finish(
      { exitCode: error instanceof TeleportError ? error.kind : 'internal', error: messageOf(error) },
      { tx: 0, rx: 0 },
    )
  }

  #finish(end: CommandEnd | undefined, { tx, rx }: { tx: number; rx: number }): void {
    const session = this.#block()
    const result = end ?? { exitCode: '', error: 'the connection was closed before the command ended' }
    this.#context.options.audit.add(
      events.exec(session, { command: this.#command, ...result }),
      events.sessionData(session, { tx, rx }),
      events.sessionEnd(session, { interactive: this.#interactive, start: this.#startedAt }),
    )
  }

  get #command(): string[] {
    return this.#query.getAll('command')
  }

  get #interactive(): boolean {
    return ['true', '1'].includes(this.#query.get('tty') ?? '')
  }

  #block(): events.SessionBlock {
    const { actor, cluster, asked, grant } = this.#context.request
    return {
      actor,
      cluster: kubernetesBlock(cluster, { grant, principals: this.#principals }),
      pod: {
        kubernetes_pod_name: asked.name,
        kubernetes_pod_namespace: asked.namespace,
        kubernetes_container_name: this.#query.get('container') ?? '',
      },
      sid: this.#sid,
    }
  }
}

function refusalOf({ status, refusal }: UpgradeOutcome): CommandEnd {
  try {
    const parsed: unknown = JSON.parse(refusal)
    const message =
      typeof parsed === 'object' && parsed !== null && 'message' in parsed ? parsed.message : undefined
    return { exitCode: String(status), error: typeof message === 'string' ? message : refusal }
  } catch {
    // A server may refuse in plain text.
    return { exitCode: String(status), error: refusal }
  }
}
