// What is running now, held to its limits: the end of a certificate, silence, a lock that has come meanwhile.

import type { Grant, SessionLimits } from '../../access/access.ts'
import { messageOf } from '../../errors.ts'
import type { UserIdentity } from '../../identity/identity.ts'

/** What is running now, so that it can be ended: by a lock, the end of a certificate, or silence. */
export class LiveRequests {
  readonly #live = new Set<{ readonly identity: UserIdentity; readonly end: (reason: string) => void }>()

  get size(): number {
    return this.#live.size
  }

  /** Adds a request until the returned function is called. `end` is called at most once, with the reason in words. */
  enter(
    { identity, grant }: { identity: UserIdentity; grant: Grant },
    end: (reason: string) => void,
    lastActivity?: () => number,
  ): () => void {
    const entry = { identity, end }
    this.#live.add(entry)
    const stop = watchLimits(grant.limits, { end, ...(lastActivity ? { lastActivity } : {}) })
    return () => {
      this.#live.delete(entry)
      stop()
    }
  }

  /** Ends whatever `check` throws for, e.g. after a lock has come. */
  recheck(check: (identity: UserIdentity) => void): void {
    for (const { identity, end } of this.#live) {
      try {
        check(identity)
      } catch (error) {
        end(messageOf(error))
      }
    }
  }
}

/** Longest delay a timer takes. */
const longestTimerMs = 2 ** 31 - 1

function watchLimits(
  limits: SessionLimits,
  { end, lastActivity }: { end: (reason: string) => void; lastActivity?: () => number },
): () => void {
  const timers: Timer[] = []
  if (limits.disconnectAt > 0) {
    const left = Math.min(longestTimerMs, Math.max(0, limits.disconnectAt - Date.now()))
    timers.push(setTimeout(() => end('client certificate expired'), left))
  }
  if (limits.clientIdleTimeout > 0 && lastActivity) {
    const timer = setInterval(
      () => {
        if (Date.now() - lastActivity() < limits.clientIdleTimeout) return
        clearInterval(timer)
        end(
          limits.clientIdleTimeoutMessage ||
            `client exceeded idle timeout of ${limits.clientIdleTimeout / 1000} s`,
        )
      },
      Math.max(50, Math.min(1000, limits.clientIdleTimeout / 4)),
    )
    timers.push(timer)
  }
  return () => {
    for (const timer of timers) clearTimeout(timer)
  }
}
