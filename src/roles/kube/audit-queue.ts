// Audit events on their way to auth: gathered and sent off the request path, in order, and never dropped. When auth
// does not keep up, new requests wait.

import type { AuthClient } from '../../api/operations.ts'
import type { AuditEvent } from '../../audit/events.ts'
import { messageOf } from '../../errors.ts'
import { createLogger } from '../../log.ts'
import { metrics } from '../../metrics.ts'

const log = createLogger('kube:audit')

/** Events that may wait before requests do. */
const highWater = 5000
const batchSize = 500
const retryMs = 1000
/** At the end of the process, how long unsent events are tried. */
const flushMs = 10_000

export class AuditQueue implements AsyncDisposable {
  readonly #client: Pick<AuthClient, 'emitAudit'>
  readonly #queue: AuditEvent[] = []
  readonly #waiting: (() => void)[] = []
  #sending: Promise<void> | undefined
  #giveUpAt = Number.POSITIVE_INFINITY

  constructor(client: Pick<AuthClient, 'emitAudit'>) {
    this.#client = client
  }

  /** Returns when there is room for the events of another request. */
  async room(): Promise<void> {
    while (this.#queue.length >= highWater) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  add(...events: readonly AuditEvent[]): void {
    this.#queue.push(...events)
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined
    })
  }

  /** Stores events now; throws when that is not possible. For sessions that may not run unrecorded. */
  async store(...events: readonly AuditEvent[]): Promise<void> {
    await this.#client.emitAudit(events)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#giveUpAt = Date.now() + flushMs
    await this.#sending
    if (this.#queue.length > 0) log.error('audit events were not stored', { events: this.#queue.length })
  }

  async #send(): Promise<void> {
    // A turn later: the events of many requests travel together.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#queue.length > 0 && Date.now() < this.#giveUpAt) {
      const batch = this.#queue.slice(0, batchSize)
      try {
        await this.#client.emitAudit(batch)
        this.#queue.splice(0, batch.length)
        for (const wake of this.#waiting.splice(0)) wake()
      } catch (error) {
        metrics.auditFailures.inc()
        log.warn('audit events could not be sent, trying again', {
          events: this.#queue.length,
          error: messageOf(error),
        })
        await Bun.sleep(retryMs)
      }
    }
  }
}
