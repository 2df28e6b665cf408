// `tctl auth sign` writes credentials for automation; `tctl auth export` prints what others need to trust us.

import { access } from 'node:fs/promises'
import { badParameter } from '../../errors.ts'
import { generateKeyPair } from '../../identity/keys.ts'
import { parseProxy } from '../../resources/proxy.ts'
import { parseDuration } from '../../resources/duration.ts'
import { writeFileAtomically } from '../files.ts'
import { embeddedKubeconfig } from '../kubeconfig-file.ts'
import type { TctlContext } from './context.ts'

export interface AuthSignInput {
  user?: string
  host?: string
  output: string
  format: 'file' | 'tls' | 'kubernetes'
  ttl: string
  /** `https://host:port` or `host:port` of the proxy's Kubernetes address. */
  proxy?: string
  kubernetesCluster?: string
  leafCluster?: string
  overwrite: boolean
}

export async function authSign(input: AuthSignInput, context: TctlContext): Promise<number> {
  const { client, out } = context
  if (!input.user)
    throw badParameter(
      input.host
        ? 'signing host certificates is not supported in this build'
        : '--user or --host must be specified',
    )
  if (input.output === '') throw badParameter('required flag --out not provided')
  parseDuration(input.ttl)
  const targets =
    input.format === 'tls'
      ? [`${input.output}.crt`, `${input.output}.key`, `${input.output}.cas`]
      : [input.output]
  if (!input.overwrite) await mayOverwrite(targets, context)
  const keys = generateKeyPair()
  const issued = await client.signUserCertificate({
    username: input.user,
    public_key: keys.publicKey,
    ttl: input.ttl,
    ...(input.kubernetesCluster ? { kubernetes_cluster: input.kubernetesCluster } : {}),
    ...(input.leafCluster ? { route_to_cluster: input.leafCluster } : {}),
  })
  const authorities = issued.host_authorities.join('')
  if (input.format === 'kubernetes') {
    const place = await kubernetesPlace(client, input.proxy)
    const name = input.kubernetesCluster ? `${issued.cluster}-${input.kubernetesCluster}` : issued.cluster
    const text = embeddedKubeconfig({
      name,
      ...place,
      authorities,
      certificate: issued.certificate,
      key: keys.privateKey,
    })
    await writeFileAtomically(input.output, text)
  } else if (input.format === 'file') {
    await writeFileAtomically(input.output, keys.privateKey + issued.certificate + authorities)
  } else {
    await writeFileAtomically(`${input.output}.crt`, issued.certificate)
    await writeFileAtomically(`${input.output}.key`, keys.privateKey)
    await writeFileAtomically(`${input.output}.cas`, authorities)
  }
  out(`\nThe credentials have been written to ${targets.join(', ')}\n`)
  return 0
}

export async function authExport(
  input: { type?: string; keys: boolean; output?: string },
  { client, out }: TctlContext,
): Promise<number> {
  const exported = await client.exportAuthorities(input.type ?? 'user', { keys: input.keys })
  const text = exported.flatMap((authority) => [...authority.pems, ...(authority.keys ?? [])]).join('')
  if (input.output) await writeFileAtomically(input.output, text)
  else out(text)
  return 0
}

/** Where kubectl connects, and the name that says so when it comes to the web port. */
async function kubernetesPlace(
  client: TctlContext['client'],
  given: string | undefined,
): Promise<{ server: string; tlsServerName?: string }> {
  const proxies = (await client.listResources('proxy')).map((proxy) => parseProxy(proxy).spec)
  const address =
    given?.replace(/^https:\/\//, '') ?? proxies.find((one) => one.kube_public_addr)?.kube_public_addr
  if (address === undefined)
    throw badParameter(
      `couldn't find registered public proxies, specify --proxy when using --format="kubernetes"`,
    )
  const isWebPort = proxies.some((one) => one.public_addr === address && one.kube_public_addr === address)
  const tlsServerName = `kube-teleport-proxy-alpn.${address.replace(/:\d+$/, '')}`
  return { server: `https://${address}`, ...(isWebPort ? { tlsServerName } : {}) }
}

async function mayOverwrite(paths: readonly string[], { confirm }: TctlContext): Promise<void> {
  const existing: string[] = []
  for (const path of paths) {
    const exists = await access(path).then(
      () => true,
      () => false,
    )
    if (exists) existing.push(path)
  }
  if (existing.length === 0) return
  const message = `Destination file(s) ${existing.join(', ')} exist.`
  if (await confirm?.(`${message} Overwrite?`)) return
  throw badParameter(message, { hint: 'use --overwrite to replace them' })
}
