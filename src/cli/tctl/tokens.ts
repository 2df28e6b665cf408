// `tctl tokens …` and `tctl nodes add`: secrets with which processes join. A token's value is shown once, when it is
// made; lists mask it unless asked.

import { randomBytes } from 'node:crypto'
import { alreadyExists, badParameter, isKind } from '../../errors.ts'
import { formatDuration, parseDuration } from '../../resources/duration.ts'
import { formatToken, parseToken, type Token } from '../../resources/token.ts'
import { columns, json, yaml } from '../output.ts'
import type { TctlContext } from './context.ts'

export interface TokensAddInput {
  /** Role names as the user spelled them, e.g. `kube`. */
  types: readonly string[]
  value?: string
  labels?: Readonly<Record<string, readonly string[]>>
  ttl?: string
  /** Absent: instructions for people. */
  format?: 'text' | 'json' | 'yaml'
}

const defaultTtl = '30m'

export async function tokensAdd(input: TokensAddInput, context: TctlContext): Promise<number> {
  const { out } = context
  // Before the token is made: without a proxy nobody could use it as told.
  const place = input.format === undefined ? await joiningPlace(context, 'cluster has no proxies') : undefined
  const token = await createToken(input, context)
  const name = token.metadata.name
  const info = { expires: token.metadata.expires, roles: token.spec.roles, token: name }
  if (input.format === 'text') out(`${name}\n`)
  else if (input.format === 'json') out(json(info, 1))
  else if (input.format === 'yaml') out(yaml(info))
  else if (place)
    out(instructions({ token: name, roles: token.spec.roles, minutes: minutesOf(input), ...place }))
  return 0
}

export async function nodesAdd(
  input: { roles: readonly string[]; ttl?: string; value?: string; format: 'text' | 'json' },
  context: TctlContext,
): Promise<number> {
  const place =
    input.format === 'json'
      ? undefined
      : await joiningPlace(context, 'This cluster does not have any auth servers running.')
  const token = await createToken(
    {
      types: input.roles,
      ...(input.ttl ? { ttl: input.ttl } : {}),
      ...(input.value ? { value: input.value } : {}),
    },
    context,
  )
  const name = token.metadata.name
  if (!place) context.out(`${JSON.stringify([name])}\n`)
  else context.out(nodeText({ token: name, roles: token.spec.roles, minutes: minutesOf(input), ...place }))
  return 0
}

export async function tokensList(
  input: {
    withSecrets: boolean
    labels: Readonly<Record<string, string>>
    format: 'text' | 'json' | 'yaml'
  },
  { client, out, clock = Date.now }: TctlContext,
): Promise<number> {
  const tokens = (await client.listResources('token', { with_secrets: true })).map(parseToken)
  const shown = tokens
    .filter(({ metadata }) =>
      Object.entries(input.labels).every(([key, value]) => metadata.labels?.[key] === value),
    )
    .map((token) => (input.withSecrets ? token : masked(token)))
    .sort((left, right) => (left.metadata.expires ?? '9').localeCompare(right.metadata.expires ?? '9'))
  if (input.format === 'json') out(json(shown.map(formatToken)))
  else if (input.format === 'yaml') out(yaml(shown.map(formatToken)))
  else if (shown.length === 0) out('No active tokens found.\n')
  else {
    const rows = shown.map((token) => [
      token.metadata.name,
      token.spec.roles.join(','),
      labelText(token.metadata.labels),
      expiryText(token.metadata.expires, clock()),
    ])
    out(columns(['Token', 'Type', 'Labels', 'Expiry Time (UTC)'], rows))
  }
  return 0
}

export async function tokensRemove(input: { name: string }, { client, out }: TctlContext): Promise<number> {
  if (input.name === '') throw badParameter('Need an argument: token')
  await client.deleteResource('token', input.name)
  out(`Token ${input.name} has been deleted\n`)
  return 0
}

async function createToken(input: TokensAddInput, { client, clock = Date.now }: TctlContext): Promise<Token> {
  if (input.types.length === 0) throw badParameter('required flag --type not provided')
  const ttl = parseDuration(input.ttl ?? defaultTtl)
  const name = input.value ?? randomBytes(16).toString('hex')
  const resource = {
    kind: 'token',
    version: 'v2',
    metadata: { name, expires: new Date(clock() + ttl).toISOString() },
    spec: {
      roles: [...input.types],
      join_method: 'token',
      ...(input.labels ? { suggested_labels: input.labels } : {}),
    },
  }
  try {
    return parseToken((await client.createResource(resource)).resource)
  } catch (error) {
    if (!isKind(error, 'already-exists')) throw error
    throw alreadyExists(`failed to create token ("${name}" already exists), please use another name`, {
      cause: error,
    })
  }
}

// Only the token method's name is a secret; other methods prove identity in another way.
function masked(token: Token): Token {
  if (token.spec.join_method !== 'token') return token
  const { name } = token.metadata
  const hidden = name.length < 16 ? name.length : Math.floor(name.length * 0.75)
  return { ...token, metadata: { ...token.metadata, name: '*'.repeat(hidden) + name.slice(hidden) } }
}

function labelText(labels: Readonly<Record<string, string>> = {}): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(',')
}

function expiryText(expires: string | undefined, now: number): string {
  if (expires === undefined) return 'never'
  const at = new Date(expires)
  const left = Math.max(0, Math.floor((at.getTime() - now) / 1000) * 1000)
  const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
  const two = (value: number) => String(value).padStart(2, '0')
  const day = `${two(at.getUTCDate())} ${months[at.getUTCMonth()]} ${two(at.getUTCFullYear() % 100)}`
  return `${day} ${two(at.getUTCHours())}:${two(at.getUTCMinutes())} UTC (${formatDuration(left)})`
}

interface JoiningPlace {
  /** `host:port` of a proxy. */
  readonly proxy: string
  readonly pins: readonly string[]
  readonly version: string
}

interface Instructions extends JoiningPlace {
  readonly token: string
  readonly roles: readonly string[]
  readonly minutes: number
}

async function joiningPlace({ client }: TctlContext, nobody: string): Promise<JoiningPlace> {
  const { proxies, ca_pins, server_version } = await client.clusterInfo()
  const [proxy] = proxies
  if (proxy === undefined) throw badParameter(nobody)
  return { proxy, pins: ca_pins, version: server_version }
}

function minutesOf({ ttl }: { ttl?: string }): number {
  return Math.round(parseDuration(ttl ?? defaultTtl) / 60_000)
}

function instructions(how: Instructions): string {
  if (how.roles.includes('Kube')) return kubeText(how)
  return how.roles.includes('Trusted_cluster') ? trustedClusterText(how) : nodeText(how)
}

function kubeText({ token, minutes, proxy, version }: Instructions): string {
  return `The invite token: ${token}
This token will expire in ${minutes} minutes.

To use with Helm installation follow these steps:

# Retrieve the Teleport helm charts
helm repo add teleport https://charts.releases.teleport.dev
# Refresh the helm charts
helm repo update

> helm install teleport-agent teleport/teleport-kube-agent \\
  --set kubeClusterName=cluster \`# Change kubeClusterName variable to your preferred name.\` \\
  --set roles="kube\\,app\\,discovery" \\
  --set proxyAddr=${proxy} \\
  --set authToken=${token} \\
  --create-namespace \\
  --namespace=teleport-agent \\
  --version=${version}

Please note:

  - This invitation token will expire in ${minutes} minutes.
  - ${proxy} must be reachable from Kubernetes cluster.
  - The token is usable in a standalone Linux server with kubernetes_service.
  - See https://goteleport.com/docs/kubernetes-access/ for detailed installation information.
`
}

function trustedClusterText({ token, minutes }: Instructions): string {
  return `The cluster invite token: ${token}
This token will expire in ${minutes} minutes

Use this token when defining a trusted cluster resource on a remote cluster.
`
}

function nodeText({ token, minutes, roles, proxy, pins }: Instructions): string {
  return `The invite token: ${token}
This token will expire in ${minutes} minutes.

Run this on the new node to join the cluster:

> teleport start \\
   --roles=${roles.join(',').toLowerCase()} \\
   --token=${token} \\
${pins.map((pin) => `   --ca-pin=${pin} \\\n`).join('')}   --auth-server=${proxy}

Please note:

  - This invitation token will expire in ${minutes} minutes.
  - ${proxy} must be reachable from the new node.
`
}
