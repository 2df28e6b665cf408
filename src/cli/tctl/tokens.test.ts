import { describe, expect, it } from 'bun:test'
import { alreadyExists } from '../../errors.ts'
import { formatToken, parseToken } from '../../resources/token.ts'
import type { Resource } from '../../resources/resource.ts'
import { fakeContext, refusal } from './testing/context.ts'
import { nodesAdd, tokensAdd, tokensList, tokensRemove } from './tokens.ts'

const info = {
  cluster_name: 'tele.example.com',
  cluster_id: 'id',
  server_version: '17.0.0',
  ca_pins: ['sha256:abdc'],
  proxies: ['tele.example.com:443'],
}

/** A context whose server stores tokens as ours does. */
function tokenContext(proxies: readonly string[] = info.proxies) {
  const made: Resource[] = []
  const context = fakeContext({
    clusterInfo: async () => ({ ...info, proxies: [...proxies] }),
    createResource: async (resource) => {
      made.push(resource)
      return { resource: formatToken(parseToken(resource)), outcome: 'created' }
    },
  })
  return { context, made }
}

describe('tctl tokens add', () => {
  it('prints the token alone when asked for text', async () => {
    const { context, made } = tokenContext([])
    expect(await tokensAdd({ types: ['kube'], ttl: '1h', format: 'text' }, context)).toBe(0)
    expect(context.stdout()).toMatch(/^[0-9a-f]{32}\n$/)
    expect(made).toEqual([
      {
        kind: 'token',
        version: 'v2',
        metadata: { name: context.stdout().trim(), expires: '2026-03-01T13:00:00.000Z' },
        spec: { roles: ['kube'], join_method: 'token' },
      },
    ])
  })

  it('prints JSON and YAML', async () => {
    const json = tokenContext().context
    await tokensAdd({ types: ['kube'], value: 'v', format: 'json' }, json)
    expect(json.stdout()).toBe(
      '{\n "expires": "2026-03-01T12:30:00.000Z",\n "roles": [\n  "Kube"\n ],\n "token": "v"\n}\n',
    )
    const yaml = tokenContext().context
    await tokensAdd({ types: ['kube', 'app'], value: 'v', format: 'yaml' }, yaml)
    expect(yaml.stdout()).toBe('expires: "2026-03-01T12:30:00.000Z"\nroles:\n  - Kube\n  - App\ntoken: v\n')
  })

  it('says how to install an agent', async () => {
    const { context } = tokenContext()
    expect(await tokensAdd({ types: ['kube'], value: 'v' }, context)).toBe(0)
    expect(context.stdout()).toBe(`The invite token: v
This token will expire in 30 minutes.

To use with Helm installation follow these steps:

# Retrieve the Teleport helm charts
helm repo add teleport https://charts.releases.teleport.dev
# Refresh the helm charts
helm repo update

> helm install teleport-agent teleport/teleport-kube-agent \\
  --set kubeClusterName=cluster \`# Change kubeClusterName variable to your preferred name.\` \\
  --set roles="kube\\,app\\,discovery" \\
  --set proxyAddr=tele.example.com:443 \\
  --set authToken=v \\
  --create-namespace \\
  --namespace=teleport-agent \\
  --version=17.0.0

Please note:

  - This invitation token will expire in 30 minutes.
  - tele.example.com:443 must be reachable from Kubernetes cluster.
  - The token is usable in a standalone Linux server with kubernetes_service.
  - See https://goteleport.com/docs/kubernetes-access/ for detailed installation information.
`)
  })

  it('says how to trust a cluster', async () => {
    const { context } = tokenContext()
    await tokensAdd({ types: ['trusted_cluster'], value: 'v', ttl: '1h' }, context)
    expect(context.stdout()).toBe(`The cluster invite token: v
This token will expire in 60 minutes

Use this token when defining a trusted cluster resource on a remote cluster.
`)
  })

  it('makes no token that nobody could use', async () => {
    const { context, made } = tokenContext([])
    expect(await refusal(tokensAdd({ types: ['kube'] }, context))).toBe('cluster has no proxies')
    expect(await refusal(tokensAdd({ types: [], format: 'text' }, context))).toBe(
      'required flag --type not provided',
    )
    expect(await refusal(tokensAdd({ types: ['kube'], ttl: 'soon', format: 'text' }, context))).toBe(
      'time: invalid duration "soon"',
    )
    expect(made).toEqual([])
  })

  it('says when the value is taken', async () => {
    const context = fakeContext({
      createResource: async () => {
        throw alreadyExists('token "v" already exists')
      },
    })
    expect(await refusal(tokensAdd({ types: ['kube'], value: 'v', format: 'text' }, context))).toBe(
      'failed to create token ("v" already exists), please use another name',
    )
  })
})

describe('tctl nodes add', () => {
  it('prints an array of one token, and nothing else', async () => {
    const { context, made } = tokenContext([])
    await nodesAdd({ roles: ['kube'], ttl: '10000h', format: 'json' }, context)
    const [token] = JSON.parse(context.stdout()) as string[]
    expect(context.stdout()).toBe(`["${token}"]\n`)
    expect(made[0]?.metadata).toEqual({ name: token ?? '', expires: '2027-04-22T04:00:00.000Z' })
  })

  it('says how to start the process', async () => {
    const { context } = tokenContext()
    await nodesAdd({ roles: ['node', 'kube'], value: 'v', format: 'text' }, context)
    expect(context.stdout()).toBe(`The invite token: v
This token will expire in 30 minutes.

Run this on the new node to join the cluster:

> teleport start \\
   --roles=node,kube \\
   --token=v \\
   --ca-pin=sha256:abdc \\
   --auth-server=tele.example.com:443

Please note:

  - This invitation token will expire in 30 minutes.
  - tele.example.com:443 must be reachable from the new node.
`)
  })

  it('needs somebody to join', async () => {
    const { context, made } = tokenContext([])
    expect(await refusal(nodesAdd({ roles: ['node'], format: 'text' }, context))).toBe(
      'This cluster does not have any auth servers running.',
    )
    expect(made).toEqual([])
  })
})

describe('tctl tokens ls', () => {
  const token = (name: string, more: { expires?: string; method?: string } = {}): Resource => ({
    kind: 'token',
    version: 'v2',
    metadata: { name, ...(more.expires ? { expires: more.expires } : {}) },
    spec: {
      roles: ['Kube', 'App'],
      join_method: more.method ?? 'token',
      ...(more.method ? { allow: [{ aws_account: '1' }] } : {}),
    },
  })
  const tokens = [
    token('kube-iam-token', { method: 'iam' }),
    token('0123456789abcdef', { expires: '2026-03-01T12:29:59.500Z' }),
    token('short'),
  ]
  const list = async (
    resources: readonly Resource[],
    withSecrets: boolean,
    format: 'text' | 'json' = 'text',
  ) => {
    const context = fakeContext({ listResources: async () => resources })
    expect(await tokensList({ withSecrets, format, labels: {} }, context)).toBe(0)
    return context.stdout()
  }

  it('masks what is secret', async () => {
    expect(await list(tokens, false)).toBe(
      'Token            Type     Labels Expiry Time (UTC)           \n' +
        '---------------- -------- ------ ----------------------------\n' +
        '************cdef Kube,App        01 Mar 26 12:29 UTC (29m59s)\n' +
        'kube-iam-token   Kube,App        never                       \n' +
        '*****            Kube,App        never                       \n',
    )
  })

  it('shows it when asked', async () => {
    const shown = JSON.parse(await list(tokens, true, 'json')) as Resource[]
    expect(shown).toEqual([1, 0, 2].map((index) => tokens[index]!))
  })

  it('shows those with the labels asked for', async () => {
    const labelled = {
      ...token('labelled-token-0001'),
      metadata: { name: 'labelled', labels: { env: 'prod' } },
    }
    const context = fakeContext({ listResources: async () => [...tokens, labelled] })
    await tokensList({ withSecrets: true, format: 'json', labels: { env: 'prod' } }, context)
    expect(JSON.parse(context.stdout())).toEqual([labelled])
  })

  it('says when there are none', async () => {
    expect(await list([], false)).toBe('No active tokens found.\n')
  })
})

describe('tctl tokens rm', () => {
  it('deletes it', async () => {
    const context = fakeContext({ deleteResource: async () => {} })
    expect(await tokensRemove({ name: 'v' }, context)).toBe(0)
    expect(context.stdout()).toBe('Token v has been deleted\n')
  })

  it('needs a name', async () => {
    expect(await refusal(tokensRemove({ name: '' }, fakeContext({})))).toBe('Need an argument: token')
  })
})
