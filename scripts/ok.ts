// `bun run ok`: everything that must hold before a change is shared and takes less than two minutes. With `--all`
// (that is scripts/test) also the tiers that need OpenSSL, a browser or a real Kubernetes.

import { Glob } from 'bun'
import { chdir } from 'node:process'
import { join } from 'node:path'
import { add, type Counts, notRun, nothing, runCheck, runTests, summary } from './test-tiers.ts'

const bun = process.execPath
chdir(join(import.meta.dir, '..'))

async function fast(): Promise<Counts> {
  const checks = await Promise.all([
    runCheck('format', [bun, 'fmt', '--check']),
    runCheck('lint', [bun, 'node_modules/.bin/oxlint', '--type-aware']),
    runCheck('types', [bun, 'check']),
    runCheck('import rules', [bun, 'scripts/check-imports.ts']),
  ])
  const tests = await runTests('unit and integration tests', {
    paths: ['./src', './scripts', ...folderIfTests('./test/integration')],
  })
  return add(...checks, tests)
}

async function browser(): Promise<Counts> {
  const paths = folderIfTests('./test/browser')
  if (paths.length === 0) return nothing
  const chromium = ['chromium', 'chromium-browser', 'google-chrome'].some((name) => Bun.which(name) !== null)
  if (!chromium) return notRun('browser tests', 'there is no chromium, chromium-browser or google-chrome')
  return runTests('browser tests', { paths, parallel: false })
}

/** Certificates as an implementation that is not ours sees them. */
async function openssl(): Promise<Counts> {
  const paths = folderIfTests('./test/openssl')
  if (paths.length === 0) return nothing
  const version = Bun.which('openssl') === null ? '' : Bun.spawnSync(['openssl', 'version']).stdout.toString()
  if (!/^OpenSSL [3-9]/.test(version)) return notRun('openssl tests', 'there is no OpenSSL 3')
  return runTests('openssl tests', { paths })
}

/** `*.node.test.ts` run containers and so need a node, the others only a control plane. */
async function cluster(): Promise<Counts> {
  const { buildAssets, clusterProblem } = await import('../test/cluster/assets.ts')
  const all = [...new Glob('test/cluster/**/*.test.ts').scanSync()].sort().map((path) => `./${path}`)
  const withNode = all.filter((path) => path.endsWith('.node.test.ts'))
  await buildAssets()
  const problem = clusterProblem({ node: false })
  if (problem !== undefined) return notRun('real cluster tests', problem)
  const nodeProblem = clusterProblem({ node: true })
  const paths = nodeProblem === undefined ? all : all.filter((path) => !withNode.includes(path))
  const executable = await runCheck('build of dist/teleport', [bun, 'scripts/build.ts'])
  if (executable.failed > 0) return executable
  return add(
    await runTests('real cluster tests', { paths, parallel: false, verbose: true }),
    nodeProblem === undefined ? nothing : notRun('real cluster tests with a node', nodeProblem),
  )
}

function folderIfTests(folder: string): string[] {
  for (const _ of new Glob(`${folder.slice(2)}/**/*.test.ts`).scanSync()) return [folder]
  return []
}

const started = performance.now()
const counts: Counts[] = [await fast()]
if (process.argv.includes('--all')) counts.push(await openssl(), await browser(), await cluster())
const total = add(...counts)
console.log(`\n${((performance.now() - started) / 1000).toFixed(0)} s in all`)
console.log(summary(total))
process.exit(total.failed === 0 ? 0 : 1)
