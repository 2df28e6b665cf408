// Runs tiers of tests and checks, and adds up what they report into the one line that ends every run. A tier that
// cannot run here is named in capitals; under CI that is a failure, so that a green run means that everything ran.

import { readFile, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

export const nothing: Counts = { passed: 0, failed: 0, skipped: 0 }
const oneFailure: Counts = { passed: 0, failed: 1, skipped: 0 }

export function add(...all: readonly Counts[]): Counts {
  return {
    passed: all.reduce((sum, counts) => sum + counts.passed, 0),
    failed: all.reduce((sum, counts) => sum + counts.failed, 0),
    skipped: all.reduce((sum, counts) => sum + counts.skipped, 0),
  }
}

export function summary(counts: Counts): string {
  return `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`
}

/** Says that `tier` did not run and why. */
export function notRun(tier: string, reason: string, ci = process.env['CI'] === 'true'): Counts {
  console.log(`\n${tier.toUpperCase()} NOT RUN: ${reason}\n`)
  return ci ? oneFailure : nothing
}

/** Runs one check, silent unless it fails. A check is not a test: passing, it counts nothing. */
export async function runCheck(name: string, command: readonly string[]): Promise<Counts> {
  const started = performance.now()
  const child = Bun.spawn([...command], { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' })
  const [output, errors, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(`${code === 0 ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)`)
  if (code === 0) return nothing
  console.log(`${output}${errors}`)
  return oneFailure
}

export interface TierOptions {
  /** Files or folders, each beginning with `./` (else Bun takes them for filters). */
  readonly paths: readonly string[]
  /** Whether files may run beside each other. @default true */
  readonly parallel?: boolean
  /** @default false: only failures are shown */
  readonly verbose?: boolean
}

export async function runTests(name: string, options: TierOptions): Promise<Counts> {
  const started = performance.now()
  console.log(`\n${name}`)
  const report = join(tmpdir(), `teleport-tests-${process.pid}-${name.replaceAll(' ', '-')}.xml`)
  // A busy machine is slow, and a test that is cut off takes its child processes with it: generous, since a test that
  // hangs is ended all the same.
  const command = [
    process.execPath,
    'test',
    '--timeout=120000',
    '--reporter=junit',
    `--reporter-outfile=${report}`,
  ]
  if (options.verbose !== true) command.push('--only-failures')
  // Tests wait more than they compute.
  if (options.parallel !== false) command.push(`--parallel=${Math.max(4, availableParallelism())}`)
  const child = Bun.spawn([...command, ...options.paths], {
    stdin: 'ignore',
    stdout: 'inherit',
    stderr: 'inherit',
  })
  const code = await child.exited
  const counts = await readFile(report, 'utf8').then(
    (text) => countsOf(text, code),
    () => oneFailure,
  )
  await rm(report, { force: true })
  console.log(`${name}: ${summary(counts)} (${((performance.now() - started) / 1000).toFixed(1)} s)`)
  return counts
}

/** The totals of a junit report. A file that did not even load is in no report, only in the exit code. */
export function countsOf(report: string, exitCode: number): Counts {
  const totals = /<testsuites [^>]*>/.exec(report)?.[0] ?? ''
  const total = (name: string) => Number(new RegExp(` ${name}="(\\d+)"`).exec(totals)?.[1] ?? 0)
  const [tests, failures, skipped] = [total('tests'), total('failures'), total('skipped')]
  const failed = exitCode !== 0 && failures === 0 ? 1 : failures
  return { passed: tests - failures - skipped, failed, skipped }
}
