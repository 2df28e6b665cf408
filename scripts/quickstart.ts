// From a checkout to a request through the product: builds it, starts it on loopback with a folder of its own, makes
// a first user, logs in, asks Kubernetes something, says what to type next, and stays until Ctrl-C.

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { childEnvironment } from '../src/environment.ts'
import { buildExecutable } from './build.ts'
import { acceptInvite } from './first-user.ts'
import { findCluster, type QuickstartCluster } from './quickstart-cluster.ts'

const root = join(import.meta.dir, '..')
const usage = `Usage: scripts/quickstart [--check] [--sample] [--folder PATH]

  --check         end after the proof, with exit code 0 or 1, in a temporary folder
  --sample        serve the sample Kubernetes API even if a cluster answers
  --folder PATH   where everything is kept (default: .quickstart); emptied at each start
`

const { values: flags } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
    sample: { type: 'boolean', default: false },
    folder: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
})
if (flags.help) {
  process.stdout.write(usage)
  process.exit(0)
}

const started = performance.now()
function say(line: string): void {
  console.log(`${((performance.now() - started) / 1000).toFixed(1).padStart(5)} s  ${line}`)
}

interface Ports {
  readonly web: number
  readonly kube: number
  readonly auth: number
  readonly diagnostics: number
}

interface Place {
  readonly folder: string
  readonly config: string
  readonly log: string
  readonly kubeconfig: string
  readonly tshHome: string
  readonly web: string
}

class ChildFailed extends Error {}

async function quickstart(): Promise<number> {
  const folder = flags.check ? await mkdtemp(join(tmpdir(), 'teleport-quickstart-')) : await ownFolder()
  try {
    say('Building dist/teleport')
    await buildExecutable()
    await using cluster = await findCluster({ sample: flags.sample })
    say(`Serving the Kubernetes cluster ${cluster.name}: ${cluster.reason}`)
    const ports = {
      web: await freePort(3080),
      kube: await freePort(3026),
      auth: await freePort(3025),
      diagnostics: await freePort(3000),
    }
    const place = await prepare(folder, cluster, ports)
    await using teleport = await startTeleport(place, ports)
    say(`Teleport is ready: web and API on ${place.web}, Kubernetes on 127.0.0.1:${ports.kube}`)
    const login = await firstUser(place)
    await logIn(place, cluster, login)
    const proof = await prove(place, cluster)
    say(`Kubernetes answered through Teleport:\n\n${indent(proof)}\n`)
    if (flags.check) return 0
    console.log(whatNext(place, cluster))
    return await teleport.untilStopped()
  } catch (error) {
    console.error(error instanceof ChildFailed ? error.message : error)
    return 1
  } finally {
    if (flags.check) await rm(folder, { recursive: true, force: true })
  }
}

/** An empty folder, unless another quickstart lives in it. */
async function ownFolder(): Promise<string> {
  const folder = resolve(flags.folder ?? join(root, '.quickstart'))
  const pid = Number(await readFile(join(folder, 'quickstart.pid'), 'utf8').catch(() => '0'))
  if (pid > 0 && isAlive(pid))
    throw new ChildFailed(`A quickstart runs already in ${folder}, as process ${pid}`)
  for (const name of [
    'data',
    'tsh',
    'kubeconfig',
    'cluster.kubeconfig',
    'teleport.yaml',
    'teleport.log',
    'login.txt',
  ]) {
    await rm(join(folder, name), { recursive: true, force: true })
  }
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await writeFile(join(folder, 'quickstart.pid'), String(process.pid))
  return folder
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

async function prepare(folder: string, cluster: QuickstartCluster, ports: Ports): Promise<Place> {
  const served = join(folder, 'cluster.kubeconfig')
  await writeFile(served, cluster.kubeconfig, { mode: 0o600 })
  const config = join(folder, 'teleport.yaml')
  const web = `127.0.0.1:${ports.web}`
  await writeFile(
    config,
    `# Written by scripts/quickstart. Everything listens on this machine alone.
version: v3
teleport:
  nodename: quickstart
  data_dir: ${JSON.stringify(join(folder, 'data'))}
auth_service:
  enabled: yes
  cluster_name: quickstart
  listen_addr: 127.0.0.1:${ports.auth}
proxy_service:
  enabled: yes
  web_listen_addr: ${web}
  public_addr: ${web}
  kube_listen_addr: 127.0.0.1:${ports.kube}
  kube_public_addr: 127.0.0.1:${ports.kube}
kubernetes_service:
  enabled: yes
  kubeconfig_file: ${JSON.stringify(served)}
ssh_service:
  enabled: no
`,
  )
  return {
    folder,
    config,
    web,
    log: join(folder, 'teleport.log'),
    kubeconfig: join(folder, 'kubeconfig'),
    tshHome: join(folder, 'tsh'),
  }
}

interface RunningTeleport extends AsyncDisposable {
  /** Resolves with the exit code after Ctrl-C, or when it ends by itself. */
  untilStopped(): Promise<number>
}

async function startTeleport(place: Place, ports: Ports): Promise<RunningTeleport> {
  const log = Bun.file(place.log)
  const diagnostics = `127.0.0.1:${ports.diagnostics}`
  const child = Bun.spawn(
    [executable('teleport'), 'start', `--config=${place.config}`, `--diag-addr=${diagnostics}`],
    // A session of its own: Ctrl-C reaches this script, which then stops it in order. The whole environment: the
    // kubeconfig may name a credential plugin that needs it.
    { stdin: 'ignore', stdout: log, stderr: log, env: childEnvironment(), detached: true },
  )
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, resolve)
  })
  const stop = async () => {
    child.kill('SIGTERM')
    await child.exited
  }
  const fail = async (message: string): Promise<never> => {
    await stop()
    const lines = (await log.text().catch(() => '')).trimEnd().split('\n')
    throw new ChildFailed(`${message}; the end of its log:\n\n${lines.slice(-20).join('\n')}`)
  }
  const deadline = performance.now() + 30_000
  for (;;) {
    const answer = await fetch(`http://${diagnostics}/readyz`).catch(() => undefined)
    if (answer?.ok) break
    if (child.exitCode !== null) await fail(`teleport start ended with ${child.exitCode}`)
    if (performance.now() > deadline) await fail('teleport start was not ready within 30 s')
    await Bun.sleep(50)
  }
  return {
    async untilStopped() {
      const ended = await Promise.race([stopped.then(() => undefined), child.exited])
      if (ended !== undefined) await fail(`teleport ended with ${ended}`)
      console.log('\nStopping')
      return 0
    },
    [Symbol.asyncDispose]: stop,
  }
}

interface FirstUser {
  readonly name: string
  readonly password: string
  code(): Promise<string>
}

async function firstUser(place: Place): Promise<FirstUser> {
  const name = 'admin'
  const added = await run(place, 'tctl', [
    `--config=${place.config}`,
    ...['users', 'add', name, '--roles=access,editor', '--kubernetes-groups=system:masters'],
  ])
  const token = /\/web\/invite\/([0-9a-f]+)/.exec(added)?.[1]
  if (token === undefined) throw new ChildFailed(`tctl users add printed no invite link:\n${added}`)
  const password = Buffer.from(crypto.getRandomValues(new Uint8Array(15))).toString('base64url')
  const { secret, code } = await acceptInvite({ proxy: place.web, token, password })
  await writeFile(
    join(place.folder, 'login.txt'),
    `User: ${name}\nPassword: ${password}\nKey for a one-time code app: ${secret}\n`,
    { mode: 0o600 },
  )
  say(`Made the first user, ${name}`)
  return { name, password, code }
}

async function logIn(place: Place, cluster: QuickstartCluster, user: FirstUser): Promise<void> {
  const stdin = `${user.password}\n${await user.code()}\n`
  await run(place, 'tsh', ['login', `--proxy=${place.web}`, `--user=${user.name}`, '--insecure'], stdin)
  await run(place, 'tsh', ['kube', 'login', cluster.name, '--insecure'])
  say(`Logged in with tsh; wrote ${place.kubeconfig}`)
}

/** One request the way people will make it: by kubectl where it is installed, else with the credentials it would get. */
async function prove(place: Place, cluster: QuickstartCluster): Promise<string> {
  const kubectl = Bun.which('kubectl')
  if (kubectl !== null) return run(place, kubectl, ['get', 'namespaces', '--request-timeout=20s'])
  const answer: unknown = JSON.parse(
    await run(place, 'tsh', [
      ...['kube', 'credentials', `--kube-cluster=${cluster.name}`, '--teleport-cluster=quickstart'],
      ...[`--proxy=${place.web}`, '--insecure'],
    ]),
  )
  const { status } = answer as { status: { clientCertificateData: string; clientKeyData: string } }
  const config = await readFile(place.config, 'utf8')
  const kube = /kube_public_addr: (.*)/.exec(config)?.[1]
  const response = await fetch(`https://${kube}/api/v1/namespaces`, {
    tls: { cert: status.clientCertificateData, key: status.clientKeyData, rejectUnauthorized: false },
  })
  if (!response.ok)
    throw new ChildFailed(`GET /api/v1/namespaces: ${response.status} ${await response.text()}`)
  const { items } = (await response.json()) as { items: { metadata: { name: string } }[] }
  return `(kubectl is not installed; asked without it)\n${items.map((one) => `namespace/${one.metadata.name}`).join('\n')}`
}

function executable(name: string): string {
  return name.startsWith('/') ? name : join(root, 'dist', name)
}

/** tsh and kubectl get folders of their own: the user's profile and kubeconfig are never touched. */
function environment(place: Place): Record<string, string> {
  const own = { KUBECONFIG: place.kubeconfig, TELEPORT_HOME: place.tshHome, HOME: place.folder }
  return { PATH: process.env['PATH'] ?? '', ...own }
}

/** Standard output of a program that must succeed. */
async function run(place: Place, program: string, args: readonly string[], stdin = ''): Promise<string> {
  const child = Bun.spawn([executable(program), ...args], {
    stdin: Buffer.from(stdin),
    stdout: 'pipe',
    stderr: 'pipe',
    env: environment(place),
    timeout: 60_000,
  })
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  if (code !== 0)
    throw new ChildFailed(`${program} ${args.join(' ')} ended with ${code}:\n${stdout}${stderr}`)
  return stdout
}

async function freePort(preferred: number): Promise<number> {
  const open = (port: number) =>
    new Promise<number | undefined>((resolve) => {
      const probe = createServer()
      probe.once('error', () => resolve(undefined))
      probe.listen(port, '127.0.0.1', () => {
        const address = probe.address()
        probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : undefined))
      })
    })
  const port = (await open(preferred)) ?? (await open(0))
  if (port === undefined) throw new ChildFailed('no port is free on 127.0.0.1')
  return port
}

function indent(text: string): string {
  return text.trimEnd().replace(/^/gm, '         ')
}

function whatNext(place: Place, cluster: QuickstartCluster): string {
  const pods = cluster.isSample ? 'kubectl get pods --namespace sample' : 'kubectl get pods --all-namespaces'
  const tail = cluster.isSample
    ? 'kubectl exec -it hello --namespace sample -- cat'
    : 'kubectl exec -it POD -- sh'
  return `Now, in another terminal:

  export KUBECONFIG=${place.kubeconfig}
  ${pods}
  ${tail}

  export TELEPORT_HOME=${place.tshHome} PATH=${join(root, 'dist')}:$PATH
  tsh status
  tctl --config=${place.config} users ls
  tctl --config=${place.config} audit ls

The user's password and one-time code key are in ${join(place.folder, 'login.txt')}.
Teleport's log is ${place.log}. Ctrl-C stops everything.`
}

process.exit(await quickstart())
