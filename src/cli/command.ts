// The shape of a command: data that `run.ts` turns into a parser, help and completion, and a function that returns an
// exit code. Modules of actions are loaded when they run.

import type { Io } from './io.ts'

export interface OptionSpec {
  /** As help shows it: `-o, --out <file>`. Several spellings of one option are several specs with the same `key`. */
  readonly flags: string
  readonly help: string
  readonly default?: string | boolean
  /** May be given several times; values gather in a list. */
  readonly repeat?: true
  readonly hidden?: true
}

export interface CommandSpec {
  /** Words and arguments: `users add <name>`. */
  readonly usage: string
  readonly help: string
  readonly aliases?: readonly string[]
  readonly options?: readonly OptionSpec[]
  readonly hidden?: true
  /** Takes options it does not know as arguments, for commands that only say that they are not here. */
  readonly anyOptions?: true
  readonly run: (input: CommandInput, io: Io) => Promise<number>
}

export interface ProgramSpec {
  readonly name: string
  readonly help: string
  readonly options: readonly OptionSpec[]
  readonly commands: readonly CommandSpec[]
}

/** Arguments in order and options by their long name in camel case, as the parser gives them. */
export class CommandInput {
  readonly args: readonly string[]
  readonly #options: Readonly<Record<string, unknown>>

  constructor(args: readonly string[], options: Readonly<Record<string, unknown>>) {
    this.args = args
    this.#options = options
  }

  argument(index: number): string {
    return this.args[index] ?? ''
  }

  text(name: string): string | undefined {
    const value = this.#options[name]
    if (Array.isArray(value)) return typeof value.at(-1) === 'string' ? String(value.at(-1)) : undefined
    return typeof value === 'string' ? value : undefined
  }

  flag(name: string): boolean {
    return this.#options[name] === true
  }

  /** Values of an option, each split at commas. Undefined when it was not given under any of these names. */
  list(...names: readonly string[]): readonly string[] | undefined {
    const given = names.flatMap((name) => {
      const value = this.#options[name]
      return typeof value === 'string' ? [value] : Array.isArray(value) ? value.map(String) : []
    })
    if (given.length === 0) return undefined
    return given.flatMap((value) =>
      value
        .split(',')
        .map((one) => one.trim())
        .filter((one) => one !== ''),
    )
  }

  /** `a=b,c=d` as a mapping. */
  labels(...names: readonly string[]): Record<string, string> {
    return Object.fromEntries(
      (this.list(...names) ?? []).map((pair) => {
        const equals = pair.indexOf('=')
        return equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)]
      }),
    )
  }
}
