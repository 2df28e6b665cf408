import { describe, expect, it } from 'bun:test'
import { TeleportError } from '../errors.ts'
import { metrics } from '../metrics.ts'
import { ProcessState } from './process-state.ts'
import { serveDiagnostics } from './server.ts'

describe('serveDiagnostics', () => {
  const loopback = { host: '127.0.0.1', port: 0 }

  it('answers health, readiness in each state, and metrics', async () => {
    const state = new ProcessState(['kube'])
    await using server = await serveDiagnostics(loopback, state)
    const get = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${server.address.port}${path}`)
      return [response.status, await response.text()] as const
    }
    expect(await get('/healthz')).toEqual([200, '{"status":"ok"}'])
    expect(await get('/readyz')).toEqual([
      400,
      `{"status":"teleport is starting and hasn't joined the cluster yet","pid":${process.pid}}`,
    ])
    state.report('kube', true)
    expect(await get('/readyz')).toEqual([200, `{"status":"ok","pid":${process.pid}}`])
    state.report('kube', false)
    expect((await get('/readyz'))[0]).toBe(503)
    metrics.userLogins.inc()
    const [code, text] = await get('/metrics')
    expect(code).toBe(200)
    expect(text).toContain('process_state 2')
    expect(text).toMatch(/^user_login_total [1-9]/m)
    expect(text).toContain('teleport_build_info{version="')
    expect((await get('/other'))[0]).toBe(404)
  })

  it('says which address could not be had', async () => {
    await using first = await serveDiagnostics(loopback, new ProcessState([]))
    const taken = { host: '127.0.0.1', port: first.address.port }
    const failure = await serveDiagnostics(taken, new ProcessState([])).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(TeleportError)
    expect(String(failure)).toContain(`cannot listen on 127.0.0.1:${first.address.port} for diagnostics`)
  })
})
