// One executable, four programs: what it is called decides, or the first word.

import { basename } from 'node:path'
import { version } from './version.ts'

// These change how a Bun program behaves, and are no business of what is started from here.
for (const name of Object.keys(process.env)) if (name.startsWith('BUN_')) delete process.env[name]

const programs = ['teleport', 'tctl', 'tsh', 'tbot'] as const
type Program = (typeof programs)[number]

async function main(): Promise<number> {
  const called = basename(process.argv0)
  const args = process.argv.slice(2)
  const program: Program = programs.find((one) => one === called) ?? 'teleport'
  // Asked often and by scripts: answered before anything is loaded.
  if (args.length === 1 && args[0] === 'version' && program !== 'tsh') {
    process.stdout.write(`Teleport v${version} git: bun${Bun.version}\n`)
    return 0
  }
  const { processIo } = await import('./cli/io.ts')
  const io = processIo()
  if (program === 'tsh' && args[0] === 'kube' && args[1] === 'credentials') {
    return (await import('./cli/tsh/credentials.ts')).kubeCredentials(args.slice(2), io)
  }
  const { runProgram } = await import('./cli/run.ts')
  return runProgram(await specOf(program), args, io)
}

async function specOf(program: Program) {
  switch (program) {
    case 'teleport': {
      const { teleportProgram } = await import('./cli/teleport/commands.ts')
      return teleportProgram(async (config, options) =>
        (await import('./start.ts')).startTeleport(config, options),
      )
    }
    case 'tctl':
      return (await import('./cli/tctl/commands.ts')).tctlProgram
    case 'tsh':
      return (await import('./cli/tsh/commands.ts')).tshProgram
    case 'tbot':
      return {
        name: 'tbot',
        help: 'Not supported in this build',
        options: [],
        commands: [(await import('./cli/teleport/commands.ts')).notHere('start')],
      }
  }
}

process.exitCode = await main()
// Kept-alive connections do not keep a command from ending.
process.exit()
