// The compiled executable where someone else chose the folder and the environment: a checkout of a stranger holds
// files that Bun would read and run by itself.

import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdir, mkdtemp, readlink, rm, writeFile } from 'node:fs/promises'
import { Glob } from 'bun'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildExecutable } from '../../scripts/build.ts'

let folder: string
let hostile: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'teleport-binary-'))
  await buildExecutable({ outfile: join(folder, 'one/teleport') })
  hostile = join(folder, 'hostile')
  await mkdir(hostile)
  const trap = join(hostile, 'trap.ts')
  await writeFile(trap, "console.log('TRAPPED')\nprocess.exit(66)\n")
  await writeFile(join(hostile, 'bunfig.toml'), `preload = ["./trap.ts"]\n[run]\npreload = ["./trap.ts"]\n`)
  await writeFile(
    join(hostile, '.env'),
    'TELEPORT_HOME=/trapped\nHOME=/trapped\nTELEPORT_CONFIG_FILE=/trapped\n',
  )
  await writeFile(join(hostile, 'package.json'), '{"name":"trap","imports":{"#x":"./trap.ts"}}\n')
  await writeFile(join(hostile, 'tsconfig.json'), '{"compilerOptions":{"paths":{"*":["./trap.ts"]}}}\n')
}, 120_000)

afterAll(() => rm(folder, { recursive: true, force: true }))

async function runHostile(program: string, args: readonly string[], env: Record<string, string> = {}) {
  const child = Bun.spawn([program, ...args], {
    cwd: hostile,
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: folder,
      NODE_OPTIONS: `--require ${join(hostile, 'trap.ts')}`,
      ...env,
    },
  })
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { stdout, stderr, code }
}

test.each(['teleport', 'tctl', 'tsh', 'tbot'])(
  '%s version is not moved by a hostile folder',
  async (name) => {
    const result = await runHostile(join(folder, 'one', name), ['version'])
    expect(result).toEqual({ code: 0, stdout: expect.stringMatching(/^Teleport v\d+\.\d+\.\d+/), stderr: '' })
  },
)

test('the names of the product are links to one executable', async () => {
  for (const name of ['tctl', 'tsh', 'tbot'])
    expect(await readlink(join(folder, 'one', name))).toBe('teleport')
  expect([...new Glob('*').scanSync({ cwd: join(folder, 'one'), onlyFiles: false })].sort()).toEqual([
    'tbot',
    'tctl',
    'teleport',
    'tsh',
  ])
})

test('the same sources give the same bytes', async () => {
  const hash = async (path: string) =>
    new Bun.CryptoHasher('sha256').update(await Bun.file(path).bytes()).digest('hex')
  const second = await buildExecutable({ outfile: join(folder, 'two/teleport') })
  expect(await hash(second)).toBe(await hash(join(folder, 'one/teleport')))
}, 120_000)

test('a program built like the product reads no .env, runs no preload and hands no BUN_ variables on', async () => {
  const entry = join(folder, 'probe.ts')
  const environment = join(import.meta.dir, '../../src/environment.ts')
  await writeFile(
    entry,
    `import { childEnvironment } from ${JSON.stringify(environment)}
const child = Bun.spawnSync(['env'], { env: childEnvironment() })
console.log(JSON.stringify({
  home: process.env.TELEPORT_HOME ?? null,
  mode: process.env.NODE_ENV,
  child: child.stdout.toString().split('\\n').filter((line) => line.startsWith('BUN_')),
  path: child.stdout.toString().includes('PATH='),
}))\n`,
  )
  const probe = await buildExecutable({ entry, workers: [], outfile: join(folder, 'probe/teleport') })
  const result = await runHostile(probe, [], { BUN_CONFIG_MAX_HTTP_REQUESTS: '512', BUN_PROBE: 'leak' })
  expect(result.stderr).toBe('')
  expect(JSON.parse(result.stdout)).toEqual({ home: null, mode: 'production', child: [], path: true })
}, 60_000)

test('no source starts a program with the whole environment', async () => {
  const src = join(import.meta.dir, '../../src')
  const careless: string[] = []
  for (const file of new Glob('**/*.ts').scanSync({ cwd: src })) {
    if (file.endsWith('.test.ts')) continue
    const text = await Bun.file(join(src, file)).text()
    const starts =
      text.match(/\bBun\.spawn(Sync)?\(|\b(spawn|spawnSync|execFile|execFileSync|fork)\(/g)?.length ?? 0
    const given = text.match(/\benv: /g)?.length ?? 0
    if (starts > given) careless.push(file)
  }
  expect(careless).toEqual([])
})
