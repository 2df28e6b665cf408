// The life of a `teleport start` process: what it makes, who else may use its directory, how it ends, and that a kill
// at any moment leaves nothing that the next start stumbles over. Also what its web port answers.

import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { readFile, readlink, stat } from 'node:fs/promises'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const entry = join(import.meta.dir, '../../src/main.ts')

let folder: string
interface Started {
  readonly child: Bun.Subprocess
  readonly log: Promise<string>
}

let running: Started[]
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'teleport-process-'))
  running = []
})
afterEach(async () => {
  for (const one of running) {
    one.child.kill('SIGKILL')
    await one.child.exited
  }
  await rm(folder, { recursive: true })
})

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}

interface Ports {
  readonly auth: number
  readonly web: number
  readonly diagnostics: number
}

const ports = async (): Promise<Ports> => ({
  auth: await freePort(),
  web: await freePort(),
  diagnostics: await freePort(),
})

async function configure({ auth, web }: Ports, extra = ''): Promise<string> {
  const path = join(folder, `teleport-${web}.yaml`)
  const text = `version: v3
teleport:
  nodename: host-1
  data_dir: ${join(folder, 'data')}
  pid_file: ${join(folder, 'teleport.pid')}
auth_service:
  enabled: yes
  cluster_name: root.example.com
  listen_addr: 127.0.0.1:${auth}
proxy_service:
  enabled: yes
  web_listen_addr: 127.0.0.1:${web}
  public_addr: tele.example.com:443
${extra}`
  await writeFile(path, text)
  return path
}

function start(config: string, more: readonly string[] = []): Started {
  const child = Bun.spawn([process.execPath, entry, 'start', `--config=${config}`, ...more], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    env: { PATH: process.env['PATH'] ?? '', HOME: folder },
  })
  const log = new Response(child.stderr).text()
  const one = { child, log }
  running.push(one)
  return one
}

async function ready({ diagnostics }: Ports): Promise<void> {
  for (let round = 0; round < 200; round++) {
    const response = await fetch(`http://127.0.0.1:${diagnostics}/readyz`).catch(() => undefined)
    if (response?.status === 200) return
    await Bun.sleep(50)
  }
  throw new Error('teleport did not become ready')
}

describe('teleport start', () => {
  test('makes its data directory for its owner only, writes its pid, and ends in order', async () => {
    const at = await ports()
    const { child, log } = start(await configure(at), [`--diag-addr=127.0.0.1:${at.diagnostics}`])
    await ready(at)
    const mode = async (path: string) => ((await stat(join(folder, 'data', path))).mode & 0o777).toString(8)
    expect([await mode('.'), await mode('backend'), await mode('log')]).toEqual(['700', '700', '700'])
    expect([await mode('host_uuid'), await mode('backend/sqlite.db'), await mode('proc/admin.pem')]).toEqual([
      '600',
      '600',
      '600',
    ])
    expect(await readlink(join(folder, 'data/log/events.log'))).toMatch(/^\d{4}-\d\d-\d\d\.00:00:00\.log$/)
    expect((await readFile(join(folder, 'teleport.pid'), 'utf8')).trim()).toBe(String(child.pid))
    child.kill('SIGTERM')
    expect(await child.exited).toBe(0)
    expect(await log).toContain(
      'Starting Teleport with a self-signed TLS certificate, this is not safe for production clusters',
    )
    expect(await stat(join(folder, 'teleport.pid')).catch(() => 'gone')).toBe('gone')
  }, 30_000)

  test('refuses a directory that another process uses, and harms nothing', async () => {
    const [first, second] = [await ports(), await ports()]
    const one = start(await configure(first), [`--diag-addr=127.0.0.1:${first.diagnostics}`])
    await ready(first)
    const other = start(await configure(second))
    expect(await other.child.exited).toBe(1)
    expect(await other.log).toContain(
      `ERROR: data directory ${join(folder, 'data')} is used by another teleport process (pid ${one.child.pid})`,
    )
    expect((await fetch(`http://127.0.0.1:${first.diagnostics}/healthz`)).status).toBe(200)
  }, 30_000)

  test('starts again after a kill at any moment, as the same cluster', async () => {
    const at = await ports()
    const config = await configure(at)
    for (const delay of [0, 80, 160, 300]) {
      const { child } = start(config)
      await Bun.sleep(delay)
      child.kill('SIGKILL')
      await child.exited
    }
    const first = start(config, [`--diag-addr=127.0.0.1:${at.diagnostics}`])
    await ready(at)
    const id = await readFile(join(folder, 'data/host_uuid'), 'utf8')
    first.child.kill('SIGKILL')
    await first.child.exited
    const second = start(config, [`--diag-addr=127.0.0.1:${at.diagnostics}`])
    await ready(at)
    expect(await readFile(join(folder, 'data/host_uuid'), 'utf8')).toBe(id)
    second.child.kill('SIGTERM')
    expect(await second.child.exited).toBe(0)
  }, 60_000)

  test.each([
    [
      'a key that is not known',
      'kubernetes_servise: {}\n',
      'field kubernetes_servise not found in type config.FileConfig',
      'did you mean kubernetes_service?',
    ],
    [
      'a service that is not here',
      'app_service: {enabled: yes}\n',
      'app_service is not supported in this build',
      'set app_service.enabled to no',
    ],
  ])(
    'says what is wrong with the file: %s',
    async (_, extra, message, hint) => {
      const { child, log } = start(await configure(await ports(), extra))
      expect(await child.exited).toBe(1)
      expect(await log).toContain(message)
      expect(await log).toContain(`hint: `)
      expect(await log).toContain(hint)
      expect(await stat(join(folder, 'data')).catch(() => 'not made')).toBe('not made')
    },
    20_000,
  )

  test('says that a file is not there', async () => {
    const { child, log } = start(join(folder, 'nowhere.yaml'))
    expect(await child.exited).toBe(1)
    expect(await log).toBe(`ERROR: file ${join(folder, 'nowhere.yaml')} is not found\n`)
  }, 20_000)
})

describe('the web port', () => {
  test('answers what clients ask before they log in, with and without /v1', async () => {
    const at = await ports()
    const { child } = start(await configure(at), [`--diag-addr=127.0.0.1:${at.diagnostics}`])
    await ready(at)
    const get = (path: string, init: RequestInit = {}) =>
      fetch(`https://127.0.0.1:${at.web}${path}`, {
        ...init,
        tls: { rejectUnauthorized: false },
        redirect: 'manual',
      })
    const ping = (await (await get('/webapi/ping')).json()) as Record<string, unknown>
    expect(ping).toMatchObject({
      server_version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      min_client_version: expect.stringMatching(/^\d+\.0\.0$/),
      cluster_name: 'root.example.com',
      auth: { type: 'local', second_factor: 'otp' },
      proxy: { kube: { enabled: true, public_addr: 'tele.example.com:443' }, tls_routing_enabled: true },
    })
    expect(await (await get('/v1/webapi/ping')).json()).toEqual(ping)
    expect(await (await get('/v1/webapi/automaticupgrades/channel/default/version')).text()).toMatch(
      /^v\d+\.\d+\.\d+$/,
    )
    const root = await get('/')
    expect([root.status, root.headers.get('location')]).toEqual([302, '/web'])
    expect((await get('/web')).headers.get('content-security-policy')).toStartWith("default-src 'none'")
    const unknown = await get('/webapi/nothing')
    expect([unknown.status, await unknown.json()]).toEqual([404, { error: { message: 'path not found' } }])
    const wrong = await get('/webapi/ssh/certs', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"password":"hunter2-secret"}',
    })
    expect(wrong.status).toBe(400)
    expect(await wrong.text()).not.toContain('hunter2-secret')
    child.kill('SIGTERM')
    await child.exited
  }, 30_000)

  test('limits what one address may try', async () => {
    const at = await ports()
    const { child } = start(await configure(at), [`--diag-addr=127.0.0.1:${at.diagnostics}`])
    await ready(at)
    const statuses: number[] = []
    for (let round = 0; round < 60; round++) {
      const response = await fetch(
        `https://127.0.0.1:${at.web}/webapi/users/password/token/${'0'.repeat(32)}`,
        { tls: { rejectUnauthorized: false } },
      )
      statuses.push(response.status)
    }
    expect(statuses[0]).toBe(404)
    expect(statuses.filter((status) => status === 429).length).toBeGreaterThan(10)
    child.kill('SIGTERM')
    await child.exited
  }, 30_000)
})
