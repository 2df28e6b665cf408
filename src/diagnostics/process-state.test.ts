import { describe, expect, it } from 'bun:test'
import { ProcessState } from './process-state.ts'

describe('ProcessState', () => {
  it('starts, and is ok when every component has reported once', () => {
    const state = new ProcessState(['auth', 'kube'], () => 0)
    expect([state.current(), state.gauge()]).toEqual(['starting', 3])
    state.report('auth', true)
    expect(state.current()).toBe('starting')
    state.report('kube', true)
    expect([state.current(), state.gauge()]).toEqual(['ok', 0])
  })

  it('is degraded while a component fails, and recovers ten seconds after it works again', () => {
    let now = 0
    const state = new ProcessState(['kube'], () => now)
    state.report('kube', true)
    state.report('kube', false)
    expect([state.current(), state.gauge()]).toEqual(['degraded', 2])
    state.report('kube', true)
    expect([state.current(), state.gauge()]).toEqual(['recovering', 1])
    now += 9_999
    state.report('kube', true)
    expect(state.current()).toBe('recovering')
    now += 1
    expect(state.current()).toBe('ok')
  })

  it('lets the worst component speak', () => {
    const state = new ProcessState(['a', 'b'], () => 0)
    state.report('a', false)
    expect(state.current()).toBe('degraded')
  })
})
