// `tctl tokens …` and `tctl nodes add`: secrets with which processes join. A token's value is shown once, when it is
// made; lists mask it unless asked.

import { randomBytes } from 'node:crypto'
import { alreadyExists, badParameter, isKind } from '../../errors.ts'
import { formatDuration, parseDuration } from '../../resources/duration.ts'
import { parseToken, type Token } from '../../resources/token.ts'
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
  const { client, out } = context
  const token = await createToken(input, context)
  const name = token.metadata.name
  const info = { expires: token.metadata.expires, roles: token.spec.roles, token: name }
  if (input.format === 'text') out(`${name}\n`)
  else if (input.format === 'json') out(json(info, 1))
  else if (input.format === 'yaml') out(yaml(info))
  else {
    const { proxies, ca_pins } = await client.clusterInfo()
    const minutes = Math.round(parseDuration(input.ttl ?? defaultTtl) / 60_000)
    const proxy = proxies[0]
    if (proxy === undefined) throw badParameter('cluster has no proxies')
    out(
      token.spec.roles.includes('Kube')
        ? kubeText(name, minutes, proxy)
        : nodeText(name, minutes, { roles: input.types, proxy, pins: ca_pins }),
    )
  }
  return 0
}

export async function nodesAdd(
  input: { roles: readonly string[]; ttl?: string; value?: string; format: 'text' | 'json' },
  context: TctlContext,
): Promise<number> {
  const token = await createToken(
    {
      types: input.roles,
      ...(input.ttl ? { ttl: input.ttl } : {}),
      ...(input.value ? { value: input.value } : {}),
    },
    context,
  )
  if (input.format === 'json') context.out(`${JSON.stringify([token.metadata.name])}\n`)
  else {
    const { proxies, ca_pins } = await context.client.clusterInfo()
    const minutes = Math.round(parseDuration(input.ttl ?? defaultTtl) / 60_000)
    context.out(
      nodeText(token.metadata.name, minutes, { roles: input.roles, proxy: proxies[0] ?? '', pins: ca_pins }),
    )
  }
  return 0
}

export async function tokensList(
  input: { withSecrets: boolean; format: 'text' | 'json' | 'yaml' },
  { client, out, clock = Date.now }: TctlContext,
): Promise<number> {
  const tokens = (await client.listResources('token', { with_secrets: true })).map(parseToken)
  const shown = tokens
    .map((token) => (input.withSecrets ? token : masked(token)))
    .sort((left, right) => (left.metadata.expires ?? '9').localeCompare(right.metadata.expires ?? '9'))
  if (input.format === 'json') out(json(shown))
  else if (input.format === 'yaml') out(yaml(shown))
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

function kubeText(token: string, minutes: number, proxy: string): string {
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
  --namespace=teleport-agent

Please note:

  - This invitation token will expire in ${minutes} minutes.
  - ${proxy} must be reachable from Kubernetes cluster.
  - The token is usable in a standalone Linux server with kubernetes_service.
  - See https://goteleport.com/docs/kubernetes-access/ for detailed installation information.
`
}

function nodeText(
  token: string,
  minutes: number,
  where: { roles: readonly string[]; proxy: string; pins: readonly string[] },
): string {
  const pins = where.pins.map((pin) => `   --ca-pin=${pin} \\\n`).join('')
  return `The invite token: ${token}
This token will expire in ${minutes} minutes.

Run this on the new node to join the cluster:

> teleport start \\
   --roles=${where.roles.join(',').toLowerCase()} \\
   --token=${token} \\
${pins}   --auth-server=${where.proxy}

Please note:

  - This invitation token will expire in ${minutes} minutes.
  - ${where.proxy} must be reachable from the new node.
`
}
