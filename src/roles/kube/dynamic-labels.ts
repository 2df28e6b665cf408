// Labels whose value a command prints: each runs at start and then once per period. The value is the trimmed
// standard output; a command that fails leaves its error text as the value, so that a broken label is seen.

import { childEnvironment } from '../../environment.ts'
import { messageOf } from '../../errors.ts'
import { createLogger } from '../../log.ts'

const log = createLogger('kube:labels')

export interface LabelCommand {
  readonly name: string
  /** Program and its arguments; no shell. */
  readonly command: readonly string[]
  readonly periodMs: number
}

/** A label's value is shown in tables and matched by roles: longer output is cut. */
const valueLimit = 1024
/** A command that hangs is ended after this long, so that commands cannot pile up. */
const commandTimeoutMs = 30_000
/** Shorter periods are raised to this one: a label is not a busy loop. */
const shortestPeriodMs = 1000

export type RunCommand = (command: readonly string[]) => Promise<string>

/** Keeps the values of a set of commands up to date until it is disposed of. */
export class DynamicLabels implements Disposable {
  readonly #values = new Map<string, string>()
  readonly #timers: Timer[] = []

  private constructor() {}

  /** Runs every command once before it returns. */
  static async start(
    commands: readonly LabelCommand[],
    run: RunCommand = runCommand,
  ): Promise<DynamicLabels> {
    const labels = new DynamicLabels()
    await Promise.all(commands.map((command) => labels.#refresh(command, run)))
    for (const command of commands) {
      const timer = setInterval(
        () => void labels.#refresh(command, run),
        Math.max(shortestPeriodMs, command.periodMs),
      )
      timer.unref()
      labels.#timers.push(timer)
    }
    return labels
  }

  values(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.#values)
  }

  async #refresh(command: LabelCommand, run: RunCommand): Promise<void> {
    try {
      this.#values.set(command.name, (await run(command.command)).trim().slice(0, valueLimit))
    } catch (error) {
      log.warn('label command failed', { label: command.name, error: messageOf(error) })
      this.#values.set(command.name, messageOf(error).trim().slice(0, valueLimit))
    }
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers) clearInterval(timer)
  }
}

async function runCommand(command: readonly string[]): Promise<string> {
  const child = Bun.spawn([...command], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    env: childEnvironment(),
    timeout: commandTimeoutMs,
  })
  const [stdout, stderr, code] = await Promise.all([
    readBounded(child.stdout),
    readBounded(child.stderr),
    child.exited,
  ])
  if (code !== 0) throw new Error(stderr.trim() || `${command[0]} ended with exit code ${code}`)
  return stdout
}

// Reads to the end, so that the child never blocks on a full pipe, but keeps only the beginning.
async function readBounded(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of stream)
    if (text.length < 4 * valueLimit) text += decoder.decode(chunk, { stream: true })
  return text
}
