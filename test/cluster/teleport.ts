// The compiled product as a person would run it: `teleport start` on loopback with a folder of its own, a user
// who follows the invite link, `tsh login`, and a kubeconfig that real kubectl uses.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { acceptInvite } from '../../scripts/first-user.ts'
import { freePort } from './cluster.ts'

const executables = join(import.meta.dir, '../../dist')

export interface CommandResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly stdin?: string
  readonly env?: Readonly<Record<string, string>>
  readonly timeoutMs?: number
}

export interface TeleportOptions {
  /** A kubeconfig whose contexts are served. */
  readonly kubeconfig: string
  readonly labels?: Readonly<Record<string, string>>
  /** More lines of `auth_service`, indented by two spaces. */
  readonly authLines?: readonly string[]
}

export interface Person {
  readonly name: string
  readonly home: string
  readonly kubeconfig: string
  readonly password: string
  /** A code that has not been used yet; waits for the next step of the clock when it must. */
  code(): Promise<string>
  tsh(args: readonly string[], options?: RunOptions): Promise<CommandResult>
}

export interface Teleport extends AsyncDisposable {
  readonly folder: string
  readonly webAddress: string
  readonly kubeAddress: string
  readonly diagnostics: string
  readonly auditLog: string
  readonly pid: number
  tctl(args: readonly string[], options?: RunOptions): Promise<CommandResult>
  /** `tctl users add`, the invite page's requests, nothing more. */
  addPerson(name: string, flags?: readonly string[]): Promise<Person>
  /** The same and `tsh login`, `tsh kube login`. */
  logIn(name: string, options: { flags?: readonly string[]; kubernetesCluster: string }): Promise<Person>
  log(): Promise<string>
}

const password = 'correct horse battery'

export async function startTeleport(options: TeleportOptions): Promise<Teleport> {
  const folder = await mkdtemp(join(tmpdir(), 'teleport-product-'))
  const [web, kube, auth, diagnostics] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ]
  const config = join(folder, 'teleport.yaml')
  await writeFile(config, configuration({ ...options, folder, ports: { web, kube, auth } }))
  const logPath = join(folder, 'teleport.log')
  const child = Bun.spawn(
    [join(executables, 'teleport'), 'start', `--config=${config}`, `--diag-addr=127.0.0.1:${diagnostics}`],
    { stdin: 'ignore', stdout: 'ignore', stderr: Bun.file(logPath), env: cleanEnvironment(folder) },
  )
  const log = () => Bun.file(logPath).text()
  const stop = async () => {
    child.kill('SIGTERM')
    await child.exited
    await rm(folder, { recursive: true, force: true })
  }
  try {
    await until(async () => {
      if (child.exitCode !== null) throw new Error(`teleport ended with ${child.exitCode}:\n${await log()}`)
      const ready = await fetch(`http://127.0.0.1:${diagnostics}/readyz`).catch(() => undefined)
      return ready?.status === 200
    }, 'teleport to be ready')
  } catch (error) {
    const text = await log()
    await stop()
    throw new Error(`${String(error)}\n${text}`, { cause: error })
  }

  const tctl = (args: readonly string[], more: RunOptions = {}) =>
    run('tctl', ['-c', config, ...args], { env: cleanEnvironment(folder), ...more })
  const people = { web: `127.0.0.1:${web}`, folder, tctl }
  const addPerson = (name: string, flags: readonly string[] = []) => invite(people, name, flags)
  return {
    folder,
    webAddress: people.web,
    kubeAddress: `127.0.0.1:${kube}`,
    diagnostics: `http://127.0.0.1:${diagnostics}`,
    auditLog: join(folder, 'data/log/events.log'),
    pid: child.pid,
    tctl,
    addPerson,
    async logIn(name, { flags = [], kubernetesCluster }) {
      const person = await addPerson(name, flags)
      const stdin = `${password}\n${await person.code()}\n`
      const login = await person.tsh(['login', `--proxy=${people.web}`, `--user=${name}`, '--insecure'], {
        stdin,
      })
      if (login.code !== 0) throw new Error(`tsh login: ${login.stdout}${login.stderr}`)
      const chosen = await person.tsh(['kube', 'login', kubernetesCluster, '--insecure'])
      if (chosen.code !== 0) throw new Error(`tsh kube login: ${chosen.stdout}${chosen.stderr}`)
      return person
    },
    log,
    [Symbol.asyncDispose]: stop,
  }
}

function configuration(
  options: TeleportOptions & { folder: string; ports: { web: number; kube: number; auth: number } },
): string {
  const { folder, ports } = options
  const labels = Object.entries(options.labels ?? {}).map(
    ([name, value]) => `    ${name}: ${JSON.stringify(value)}`,
  )
  return [
    'version: v3',
    'teleport:',
    '  nodename: test-host',
    `  data_dir: ${join(folder, 'data')}`,
    'auth_service:',
    '  enabled: yes',
    '  cluster_name: root.example.com',
    `  listen_addr: 127.0.0.1:${ports.auth}`,
    ...(options.authLines ?? []),
    'proxy_service:',
    '  enabled: yes',
    `  web_listen_addr: 127.0.0.1:${ports.web}`,
    `  public_addr: 127.0.0.1:${ports.web}`,
    `  kube_listen_addr: 127.0.0.1:${ports.kube}`,
    `  kube_public_addr: 127.0.0.1:${ports.kube}`,
    'kubernetes_service:',
    '  enabled: yes',
    `  kubeconfig_file: ${options.kubeconfig}`,
    ...(labels.length > 0 ? ['  labels:', ...labels] : []),
    'ssh_service:',
    '  enabled: no',
    '',
  ].join('\n')
}

async function invite(
  { web, folder, tctl }: { web: string; folder: string; tctl: Teleport['tctl'] },
  name: string,
  flags: readonly string[],
): Promise<Person> {
  const added = await tctl(['users', 'add', name, ...flags])
  const token = /\/web\/invite\/([0-9a-f]+)/.exec(added.stdout)?.[1]
  if (added.code !== 0 || token === undefined)
    throw new Error(`tctl users add: ${added.stdout}${added.stderr}`)
  const { code } = await acceptInvite({ proxy: web, token, password })
  const home = join(folder, `home-${name.replace(/\W/g, '_')}`)
  const kubeconfig = join(home, 'kubeconfig')
  const env = { ...cleanEnvironment(home), KUBECONFIG: kubeconfig, TELEPORT_HOME: join(home, '.tsh') }
  return {
    name,
    home,
    kubeconfig,
    password,
    code,
    tsh: (args, more = {}) => run('tsh', args, { ...more, env: { ...env, ...more.env } }),
  }
}

export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<CommandResult> {
  const child = Bun.spawn([join(executables, program), ...args], {
    stdin: options.stdin === undefined ? 'ignore' : Buffer.from(options.stdin),
    stdout: 'pipe',
    stderr: 'pipe',
    env: { ...options.env },
    timeout: options.timeoutMs ?? 30_000,
    killSignal: 'SIGKILL',
  })
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { code, stdout, stderr }
}

function cleanEnvironment(home: string): Record<string, string> {
  return { HOME: home, PATH: process.env['PATH'] ?? '' }
}

export async function until(
  condition: () => Promise<boolean>,
  what: string,
  limitMs = 30_000,
): Promise<void> {
  const end = Date.now() + limitMs
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited too long for ${what}`)
    await Bun.sleep(50)
  }
}
