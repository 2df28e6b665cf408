// The commands of `teleport`.

import { notImplemented } from '../../errors.ts'
import { version } from '../../version.ts'
import type { CommandSpec, ProgramSpec } from '../command.ts'
import type { StartRoles } from './start.ts'

const absent = [
  'configure',
  'install systemd',
  'node configure',
  'join openssh',
  'debug set-log-level',
  'debug get-log-level',
  'backend get',
  'app start',
  'db start',
]

export function teleportProgram(startRoles: StartRoles): ProgramSpec {
  return {
    name: 'teleport',
    help: 'Access to Kubernetes clusters by certificates',
    options: [{ flags: '-d, --debug', help: 'Verbose logging to standard error' }],
    commands: [
      {
        usage: 'start',
        help: 'Start this process',
        options: [
          { flags: '-c, --config <path>', help: 'Configuration file [/etc/teleport.yaml]' },
          { flags: '--config-string <base64>', help: 'Configuration file, base64 encoded', hidden: true },
          { flags: '-r, --roles <roles>', help: 'Roles to run: auth, proxy, kube' },
          { flags: '--nodename <name>', help: 'Name of this host' },
          { flags: '-l, --listen-ip <ip>', help: 'Address to listen on [0.0.0.0]' },
          { flags: '--pid-file <path>', help: 'Where to write the process id' },
          { flags: '--diag-addr <address>', help: 'Where to serve health and metrics' },
          { flags: '--bootstrap <file>', help: 'Resources for the first start of a cluster' },
          { flags: '--apply-on-startup <file>', help: 'Resources for every start' },
          { flags: '--insecure', help: 'Do not check certificates of other proxies' },
          { flags: '--token <token>', help: 'Join token or the file of one', hidden: true },
          {
            flags: '--auth-server <address>',
            help: 'Address of the auth server',
            repeat: true,
            hidden: true,
          },
          { flags: '--ca-pin <pin>', help: 'Pin of the cluster', repeat: true, hidden: true },
          { flags: '--labels <labels>', help: 'Labels of this host', hidden: true },
          { flags: '--advertise-ip <ip>', help: 'Address to advertise', hidden: true },
          { flags: '--permit-user-env', help: 'Ignored', hidden: true },
          { flags: '--skip-version-check', help: 'Ignored', hidden: true },
          { flags: '--no-debug-service', help: 'Ignored', hidden: true },
        ],
        run: async (input, io) => (await import('./start.ts')).start(input, io, startRoles),
      },
      {
        usage: 'status',
        help: 'Whether this is a session through Teleport',
        run: async (_, io) => {
          io.out('You are not inside of a Teleport SSH session\n')
          return 0
        },
      },
      {
        usage: 'version',
        help: 'Print the version',
        options: [{ flags: '--raw', help: 'The number alone' }],
        run: async (input, io) => print(io.out, input.flag('raw') ? version : versionLine()),
      },
      ...absent.map(notHere),
    ],
  }
}

export function versionLine(): string {
  return `Teleport v${version} git: bun${Bun.version}`
}

export function notHere(usage: string): CommandSpec {
  return {
    usage: `${usage} [arguments...]`,
    help: 'Not supported in this build',
    hidden: true,
    anyOptions: true,
    run: async () => {
      throw notImplemented(`${usage} is not supported in this build`)
    },
  }
}

function print(out: (text: string) => void, text: string): number {
  out(`${text}\n`)
  return 0
}
