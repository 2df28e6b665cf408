// Joins two wires, byte for byte, without a buffer in between: what one side does not take stays with the sender.

import type { Sink, Wire } from './connection.ts'

export interface SpliceOutcome {
  /** False when a side was reset instead of ended. */
  readonly orderly: boolean
  readonly leftToRight: number
  readonly rightToLeft: number
}

/** Carries bytes and half-closes both ways until both wires are closed. A wire that breaks resets the other. */
export function splice(left: Wire, right: Wire): Promise<SpliceOutcome> {
  const { promise, resolve } = Promise.withResolvers<SpliceOutcome>()
  const moved = { left: 0, right: 0 }
  const ended = { left: false, right: false }
  let open = 2
  let orderly = true
  const side = (from: 'left' | 'right', other: Wire): Sink => ({
    data: (bytes, start, end) => {
      const taken = other.write(bytes, start, end)
      moved[from] += taken
      return taken
    },
    drained: () => other.resume(),
    ended: () => {
      ended[from] = true
      other.end()
    },
    closed: (error) => {
      open--
      if (error || !ended.left || !ended.right) {
        orderly = false
        other.reset()
      }
      if (open === 0) resolve({ orderly, leftToRight: moved.left, rightToLeft: moved.right })
    },
  })
  left.attach(side('left', right))
  right.attach(side('right', left))
  return promise
}
