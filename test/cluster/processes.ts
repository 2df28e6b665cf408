// The server processes of one test cluster: started in sessions of their own with a log file each, stopped by their
// process id in reverse order. One that ends by itself is an error, reported with the end of its log.

import { openSync, closeSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Subprocess } from 'bun'

export interface StartOptions {
  readonly command: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export class Processes implements AsyncDisposable {
  readonly #logs: string
  readonly #running: { name: string; child: Subprocess }[] = []
  #stopping = false
  /** What ended by itself, with the end of its log. */
  failure: string | undefined

  constructor(logs: string) {
    this.#logs = logs
  }

  logOf(name: string): string {
    return join(this.#logs, `${name}.log`)
  }

  start(name: string, options: StartOptions): void {
    const log = openSync(this.logOf(name), 'w')
    // Where the platform can, a process dies with the test runner even when that is killed.
    const prefix = Bun.which('setpriv') === null ? [] : ['setpriv', '--pdeathsig', 'KILL', '--']
    const child = Bun.spawn([...prefix, ...options.command], {
      stdin: 'ignore',
      stdout: log,
      stderr: log,
      // Signals for the test runner's group, such as Ctrl-C, are not for the cluster: it is stopped in order.
      detached: true,
      env: { PATH: process.env['PATH'] ?? '', ...options.env },
    })
    closeSync(log)
    this.#running.push({ name, child })
    void child.exited.then(async (code) => {
      if (this.#stopping) return
      const text = await readFile(this.logOf(name), 'utf8').catch(() => '')
      this.failure ??= `${name} ended with ${code}\n${text.split('\n').slice(-15).join('\n')}`
    })
  }

  /** Asks until the answer is yes. Throws when a process ended meanwhile or the time is up. */
  async until(what: string, ask: () => Promise<boolean>, seconds = 90): Promise<void> {
    const deadline = performance.now() + seconds * 1000
    while (!(await ask().catch(() => false))) {
      if (this.failure !== undefined) throw new Error(`while waiting for ${what}: ${this.failure}`)
      if (performance.now() > deadline) throw new Error(`${what}: not after ${seconds} s, see ${this.#logs}`)
      await Bun.sleep(50)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true
    for (const { child } of this.#running.reverse()) {
      child.kill('SIGKILL')
      await child.exited
    }
  }
}
