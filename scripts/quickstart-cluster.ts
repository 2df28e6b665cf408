// Which Kubernetes cluster the quickstart serves: the one of the current kubeconfig context when it answers, else the
// sample. Either way the product gets a kubeconfig file of its own with that one context; the user's is only read.

import { KubeConfig } from '@kubernetes/client-node'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { startSampleApi } from '../test/sample-api/sample-api.ts'

export interface QuickstartCluster extends AsyncDisposable {
  /** Name of the context, and of the cluster in the product. */
  readonly name: string
  readonly isSample: boolean
  /** Content of a kubeconfig with this context alone. */
  readonly kubeconfig: string
  /** Why it is this one, for people. */
  readonly reason: string
}

const patienceMs = 5000

export async function findCluster(options: { sample: boolean }): Promise<QuickstartCluster> {
  const found = options.sample ? 'the sample was asked for' : await currentCluster()
  if (typeof found !== 'string') return found
  const sample = await startSampleApi()
  return {
    name: 'sample',
    isSample: true,
    kubeconfig: sample.kubeconfig('sample'),
    reason: found,
    [Symbol.asyncDispose]: () => sample[Symbol.asyncDispose](),
  }
}

/** The cluster of the current context, or why there is none to use. */
async function currentCluster(): Promise<QuickstartCluster | string> {
  const given = process.env['KUBECONFIG']?.split(delimiter).filter((path) => path !== '') ?? []
  const files = (given.length > 0 ? given : [join(homedir(), '.kube/config')]).filter(existsSync)
  if (files.length === 0) return 'there is no kubeconfig file'
  const config = new KubeConfig()
  try {
    const [first = '', ...rest] = files
    config.loadFromFile(first)
    for (const file of rest) {
      const more = new KubeConfig()
      more.loadFromFile(file)
      config.mergeConfig(more, true)
    }
  } catch (error) {
    return `the kubeconfig cannot be read: ${String(error)}`
  }
  const name = config.getCurrentContext()
  const cluster = config.getCurrentCluster()
  if (!name || cluster === null) return 'the kubeconfig has no current context'
  const problem = await whySilent(config, cluster.server)
  if (problem !== undefined) return `the context ${name} does not answer (${problem})`
  return {
    name,
    isSample: false,
    kubeconfig: contextAlone(config, name),
    reason: `it is the current context and ${cluster.server} answers`,
    async [Symbol.asyncDispose]() {},
  }
}

async function whySilent(config: KubeConfig, server: string): Promise<string | undefined> {
  try {
    const request: Parameters<KubeConfig['applyToHTTPSOptions']>[0] = { headers: {} }
    await config.applyToHTTPSOptions(request)
    const [ca, cert, key] = [request.ca, request.cert, request.key].map(pem)
    const tls = {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined || key === undefined ? {} : { cert, key }),
      rejectUnauthorized: request.rejectUnauthorized ?? true,
    }
    const headers: Record<string, string> = {}
    for (const [name, value] of Object.entries(request.headers ?? {})) headers[name] = String(value)
    const signal = AbortSignal.timeout(patienceMs)
    const answer = await fetch(new URL('/version', server), {
      headers,
      tls,
      signal,
    })
    return answer.ok ? undefined : `${answer.status} ${answer.statusText}`
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function pem(value: unknown): string | undefined {
  if (Buffer.isBuffer(value)) return value.toString()
  return typeof value === 'string' ? value : undefined
}

/** Paths in it are absolute by now. */
function contextAlone(config: KubeConfig, name: string): string {
  const context = config.getContextObject(name)
  const whole = JSON.parse(config.exportConfig()) as Record<
    'clusters' | 'users' | 'contexts',
    { name: string }[]
  >
  return JSON.stringify({
    ...whole,
    contexts: whole.contexts.filter((one) => one.name === name),
    clusters: whole.clusters.filter((one) => one.name === context?.cluster),
    users: whole.users.filter((one) => one.name === context?.user),
    'current-context': name,
  })
}
