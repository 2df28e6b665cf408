// Limited numbers of places: a holder takes one with a time to live and gives it back; who dies without a word loses
// it when the time is up.

import { randomUUID } from 'node:crypto'
import { limitExceeded } from '../../errors.ts'
import { parseDuration } from '../../resources/duration.ts'
import { CommitConflict, type Store } from '../../store/store.ts'

export interface LeaseRequest {
  readonly kind: string
  readonly name: string
  readonly limit: number
  /** Go duration. */
  readonly ttl: string
}

type Holders = Readonly<Record<string, number>>

const attempts = 20

export class Leases {
  readonly #store: Store
  readonly #clock: () => number

  constructor(store: Store, clock: () => number = Date.now) {
    this.#store = store
    this.#clock = clock
  }

  async acquire({ kind, name, limit, ttl }: LeaseRequest): Promise<{ id: string }> {
    const id = randomUUID()
    await this.#change(kind, name, (holders) => {
      if (Object.keys(holders).length >= limit) {
        throw limitExceeded(
          `too many concurrent kubernetes connections for user ${JSON.stringify(name)} (max=${limit})`,
        )
      }
      return { ...holders, [id]: this.#clock() + parseDuration(ttl) }
    })
    return { id }
  }

  async release({ kind, name, id }: { kind: string; name: string; id: string }): Promise<void> {
    await this.#change(kind, name, (holders) =>
      Object.fromEntries(Object.entries(holders).filter(([holder]) => holder !== id)),
    )
  }

  async #change(kind: string, name: string, change: (holders: Holders) => Holders): Promise<void> {
    const key = `/leases/${kind}/${name}`
    for (let attempt = 1; ; attempt++) {
      const item = await this.#store.get(key)
      const all = Object.entries((item?.value as Holders | undefined) ?? {})
      const live = Object.fromEntries(all.filter(([, expires]) => expires > this.#clock()))
      const next = change(live)
      const condition = item ? { key, revision: item.revision } : ({ key, is: 'absent' } as const)
      try {
        await this.#store.commit([condition], [{ put: key, value: next }])
        return
      } catch (error) {
        if (!(error instanceof CommitConflict) || attempt >= attempts) throw error
      }
    }
  }
}
