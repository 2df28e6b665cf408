// What `/readyz` says. Each component reports whether its last round worked; the worst of them is the process's
// state. A component that fails is degraded, then recovering for a while once it works again.

export type ComponentState = 'starting' | 'ok' | 'degraded' | 'recovering'

/** A component counts as recovered when it has worked for this long: twice the period of its health check. */
const recoveryMs = 10_000

const severity: Record<ComponentState, number> = { ok: 0, starting: 1, recovering: 2, degraded: 3 }
const gaugeValue: Record<ComponentState, number> = { ok: 0, recovering: 1, degraded: 2, starting: 3 }

export class ProcessState {
  readonly #components = new Map<string, { state: ComponentState; recoveringSince: number }>()
  readonly #clock: () => number

  constructor(components: readonly string[], clock: () => number = Date.now) {
    this.#clock = clock
    for (const name of components) this.#components.set(name, { state: 'starting', recoveringSince: 0 })
  }

  /** A component's round went well or not. Components not named at construction are added. */
  report(component: string, ok: boolean): void {
    const before = this.#components.get(component)?.state ?? 'starting'
    if (!ok) this.#components.set(component, { state: 'degraded', recoveringSince: 0 })
    else if (before === 'degraded') {
      this.#components.set(component, { state: 'recovering', recoveringSince: this.#clock() })
    } else if (before === 'starting') this.#components.set(component, { state: 'ok', recoveringSince: 0 })
  }

  current(): ComponentState {
    let worst: ComponentState = 'ok'
    for (const component of this.#components.values()) {
      if (component.state === 'recovering' && this.#clock() - component.recoveringSince >= recoveryMs) {
        component.state = 'ok'
      }
      if (severity[component.state] > severity[worst]) worst = component.state
    }
    return worst
  }

  /** For the `process_state` gauge: 0 ok, 1 recovering, 2 degraded, 3 starting. */
  gauge(): number {
    return gaugeValue[this.current()]
  }
}
