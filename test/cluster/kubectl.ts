// Real kubectl, run the same way against the API server and through the product, so that tests can compare both.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { program } from './assets.ts'

export interface KubectlOptions {
  readonly kubeconfig: string
  /** `1.28` is the last that speaks SPDY by default. @default 'current' */
  readonly version?: 'current' | '1.28'
  readonly stdin?: string | Uint8Array
  /** E.g. `KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false'`. */
  readonly env?: Readonly<Record<string, string>>
  /** After this it is killed, and its code is not 0. @default 30_000 */
  readonly timeoutMs?: number
}

export interface KubectlResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export async function kubectl(args: readonly string[], options: KubectlOptions): Promise<KubectlResult> {
  // A home of its own: no discovery cache, configuration or plugin of the machine's user takes part.
  const home = await mkdtemp(join(tmpdir(), 'teleport-kubectl-'))
  try {
    const child = Bun.spawn(kubectlCommand(args, options), {
      stdin: options.stdin === undefined ? 'ignore' : Buffer.from(options.stdin),
      stdout: 'pipe',
      stderr: 'pipe',
      env: { HOME: home, PATH: process.env['PATH'] ?? '', ...options.env },
      timeout: options.timeoutMs ?? 30_000,
      killSignal: 'SIGKILL',
    })
    const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
    return { code, stdout, stderr }
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}

/** The command line, for tests that need the process itself (a terminal, a signal). */
export function kubectlCommand(args: readonly string[], options: KubectlOptions): string[] {
  const name = options.version === '1.28' ? 'kubectl-1.28' : 'kubectl'
  return [program(name), `--kubeconfig=${options.kubeconfig}`, ...args]
}
