// Unmodified kubectl through the compiled product to a real API server and node. Where it matters the same
// command is run directly as well: the visible result must be the same.

import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { connect } from 'node:net'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Cluster, freePort, startCluster } from './cluster.ts'
import { kubectl, kubectlCommand, type KubectlOptions } from './kubectl.ts'
import { type Person, startTeleport, type Teleport, until } from './teleport.ts'

let cluster: Cluster
let teleport: Teleport
let alice: Person

/** kubectl as alice, through Teleport. */
const through = (args: readonly string[], options: Partial<KubectlOptions> = {}) =>
  kubectl(args, {
    kubeconfig: alice.kubeconfig,
    ...options,
    env: { TELEPORT_HOME: join(alice.home, '.tsh'), ...options.env },
  })

const spdy = { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false', KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' }
const clients = [
  ['current, WebSocket', { version: 'current', env: {} }],
  ['current, SPDY', { version: 'current', env: spdy }],
  ['1.28, SPDY', { version: '1.28', env: {} }],
] as const

const podManifest = (name: string, command: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, labels: { app: name } },
  spec: {
    terminationGracePeriodSeconds: 0,
    containers: [{ name: 'main', image: 'kube.test/busybox:1', stdin: true, command: ['sh', '-c', command] }],
  },
})

beforeAll(async () => {
  cluster = await startCluster({ node: true })
  teleport = await startTeleport({ kubeconfig: cluster.kubeconfig, labels: { env: 'test' } })
  alice = await teleport.logIn('alice', {
    flags: ['--roles=access', '--kubernetes-groups=system:masters'],
    kubernetesCluster: 'local',
  })
  for (const [name, command] of [
    ['shell', 'echo ready; httpd -p 127.0.0.1:8080 -h /var/www; sleep 3600'],
    ['echo', 'cat'],
  ] as const) {
    const created = await through(['apply', '-f', '-'], { stdin: JSON.stringify(podManifest(name, command)) })
    expect(created).toEqual({ code: 0, stdout: `pod/${name} created\n`, stderr: '' })
  }
  const ready = await through(['wait', 'pod/shell', 'pod/echo', '--for=condition=Ready', '--timeout=60s'], {
    timeoutMs: 70_000,
  })
  expect(ready.code).toBe(0)
}, 180_000)

afterAll(async () => {
  await teleport?.[Symbol.asyncDispose]()
  await cluster?.[Symbol.asyncDispose]()
})

describe('plain requests', () => {
  test.each(['current', '1.28'] as const)(
    'kubectl %s: get, explain, create, patch and delete look as they do directly',
    async (version) => {
      for (const args of [
        ['get', 'ns', '-o', 'name'],
        ['get', 'pods', '-A', '-o', 'wide'],
        ['explain', 'pod.spec.containers.image'],
        ['api-resources'],
      ]) {
        expect(await through(args, { version })).toEqual(await cluster.kubectl(args, { version }))
      }
      const steps: [string[], string][] = [
        [['create', 'configmap', 'notes', '--from-literal=a=1'], 'configmap/notes created\n'],
        [['patch', 'configmap', 'notes', '-p', '{"data":{"a":"2"}}'], 'configmap/notes patched\n'],
        [['get', 'configmap', 'notes', '-o', 'jsonpath={.data.a}'], '2'],
        [['delete', 'configmap', 'notes'], 'configmap "notes" deleted'],
      ]
      for (const [args, shown] of steps) {
        const result = await through(args, { version })
        expect(result.stderr).toBe('')
        expect(result.stdout).toStartWith(shown)
      }
    },
  )

  test('the API server sees the impersonated principals, and nothing a client adds', async () => {
    const who = await through(['auth', 'whoami', '-o', 'json'])
    expect(JSON.parse(who.stdout).status.userInfo).toMatchObject({
      username: 'alice',
      groups: ['system:masters', 'system:authenticated'],
    })
    const forged = await through(['get', 'ns', '--as', 'bob'])
    expect(forged.code).toBe(1)
    expect(forged.stderr).toContain(
      'impersonation request has been denied, user header "bob" is not allowed in roles',
    )
    const narrowed = await through([
      'auth',
      'whoami',
      '-o',
      'json',
      '--as',
      'alice',
      '--as-group',
      'system:authenticated',
    ])
    expect(JSON.parse(narrowed.stdout).status.userInfo.groups).toEqual(['system:authenticated'])
  })

  test('server-side apply of a 900 KB object, and a list of 2,000 objects in chunks', async () => {
    const big = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'big' },
      data: { text: 'x'.repeat(900_000) },
    }
    const applied = await through(['apply', '--server-side', '-f', '-'], { stdin: JSON.stringify(big) })
    expect(applied).toEqual({ code: 0, stdout: 'configmap/big serverside-applied\n', stderr: '' })
    const read = await through(['get', 'configmap', 'big', '-o', 'jsonpath={.data.text}'])
    expect(read.stdout.length).toBe(900_000)
    const items = Array.from({ length: 2000 }, (_, index) => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: `item-${index}`, labels: { many: 'yes' } },
    }))
    const list = { apiVersion: 'v1', kind: 'List', items }
    const created = await cluster.kubectl(['create', '-f', '-'], {
      stdin: JSON.stringify(list),
      timeoutMs: 120_000,
    })
    expect(created.code).toBe(0)
    const listed = await through(['get', 'configmaps', '-l', 'many=yes', '-o', 'name'], { timeoutMs: 60_000 })
    expect(listed.stdout.trim().split('\n').length).toBe(2000)
  }, 200_000)

  test('a watch shows each change as it happens and ends with its client', async () => {
    const child = Bun.spawn(
      kubectlCommand(
        ['get', 'configmaps', '-w', '--output-watch-events', '-l', 'watched=yes', '--no-headers'],
        { kubeconfig: alice.kubeconfig },
      ),
      {
        stdin: 'ignore',
        stdout: 'pipe',
        stderr: 'pipe',
        env: { HOME: alice.home, TELEPORT_HOME: join(alice.home, '.tsh') },
      },
    )
    let seen = ''
    const reading = (async () => {
      for await (const chunk of child.stdout) seen += new TextDecoder().decode(chunk)
    })()
    await Bun.sleep(1000)
    const object = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'seen', labels: { watched: 'yes' } },
    }
    await cluster.kubectl(['create', '-f', '-'], { stdin: JSON.stringify(object) })
    await until(async () => /ADDED\s+seen/.test(seen), 'the watch to show the object')
    await cluster.kubectl(['delete', 'configmap', 'seen'])
    await until(async () => /DELETED\s+seen/.test(seen), 'the watch to show that it is gone')
    child.kill('SIGINT')
    await child.exited
    await reading
  }, 60_000)

  test('errors of the API server and of Teleport are printed as kubectl prints errors', async () => {
    const missing = await through(['get', 'configmap', 'no-such'])
    expect(missing).toEqual(await cluster.kubectl(['get', 'configmap', 'no-such']))
    const metrics = await through(['get', '--raw', '/metrics'])
    expect(metrics.code).toBe(1)
    expect(metrics.stderr).toContain('Forbidden')
  })
})

describe.each(clients)('streams: kubectl %s', (_, client) => {
  const run = (args: readonly string[], options: Partial<KubectlOptions> = {}) =>
    through(args, { version: client.version, ...options, env: { ...client.env, ...options.env } })

  test('exec: output, error output, exit code, stdin with half-close', async () => {
    const both = await run(['exec', 'shell', '--', 'sh', '-c', 'echo out; echo err >&2; exit 3'])
    expect(both).toEqual({
      code: 3,
      stdout: 'out\n',
      stderr: expect.stringContaining('err\ncommand terminated with exit code 3\n'),
    })
    const text = 'line\n'.repeat(600_000)
    const copied = await run(['exec', '-i', 'shell', '--', 'wc', '-c'], { stdin: text, timeoutMs: 60_000 })
    expect(copied.stdout.trim()).toBe(String(text.length))
  }, 90_000)

  test('exec: 50 MB of output arrive whole', async () => {
    const result = await run(['exec', 'shell', '--', 'head', '-c', '50000000', '/dev/zero'], {
      timeoutMs: 60_000,
    })
    expect([result.code, result.stdout.length]).toEqual([0, 50_000_000])
  }, 90_000)

  test('exec: a command that does not exist fails as it does directly', async () => {
    const options = { version: client.version, env: client.env }
    const direct = await cluster.kubectl(['exec', 'shell', '--', 'no-such-program'], options)
    const result = await run(['exec', 'shell', '--', 'no-such-program'])
    expect(result.code).toBe(direct.code)
    expect(result.stderr).toContain('no-such-program')
  })

  test('logs and logs -f', async () => {
    expect(await run(['logs', 'shell'])).toEqual({ code: 0, stdout: 'ready\n', stderr: '' })
  })

  test('attach: what is typed comes back', async () => {
    const child = Bun.spawn(
      kubectlCommand(['attach', '-i', 'echo'], { kubeconfig: alice.kubeconfig, version: client.version }),
      {
        stdin: 'pipe',
        stdout: 'pipe',
        stderr: 'pipe',
        env: { HOME: alice.home, TELEPORT_HOME: join(alice.home, '.tsh'), ...client.env },
      },
    )
    let seen = ''
    const reading = (async () => {
      for await (const chunk of child.stdout) seen += new TextDecoder().decode(chunk)
    })()
    await Bun.sleep(1500)
    void child.stdin.write('hello there\n')
    await child.stdin.flush()
    await until(async () => seen.includes('hello there\n'), 'the attached container to answer')
    child.kill('SIGINT')
    await child.exited
    await reading
  }, 60_000)

  test('cp: a file up and down again, byte for byte', async () => {
    const folder = join(alice.home, `cp-${client.version}-${Object.keys(client.env).length}`)
    await mkdir(folder, { recursive: true })
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 31) & 255))
    await writeFile(join(folder, 'up'), bytes)
    const up = await run(['cp', join(folder, 'up'), 'shell:/tmp/copied'])
    expect([up.code, up.stderr]).toEqual([0, ''])
    const down = await run(['cp', 'shell:/tmp/copied', join(folder, 'down')])
    expect(down.code).toBe(0)
    expect(Buffer.from(await Bun.file(join(folder, 'down')).arrayBuffer()).equals(bytes)).toBe(true)
  }, 60_000)

  test('port-forward: HTTP through it, several connections', async () => {
    const port = await freePort()
    const child = Bun.spawn(
      kubectlCommand(['port-forward', 'pod/shell', `${port}:8080`], {
        kubeconfig: alice.kubeconfig,
        version: client.version,
      }),
      {
        stdin: 'ignore',
        stdout: 'ignore',
        stderr: 'pipe',
        env: { HOME: alice.home, TELEPORT_HOME: join(alice.home, '.tsh'), ...client.env },
      },
    )
    await until(() => listens(port), 'port-forward to listen')
    for (let round = 0; round < 5; round++) {
      const response = await fetch(`http://127.0.0.1:${port}/index.html`, { keepalive: false })
      expect(await response.text()).toBe('hello from a pod\n')
    }
    child.kill('SIGINT')
    await child.exited
  }, 60_000)
})

describe('who may do what', () => {
  test('a user without Kubernetes principals is told what is missing', async () => {
    const role =
      'kind: role\nversion: v7\nmetadata: {name: nothing}\nspec: {allow: {kubernetes_labels: {"*": "*"}}}\n'
    const created = await teleport.tctl(['create', '-f'], { stdin: role })
    expect(created).toEqual({ code: 0, stdout: 'role "nothing" has been created\n', stderr: '' })
    const bob = await teleport.logIn('bob', { flags: ['--roles=nothing'], kubernetesCluster: 'local' })
    const refused = await kubectl(['get', 'pods'], {
      kubeconfig: bob.kubeconfig,
      env: { TELEPORT_HOME: join(bob.home, '.tsh') },
    })
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('kubernetes_groups')
  }, 90_000)

  test('a lock cuts a user off', async () => {
    const carol = await teleport.logIn('carol', {
      flags: ['--roles=access', '--kubernetes-groups=system:masters'],
      kubernetesCluster: 'local',
    })
    const get = () =>
      kubectl(['get', 'ns'], {
        kubeconfig: carol.kubeconfig,
        env: { TELEPORT_HOME: join(carol.home, '.tsh') },
      })
    expect((await get()).code).toBe(0)
    const locked = await teleport.tctl(['lock', '--user=carol', '--message=left the company'])
    expect(locked.stdout).toMatch(/^Created a lock with name "[0-9a-f-]{36}"\.\n$/)
    await until(async () => (await get()).code === 1, 'the lock to be in force')
    expect((await get()).stderr).toContain('left the company')
  }, 120_000)
})

describe('ways to a cluster', () => {
  /** Credentials in a file, sent to another address than the one written in it. */
  const signed = async (
    name: string,
    { server, serverName, flags = [] }: { server?: string; serverName?: string; flags?: string[] },
  ) => {
    const file = join(teleport.folder, `${name}.kubeconfig`)
    const made = await teleport.tctl([
      'auth',
      'sign',
      '--user=alice',
      '--format=kubernetes',
      `--out=${file}`,
      '--overwrite',
      ...flags,
    ])
    expect(made.code).toBe(0)
    let text = await Bun.file(file).text()
    if (server) text = text.replace(/server: .*/, `server: ${server}`)
    if (serverName) text = text.replace(/( +)(server: .*)/, `$1$2\n$1tls-server-name: ${serverName}`)
    await writeFile(file, text)
    return file
  }
  const namespaces = { code: 0, stdout: 'namespace/default\n', stderr: '' }
  const get = ['get', 'ns', 'default', '-o', 'name']
  const alpn = 'kube-teleport-proxy-alpn.teleport.cluster.local'

  test('the Kubernetes port, with a certificate that names a cluster and with one that names none', async () => {
    expect(
      await kubectl(get, { kubeconfig: await signed('named', { flags: ['--kube-cluster-name=local'] }) }),
    ).toEqual(namespaces)
    expect(await kubectl(get, { kubeconfig: await signed('unnamed', {}) })).toEqual(namespaces)
  })

  test('the web port, told apart by server name', async () => {
    const file = await signed('web', {
      server: `https://${teleport.webAddress}`,
      serverName: alpn,
      flags: ['--kube-cluster-name=local'],
    })
    expect(await kubectl(get, { kubeconfig: file })).toEqual(namespaces)
    const ran = await kubectl(['exec', 'shell', '--', 'echo', 'through the web port'], { kubeconfig: file })
    expect(ran.stdout).toBe('through the web port\n')
  })

  test('a path that names the cluster, one certificate for all', async () => {
    const encode = (text: string) => Buffer.from(text).toString('base64url')
    const path = (name: string) =>
      `https://${teleport.kubeAddress}/v1/teleport/${encode('root.example.com')}/${encode(name)}`
    const file = await signed('path', { server: path('local') })
    expect(await kubectl(get, { kubeconfig: file })).toEqual(namespaces)
    for (const env of [{}, spdy]) {
      const ran = await kubectl(['exec', '-i', 'shell', '--', 'cat'], {
        kubeconfig: file,
        stdin: 'by path\n',
        env,
      })
      expect(ran).toEqual({ code: 0, stdout: 'by path\n', stderr: '' })
    }
    const unknown = await kubectl(get, { kubeconfig: await signed('unknown', { server: path('nowhere') }) })
    expect(unknown.stderr).toContain('Kubernetes cluster "nowhere" not found')
    const elsewhere = await kubectl(get, {
      kubeconfig: await signed('elsewhere', { server: path('other'), flags: ['--kube-cluster-name=local'] }),
    })
    expect(elsewhere.stderr).toContain('existing route in identity may not be overwritten')
  })

  test('no certificate, or one of a process, gets nowhere', async () => {
    const url = `https://${teleport.kubeAddress}/api/v1/namespaces`
    const refused = await fetch(url, { tls: { rejectUnauthorized: false } })
    expect([refused.status, await refused.json()]).toEqual([
      401,
      expect.objectContaining({
        kind: 'Status',
        code: 401,
        message: 'only mutual TLS authentication is supported',
      }),
    ])
    const admin = await Bun.file(join(teleport.folder, 'data/proc/admin.pem')).text()
    const host = await fetch(url, { tls: { rejectUnauthorized: false, cert: admin, key: admin } })
    expect([host.status, ((await host.json()) as { message: string }).message]).toEqual([
      403,
      '[00] access denied',
    ])
  })
})

describe('limits', () => {
  const roleWith = async (name: string, options: string) => {
    const allow = 'allow: {kubernetes_labels: {"*": "*"}, kubernetes_groups: ["system:masters"]}'
    const role = `kind: role\nversion: v7\nmetadata: {name: ${name}}\nspec: {${allow}, options: {${options}}}\n`
    expect((await teleport.tctl(['create', '-f'], { stdin: role })).code).toBe(0)
  }

  test('a session that is silent for too long is ended, and the user is told', async () => {
    await roleWith('sleepy', 'client_idle_timeout: 2s')
    const user = await teleport.logIn('sleepy-user', {
      flags: ['--roles=sleepy'],
      kubernetesCluster: 'local',
    })
    for (const env of [{}, spdy]) {
      const started = Date.now()
      const result = await kubectl(['exec', '-i', 'shell', '--', 'sleep', '60'], {
        kubeconfig: user.kubeconfig,
        stdin: '',
        env: { TELEPORT_HOME: join(user.home, '.tsh'), ...env },
      })
      expect(result.code).not.toBe(0)
      expect(Date.now() - started).toBeLessThan(15_000)
      expect(result.stderr).toContain('idle timeout')
    }
  }, 90_000)

  test('a connection ends with its certificate when the role says so', async () => {
    await roleWith('strict', 'disconnect_expired_cert: true')
    await teleport.addPerson('strict-user', ['--roles=strict'])
    const file = join(teleport.folder, 'strict.kubeconfig')
    const flags = [
      '--user=strict-user',
      '--format=kubernetes',
      `--out=${file}`,
      '--ttl=6s',
      '--kube-cluster-name=local',
    ]
    expect((await teleport.tctl(['auth', 'sign', ...flags])).stdout).toBe(
      `\nThe credentials have been written to ${file}\n`,
    )
    const before = await kubectl(['get', 'ns'], { kubeconfig: file })
    expect(before.code).toBe(0)
    const started = Date.now()
    await kubectl(['exec', '-i', 'shell', '--', 'sleep', '60'], { kubeconfig: file, stdin: '' })
    expect(Date.now() - started).toBeLessThan(20_000)
    expect((await kubectl(['get', 'ns'], { kubeconfig: file })).code).toBe(1)
  }, 60_000)

  test('a user has no more connections at once than the role allows', async () => {
    await roleWith('single', 'max_kubernetes_connections: 1')
    const user = await teleport.logIn('single-user', {
      flags: ['--roles=single'],
      kubernetesCluster: 'local',
    })
    const options = { kubeconfig: user.kubeconfig, env: { TELEPORT_HOME: join(user.home, '.tsh') } }
    const first = Bun.spawn(
      kubectlCommand(['exec', 'shell', '--', 'sh', '-c', 'echo started; sleep 30'], options),
      {
        stdin: 'ignore',
        stdout: 'pipe',
        stderr: 'ignore',
        env: { HOME: user.home, ...options.env },
      },
    )
    for await (const chunk of first.stdout) if (new TextDecoder().decode(chunk).includes('started')) break
    const second = await kubectl(['exec', 'shell', '--', 'true'], options)
    expect(second.code).not.toBe(0)
    expect(second.stderr).toContain(
      'too many concurrent kubernetes connections for user "single-user" (max=1)',
    )
    first.kill('SIGKILL')
    await first.exited
    await until(
      async () => (await kubectl(['exec', 'shell', '--', 'true'], options)).code === 0,
      'the place to be free again',
    )
  }, 60_000)

  test("forty kubectl at once, with nothing cached, do not get in each other's way", async () => {
    const user = await teleport.logIn('crowd', {
      flags: ['--roles=access', '--kubernetes-groups=system:masters'],
      kubernetesCluster: 'local',
    })
    const options = {
      kubeconfig: user.kubeconfig,
      env: { TELEPORT_HOME: join(user.home, '.tsh') },
      timeoutMs: 60_000,
    }
    const results = await Promise.all(
      Array.from({ length: 40 }, () => kubectl(['get', 'ns', 'default', '-o', 'name'], options)),
    )
    expect(new Set(results.map(({ code, stdout, stderr }) => `${code} ${stdout}${stderr}`))).toEqual(
      new Set(['0 namespace/default\n']),
    )
  }, 120_000)

  test('output that nobody reads stays in the pod', async () => {
    const resident = async () =>
      Number(/VmRSS:\s+(\d+) kB/.exec(await Bun.file(`/proc/${teleport.pid}/status`).text())?.[1]) / 1024
    for (const env of [{}, spdy]) {
      const before = await resident()
      const child = Bun.spawn(
        kubectlCommand(['exec', 'shell', '--', 'cat', '/dev/zero'], { kubeconfig: alice.kubeconfig }),
        {
          stdin: 'ignore',
          stdout: 'pipe',
          stderr: 'ignore',
          env: { HOME: alice.home, TELEPORT_HOME: join(alice.home, '.tsh'), ...env },
        },
      )
      const reader = child.stdout.getReader()
      await reader.read()
      await Bun.sleep(4000)
      expect((await resident()) - before).toBeLessThan(32)
      child.kill('SIGKILL')
      await child.exited
    }
  }, 60_000)
})

describe('what is recorded', () => {
  test('every request, session, command and forwarded port is in the audit log, whose chain verifies', async () => {
    const readEvents = async () =>
      (await Bun.file(teleport.auditLog).text())
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>)
    const count = (list: readonly Record<string, unknown>[], event: string) =>
      list.filter((entry) => entry['event'] === event).length
    // The session of a client that was killed a moment ago ends a moment later.
    await until(async () => {
      const list = await readEvents()
      return count(list, 'session.start') === count(list, 'session.end')
    }, 'every session to have its end')
    const events = await readEvents()
    const of = (event: string) => events.filter((entry) => entry['event'] === event)
    expect(of('user.login').some((entry) => entry['code'] === 'T1000I' && entry['user'] === 'alice')).toBe(
      true,
    )
    expect(of('cert.create').length).toBeGreaterThan(0)
    expect(of('kube.request')).toContainEqual(
      expect.objectContaining({
        code: 'T3009I',
        user: 'alice',
        verb: 'GET',
        kubernetes_cluster: 'local',
        response_code: 200,
      }),
    )
    expect(of('kube.request').some((entry) => entry['response_code'] === 403)).toBe(true)
    expect(of('exec')).toContainEqual(
      expect.objectContaining({
        code: 'T3002E',
        exitCode: '3',
        kubernetes_pod_name: 'shell',
        kubernetes_pod_namespace: 'default',
      }),
    )
    expect(of('session.start').length).toBeGreaterThan(0)
    expect(new Set(of('session.end').map((entry) => entry['sid']))).toEqual(
      new Set(of('session.start').map((entry) => entry['sid'])),
    )
    expect(of('port')).toContainEqual(
      expect.objectContaining({ code: 'T3003I', user: 'alice', kubernetes_pod_name: 'shell' }),
    )
    const verified = await teleport.tctl(['audit', 'verify'])
    expect(verified.code).toBe(0)
  })

  test('no secret is in any log', async () => {
    const text = (await teleport.log()) + (await Bun.file(teleport.auditLog).text())
    expect(text).not.toContain(alice.password)
    expect(text).not.toContain('PRIVATE KEY')
    expect(text).not.toMatch(/Bearer [A-Za-z0-9]/)
  })
})

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' }, () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
