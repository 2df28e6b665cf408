// Turns a program's table of commands into a parser, and runs what was asked. The only importer of the parser library;
// nothing here or below ends the process.

import { Command, CommanderError, Option } from 'commander'
import { messageOf, TeleportError } from '../errors.ts'
import { CommandInput, type CommandSpec, type OptionSpec, type ProgramSpec } from './command.ts'
import type { Io } from './io.ts'

/** Runs `argv` (without the program's name) and returns the exit code. */
export async function runProgram(spec: ProgramSpec, argv: readonly string[], io: Io): Promise<number> {
  let code = 0
  const program = buildProgram(spec, io, async (command, input) => {
    code = await command.run(input, io)
  })
  try {
    if (argv.length === 0) {
      io.out(program.helpInformation())
      return 0
    }
    await program.parseAsync([...argv], { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 1
    printError(error, { io, debug: argv.includes('-d') || argv.includes('--debug') })
    return 1
  }
}

function buildProgram(
  spec: ProgramSpec,
  io: Io,
  run: (command: CommandSpec, input: CommandInput) => Promise<void>,
): Command {
  const program = new Command(spec.name)
  configure(program, spec, io)
  program.description(spec.help).helpCommand('help [command]', 'Show help')
  for (const option of spec.options) addOption(program, option)
  for (const command of spec.commands) addCommand(program, command, { spec, io, run })
  return program
}

interface Context {
  readonly spec: ProgramSpec
  readonly io: Io
  readonly run: (command: CommandSpec, input: CommandInput) => Promise<void>
}

function addCommand(program: Command, command: CommandSpec, { spec, io, run }: Context): void {
  const words = command.usage.split(' ')
  const firstArgument = words.findIndex((word) => /^[<[]/.test(word))
  const names = firstArgument < 0 ? words : words.slice(0, firstArgument)
  let parent = program
  for (const name of names.slice(0, -1)) parent = group(parent, name, { spec, io })
  const own = new Command(names.at(-1) ?? '')
  configure(own, spec, io)
  own.description(command.help)
  for (const argument of firstArgument < 0 ? [] : words.slice(firstArgument)) own.argument(argument)
  for (const alias of command.aliases ?? []) own.alias(alias)
  for (const option of command.options ?? []) addOption(own, option)
  if (command.anyOptions) own.allowUnknownOption()
  own.action(async () => run(command, new CommandInput(own.args, own.optsWithGlobals())))
  parent.addCommand(own, { hidden: command.hidden === true })
}

function group(parent: Command, name: string, { spec, io }: Pick<Context, 'spec' | 'io'>): Command {
  const existing = parent.commands.find((one) => one.name() === name)
  if (existing) return existing
  const made = new Command(name)
  configure(made, spec, io)
  parent.addCommand(made)
  return made
}

function configure(command: Command, spec: ProgramSpec, io: Io): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => io.out(text),
    writeErr: (text) => io.note(text),
    outputError: (text, write) => write(explain(spec.name, text)),
  })
  command.showSuggestionAfterError(true).allowExcessArguments(false)
}

// In the words that scripts and people know.
function explain(name: string, text: string): string {
  const unknown = /unknown option '([^'=]+)/.exec(text)
  const rest = text.replace(/^error: /, '')
  return unknown
    ? `${name}: error: unknown long flag '${unknown[1]}', try --help\n`
    : `${name}: error: ${rest}`
}

function addOption(command: Command, { flags, help, default: fallback, repeat, hidden }: OptionSpec): void {
  const option = new Option(flags, help)
  if (fallback !== undefined) option.default(fallback)
  if (repeat)
    option.argParser((value: string, before: unknown) => [...(Array.isArray(before) ? before : []), value])
  if (hidden) option.hideHelp()
  command.addOption(option)
}

export function printError(error: unknown, { io, debug }: { io: Io; debug: boolean }): void {
  io.note(`ERROR: ${messageOf(error)}\n`)
  if (error instanceof TeleportError && error.hint) io.note(`hint: ${error.hint}\n`)
  if (debug && error instanceof Error) io.note(`${error.stack ?? ''}\n`)
}

/** A script that completes commands and options, for the shell named. */
export function completionScript(spec: ProgramSpec, shell: string): string | undefined {
  const groups = new Map<string, Set<string>>([['', new Set()]])
  for (const { usage, hidden } of spec.commands) {
    if (hidden) continue
    const words = usage.split(' ').filter((word) => !/^[<[]/.test(word))
    for (const [index, word] of words.entries()) {
      const parent = words.slice(0, index).join(' ')
      const known = groups.get(parent) ?? new Set()
      known.add(word)
      groups.set(parent, known)
    }
  }
  const cases = [...groups]
    .map(
      ([parent, words]) => `    ${JSON.stringify(parent)}) words=${JSON.stringify([...words].join(' '))} ;;`,
    )
    .join('\n')
  const body = `_${spec.name}() {\n  local line="\${COMP_WORDS[*]:1:COMP_CWORD-1}" words=""\n  case "$line" in\n${cases}\n  esac\n  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))\n}\ncomplete -o default -F _${spec.name} ${spec.name}\n`
  if (shell === 'bash') return body
  if (shell === 'zsh') return `autoload -U +X bashcompinit && bashcompinit\n${body}`
  return undefined
}
