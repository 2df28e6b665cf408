// The commands of `tsh`.

import { badParameter } from '../../errors.ts'
import type { CommandSpec, OptionSpec, ProgramSpec } from '../command.ts'
import { notHere } from '../teleport/commands.ts'

const format: OptionSpec = { flags: '-f, --format <format>', help: 'Output format: text, json, yaml' }
const cluster: OptionSpec = { flags: '-c, --cluster <name>', help: 'Teleport cluster' }

const commands: CommandSpec[] = [
  {
    usage: 'login [cluster]',
    help: 'Log in to a cluster and keep its certificate',
    options: [
      { flags: '-o, --out <path>', help: 'Write the credentials to a file instead' },
      { flags: '-f, --format <format>', help: 'Format of that file: file, kubernetes' },
      { flags: '--overwrite', help: 'Ignored', hidden: true },
      { flags: '--kube-cluster <name>', help: 'Kubernetes cluster to select' },
      { flags: '--browser <name>', help: 'Ignored', hidden: true },
      { flags: '-v, --verbose', help: 'More detail' },
    ],
    run: async (input, io) => (await import('./login.ts')).login(input, io),
  },
  {
    usage: 'logout',
    help: 'Remove certificates and kubeconfig entries',
    run: async (input, io) => (await import('./login.ts')).logout(input, io),
  },
  {
    usage: 'status',
    help: 'Who is logged in where',
    options: [format],
    run: async (input, io) => (await import('./status.ts')).status(input, io),
  },
  {
    usage: 'version',
    help: 'Print the version',
    options: [format, { flags: '--client', help: 'Of this program only' }],
    run: async (input, io) => (await import('./status.ts')).showVersion(input, io),
  },
  {
    usage: 'env',
    help: 'Print variables for the shell',
    options: [{ flags: '--unset', help: 'Print how to remove them' }, format],
    run: async (input, io) => (await import('./status.ts')).environment(input, io),
  },
  {
    usage: 'clusters',
    help: 'List Teleport clusters',
    options: [format, { flags: '-q, --quiet', help: 'No header' }],
    run: async (input, io) => (await import('./status.ts')).clusters(input, io),
  },
  {
    usage: 'kube ls [labels]',
    help: 'List Kubernetes clusters',
    options: [
      cluster,
      { flags: '--search <words>', help: 'Words to look for' },
      { flags: '-v, --verbose', help: 'Do not shorten labels' },
      { flags: '-q, --quiet', help: 'No header' },
      format,
    ],
    run: async (input, io) => (await import('./kube.ts')).kubeList(input, io),
  },
  {
    usage: 'kube login [cluster]',
    help: 'Select a Kubernetes cluster in the kubeconfig',
    options: [
      cluster,
      { flags: '--labels <labels>', help: 'Choose by labels, a=b' },
      { flags: '--all', help: 'Write every cluster' },
      { flags: '--as <user>', help: 'Kubernetes user to impersonate' },
      { flags: '--as-groups <groups>', help: 'Kubernetes groups to impersonate', repeat: true },
      { flags: '-n, --namespace <name>', help: 'Namespace of the context' },
      { flags: '--kube-namespace <name>', help: 'The same', hidden: true },
      {
        flags: '--set-context-name <template>',
        help: 'Name of the context [{{.ClusterName}}-{{.KubeName}}]',
      },
    ],
    run: async (input, io) => (await import('./kube.ts')).kubeLogin(input, io),
  },
  {
    usage: 'completion <shell>',
    help: 'Print a completion script: bash or zsh',
    run: async (input, io) => {
      const { completionScript } = await import('../run.ts')
      const script = completionScript(tshProgram, input.argument(0))
      if (!script)
        throw badParameter(`no completion for shell ${JSON.stringify(input.argument(0))}`, {
          hint: 'use bash or zsh',
        })
      io.out(script)
      return 0
    },
  },
]

const absent = [
  'ssh',
  'scp',
  'join',
  'config',
  'db',
  'apps',
  'app',
  'mfa',
  'kube sessions',
  'kube exec',
  'kube join',
  'proxy kube',
  'kubectl',
  'recordings',
  'play',
  'sessions',
  'request',
  'requests',
]

export const tshProgram: ProgramSpec = {
  name: 'tsh',
  help: 'Log in to a cluster and use its Kubernetes clusters',
  options: [
    { flags: '--proxy <address>', help: 'Address of the proxy' },
    { flags: '--user <name>', help: 'User to log in as' },
    { flags: '-l, --login <name>', help: 'Ignored', hidden: true },
    { flags: '--ttl <minutes>', help: 'How long the login lasts, in minutes' },
    { flags: '--auth <connector>', help: 'How to log in: local' },
    { flags: '-i, --identity <path>', help: 'Not supported in this build', hidden: true },
    { flags: '--insecure', help: "Do not check the proxy's certificate" },
    { flags: '--mfa-mode <mode>', help: 'Ignored', hidden: true },
    { flags: '--skip-version-check', help: 'Work with any server version' },
    { flags: '-d, --debug', help: 'Show where errors come from' },
  ],
  commands: [...commands, ...absent.map(notHere)],
}
