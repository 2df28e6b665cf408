// The commands of `tctl`: flags in, input of a function out.

import { badParameter } from '../../errors.ts'
import { lockTargets } from '../../resources/lock.ts'
import { version } from '../../version.ts'
import type { CommandInput, CommandSpec, OptionSpec, ProgramSpec } from '../command.ts'
import { notHere } from '../teleport/commands.ts'
import type { TctlContext } from './context.ts'
import type { TraitName, TraitValues } from './users.ts'

const format = (fallback: string, formats: string): OptionSpec => ({
  flags: '--format <format>',
  help: `Output format: ${formats}`,
  default: fallback,
})

/** A command that needs a client: connects, runs, closes. */
function withClient(
  spec: Omit<CommandSpec, 'run'>,
  run: (input: CommandInput, context: TctlContext) => Promise<number>,
): CommandSpec {
  return {
    ...spec,
    run: async (input, io) => {
      const { connect } = await import('./connect.ts')
      await using remote = await connect(input, io)
      // Awaited here: the connection ends with this scope.
      return await run(input, {
        client: remote.client,
        out: io.out,
        note: io.note,
        readInput: io.readAll,
        env: io.env,
        ...(io.interactive
          ? { confirm: async (question) => /^y(es)?$/i.test(await io.ask(`${question} [y/N]: `)) }
          : {}),
      })
    },
  }
}

function choice<Value extends string>(input: CommandInput, values: readonly Value[], name = 'format'): Value {
  const text = input.text(name)
  const found = values.find((value) => value === text)
  if (!found)
    throw badParameter(`unknown ${name} ${JSON.stringify(text)}, must be one of ${JSON.stringify(values)}`)
  return found
}

/** Trait behind the flags of `users add` and `users update`. */
const traitFlags: readonly (readonly [TraitName, readonly string[]])[] = [
  ['logins', ['logins']],
  ['windows_logins', ['windows-logins']],
  ['kubernetes_users', ['kubernetes-users', 'k8s-users']],
  ['kubernetes_groups', ['kubernetes-groups', 'k8s-groups']],
  ['db_users', ['db-users']],
  ['db_names', ['db-names']],
  ['db_roles', ['db-roles']],
  ['aws_role_arns', ['aws-role-arns']],
  ['azure_identities', ['azure-identities']],
  ['gcp_service_accounts', ['gcp-service-accounts']],
  ['host_user_uid', ['host-user-uid']],
  ['host_user_gid', ['host-user-gid']],
  ['mcp_tools', ['mcp-tools']],
  ['default_relay_addr', ['default-relay-addr']],
]

const camel = (flag: string) =>
  flag.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase()).replace(/-/g, '')

function traitOptions(prefix: string): OptionSpec[] {
  return traitFlags.flatMap(([, flags]) =>
    flags.map((flag): OptionSpec => ({
      flags: `--${prefix}${flag} <values>`,
      help: `Comma separated ${flag.replaceAll('-', ' ')}`,
      repeat: true,
      ...(flag.startsWith('k8s') ? { hidden: true } : {}),
    })),
  )
}

function traitsOf(input: CommandInput, prefix: string): TraitValues {
  return Object.fromEntries(
    traitFlags.flatMap(([trait, flags]) => {
      const values = input.list(...flags.map((flag) => camel(prefix + flag)))
      return values === undefined ? [] : [[trait, values]]
    }),
  )
}

const optional = (key: string, value: string | undefined) => (value === undefined ? {} : { [key]: value })

const users: CommandSpec[] = [
  withClient(
    {
      usage: 'users add <name> [logins]',
      help: 'Add a user and print an invite link',
      options: [
        { flags: '--roles <roles>', help: 'Comma separated roles', repeat: true },
        ...traitOptions(''),
        { flags: '--ttl <duration>', help: 'How long the link is valid [1h]' },
        format('text', 'text, json'),
      ],
    },
    async (input, context) => {
      const { usersAdd } = await import('./users.ts')
      const roles = input.list('roles')
      // The oldest form names logins after the user.
      const logins = input.argument(1) === '' ? {} : { logins: input.argument(1).split(',') }
      return usersAdd(
        {
          name: input.argument(0),
          traits: { ...logins, ...traitsOf(input, '') },
          format: choice(input, ['text', 'json']),
          ...(roles ? { roles } : {}),
          ...optional('ttl', input.text('ttl')),
        },
        context,
      )
    },
  ),
  withClient(
    {
      usage: 'users ls',
      help: 'List users',
      options: [format('text', 'text, json'), { flags: '-v, --verbose', help: 'Ignored', hidden: true }],
    },
    async (input, context) =>
      (await import('./users.ts')).usersList({ format: choice(input, ['text', 'json']) }, context),
  ),
  withClient(
    {
      usage: 'users update <name>',
      help: 'Change roles and traits of a user',
      options: [
        { flags: '--set-roles <roles>', help: 'Comma separated roles', repeat: true },
        ...traitOptions('set-'),
      ],
    },
    async (input, context) => {
      const roles = input.list('setRoles')
      return (await import('./users.ts')).usersUpdate(
        { name: input.argument(0), traits: traitsOf(input, 'set-'), ...(roles ? { roles } : {}) },
        context,
      )
    },
  ),
  withClient(
    { usage: 'users rm <names>', help: 'Delete users, comma separated', aliases: ['del'] },
    async (input, context) =>
      (await import('./users.ts')).usersRemove({ names: input.argument(0).split(',') }, context),
  ),
  withClient(
    {
      usage: 'users reset <name>',
      help: 'Reset password and second factors',
      options: [
        { flags: '--ttl <duration>', help: 'How long the link is valid [8h]' },
        format('text', 'text, json'),
      ],
    },
    async (input, context) =>
      (await import('./users.ts')).usersReset(
        {
          name: input.argument(0),
          format: choice(input, ['text', 'json']),
          ...optional('ttl', input.text('ttl')),
        },
        context,
      ),
  ),
]

const resources: CommandSpec[] = [
  withClient(
    {
      usage: 'get [resources]',
      help: 'Print resources: kind, kind/name, or several with commas',
      options: [
        format('yaml', 'yaml, json, text'),
        { flags: '--with-secrets', help: 'Include secrets' },
        { flags: '-v, --verbose', help: 'More detail' },
      ],
    },
    async (input, context) =>
      (await import('./resources.ts')).get(
        {
          references: input.argument(0),
          format: choice(input, ['yaml', 'json', 'text']),
          withSecrets: input.flag('withSecrets'),
        },
        context,
      ),
  ),
  withClient(
    {
      usage: 'create [file]',
      help: 'Create resources from a file or standard input',
      options: [
        { flags: '-f, --force', help: 'Replace what exists' },
        { flags: '--confirm', help: 'Overwrite what the configuration file manages' },
      ],
    },
    async (input, context) =>
      (await import('./resources.ts')).create(
        { force: input.flag('force'), confirm: input.flag('confirm'), ...optional('file', input.args[0]) },
        context,
      ),
  ),
  withClient(
    { usage: 'rm [resource]', help: 'Delete a resource: kind/name', aliases: ['del'] },
    async (input, context) =>
      (await import('./resources.ts')).remove({ reference: input.argument(0) }, context),
  ),
  withClient({ usage: 'edit [resource]', help: 'Change a resource in an editor' }, async (input, context) =>
    (await import('./resources.ts')).edit({ reference: input.argument(0) }, context),
  ),
]

const tokens: CommandSpec[] = [
  withClient(
    {
      usage: 'tokens add',
      help: 'Make a token with which processes join',
      options: [
        { flags: '--type <types>', help: 'Roles of the process: kube, proxy, …', repeat: true },
        { flags: '--value <token>', help: 'Token to use' },
        { flags: '--labels <labels>', help: 'Labels, a=b' },
        { flags: '--ttl <duration>', help: 'How long it is valid [30m]' },
        { flags: '--format <format>', help: 'Output format: text, json, yaml' },
      ],
    },
    async (input, context) => {
      const labels = Object.entries(input.labels('labels')).map(([key, value]) => [key, [value]] as const)
      return (await import('./tokens.ts')).tokensAdd(
        {
          types: input.list('type') ?? [],
          ...optional('value', input.text('value')),
          ...optional('ttl', input.text('ttl')),
          ...(labels.length > 0 ? { labels: Object.fromEntries(labels) } : {}),
          ...(input.text('format') ? { format: choice(input, ['text', 'json', 'yaml']) } : {}),
        },
        context,
      )
    },
  ),
  withClient(
    {
      usage: 'tokens ls',
      help: 'List tokens',
      options: [
        { flags: '--with-secrets', help: 'Do not mask them' },
        { flags: '--labels <labels>', help: 'Only those with these labels, a=b' },
        format('text', 'text, json, yaml'),
      ],
    },
    async (input, context) =>
      (await import('./tokens.ts')).tokensList(
        {
          withSecrets: input.flag('withSecrets'),
          labels: input.labels('labels'),
          format: choice(input, ['text', 'json', 'yaml']),
        },
        context,
      ),
  ),
  withClient(
    { usage: 'tokens rm [token]', help: 'Delete a token', aliases: ['del'] },
    async (input, context) =>
      (await import('./tokens.ts')).tokensRemove({ name: input.argument(0) }, context),
  ),
  withClient(
    {
      usage: 'nodes add',
      help: 'Make a token for a new process',
      options: [
        { flags: '--roles <roles>', help: 'Its roles', default: 'node' },
        { flags: '--ttl <duration>', help: 'How long it is valid [30m]' },
        { flags: '--token <value>', help: 'Token to use' },
        { flags: '--value <value>', help: 'Token to use', hidden: true },
        format('text', 'text, json'),
      ],
    },
    async (input, context) =>
      (await import('./tokens.ts')).nodesAdd(
        {
          roles: input.list('roles') ?? [],
          format: choice(input, ['text', 'json']),
          ...optional('ttl', input.text('ttl')),
          ...optional('value', input.text('value') ?? input.text('token')),
        },
        context,
      ),
  ),
]

const authority: CommandSpec[] = [
  withClient(
    {
      usage: 'auth sign',
      help: 'Write credentials for a user',
      options: [
        { flags: '--user <name>', help: 'Whose' },
        { flags: '--host <names>', help: 'Not supported in this build', hidden: true },
        { flags: '-o, --out <path>', help: 'Where to write them' },
        { flags: '--format <format>', help: 'file, tls or kubernetes', default: 'file' },
        { flags: '--ttl <duration>', help: 'How long they are valid', default: '12h' },
        { flags: '--proxy <address>', help: 'Kubernetes address of the proxy' },
        { flags: '--kube-cluster-name <name>', help: 'Kubernetes cluster' },
        { flags: '--kube-cluster <name>', help: 'The same', hidden: true },
        { flags: '--leaf-cluster <name>', help: 'Leaf cluster', hidden: true },
        { flags: '--overwrite', help: 'Replace existing files' },
        { flags: '--compat <value>', help: 'Ignored', hidden: true },
      ],
    },
    async (input, context) =>
      (await import('./auth.ts')).authSign(
        {
          output: input.text('out') ?? '',
          format: choice(input, ['file', 'tls', 'kubernetes']),
          ttl: input.text('ttl') ?? '12h',
          overwrite: input.flag('overwrite'),
          ...optional('user', input.text('user')),
          ...optional('host', input.text('host')),
          ...optional('proxy', input.text('proxy')),
          ...optional('kubernetesCluster', input.text('kubeClusterName') ?? input.text('kubeCluster')),
          ...optional('leafCluster', input.text('leafCluster')),
        },
        context,
      ),
  ),
  withClient(
    {
      usage: 'auth export',
      help: 'Print certificates of an authority',
      options: [
        { flags: '--type <type>', help: 'user or host' },
        { flags: '--keys', help: 'Include private keys' },
        { flags: '-o, --out <path>', help: 'Write to a file' },
      ],
    },
    async (input, context) =>
      (await import('./auth.ts')).authExport(
        {
          keys: input.flag('keys'),
          ...optional('type', input.text('type')),
          ...optional('output', input.text('out')),
        },
        context,
      ),
  ),
]

const audit: CommandSpec[] = [
  withClient(
    {
      usage: 'audit ls',
      help: 'Search the audit log',
      options: [
        { flags: '--type <types>', help: 'Event types, comma separated', repeat: true },
        { flags: '--user <name>', help: 'Who did it' },
        { flags: '--from <time>', help: 'From this time, or this long ago' },
        { flags: '--to <time>', help: 'To this time' },
        { flags: '--limit <number>', help: 'At most so many', default: '100' },
        format('text', 'text, json, yaml'),
      ],
    },
    async (input, context) =>
      (await import('./audit.ts')).auditList(
        {
          types: input.list('type') ?? [],
          limit: wholeNumber(input.text('limit')),
          format: choice(input, ['text', 'json', 'yaml']),
          ...optional('user', input.text('user')),
          ...optional('from', input.text('from')),
          ...optional('to', input.text('to')),
        },
        context,
      ),
  ),
  withClient(
    { usage: 'audit verify', help: 'Check that nobody has changed the audit log' },
    async (_, context) => (await import('./audit.ts')).auditVerify({}, context),
  ),
]

function wholeNumber(text: string | undefined): number {
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1)
    throw badParameter(`${JSON.stringify(text)} is not a whole number`)
  return number
}

const others: CommandSpec[] = [
  withClient({ usage: 'status', help: 'What this cluster is' }, async (input, context) =>
    (await import('./status.ts')).status(input, context),
  ),
  withClient(
    {
      usage: 'kube ls [labels]',
      help: 'List Kubernetes clusters',
      options: [
        { flags: '--search <words>', help: 'Words to look for' },
        { flags: '-v, --verbose', help: 'More columns' },
        format('text', 'text, json, yaml'),
      ],
    },
    async (input, context) => {
      const labels = Object.fromEntries(
        input
          .argument(0)
          .split(',')
          .filter((pair) => pair !== '')
          .map((pair) => pair.split('=') as [string, string]),
      )
      return (await import('./status.ts')).kubeList(
        {
          labels,
          search: input.list('search') ?? [],
          verbose: input.flag('verbose'),
          format: choice(input, ['text', 'json', 'yaml']),
        },
        context,
      )
    },
  ),
  withClient(
    {
      usage: 'lock',
      help: 'Cut a user, role or process off',
      options: [
        ...lockTargets.map((target): OptionSpec => ({
          flags: `--${target.replaceAll('_', '-')} <name>`,
          help: `Lock this ${target.replaceAll('_', ' ')}`,
        })),
        { flags: '--message <text>', help: 'Shown to whom it concerns' },
        { flags: '--expires <time>', help: 'Until this time' },
        { flags: '--ttl <duration>', help: 'For so long' },
      ],
    },
    async (input, context) => {
      const target = Object.fromEntries(
        lockTargets.flatMap((name) =>
          input.text(camel(name.replaceAll('_', '-'))) === undefined
            ? []
            : [[name, input.text(camel(name.replaceAll('_', '-'))) ?? '']],
        ),
      )
      return (await import('./lock.ts')).lock(
        {
          target,
          ...optional('message', input.text('message')),
          ...optional('expires', input.text('expires')),
          ...optional('ttl', input.text('ttl')),
        },
        context,
      )
    },
  ),
  {
    usage: 'version',
    help: 'Print the version',
    run: async (_, io) => {
      io.out(`Teleport v${version} git: bun${Bun.version}\n`)
      return 0
    },
  },
  {
    usage: 'completion <shell>',
    help: 'Print a completion script: bash or zsh',
    run: async (input, io) => {
      const { completionScript } = await import('../run.ts')
      const script = completionScript(tctlProgram, input.argument(0))
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
  'nodes ls',
  'audit query',
  'auth rotate',
  'auth ls',
  'auth crl',
  'bots',
  'requests',
  'alerts',
  'sso',
  'top',
  'inventory',
  'devices',
  'acl',
  'notifications',
  'db',
  'apps',
  'windows_desktops',
  'proxy',
  'recordings',
  'plugins',
  'stable-unix-users',
  'update',
]

export const tctlProgram: ProgramSpec = {
  name: 'tctl',
  help: 'Administer a cluster',
  options: [
    { flags: '-d, --debug', help: 'Show where errors come from' },
    { flags: '-c, --config <path>', help: 'Configuration file of the auth server [/etc/teleport.yaml]' },
    { flags: '--config-string <base64>', help: 'The same, base64 encoded', hidden: true },
    { flags: '--auth-server <address>', help: 'Address of the auth server', repeat: true },
    { flags: '-i, --identity <path>', help: 'Identity file' },
    { flags: '--insecure', help: 'Ignored', hidden: true },
  ],
  commands: [...others, ...resources, ...users, ...tokens, ...authority, ...audit, ...absent.map(notHere)],
}
