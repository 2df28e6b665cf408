// `tsh kube credentials`: what kubectl asks before each command. The answer comes from a cached certificate without
// the network; only when it has run out is a new one fetched, by one process while others wait. Standard output holds
// the answer and nothing else.

import { X509Certificate } from 'node:crypto'
import { mkdir, open, readFile, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import type { Io } from '../io.ts'

/** A certificate is good for an answer while it lives at least this much longer. */
const marginMs = 60_000
const lockWaitMs = 5000
/** A lock older than this was left behind. */
const lockMaxAgeMs = 30_000

export async function kubeCredentials(args: readonly string[], io: Io): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      'kube-cluster': { type: 'string' },
      'teleport-cluster': { type: 'string' },
      proxy: { type: 'string' },
      insecure: { type: 'boolean' },
      debug: { type: 'boolean', short: 'd' },
    },
  })
  const cluster = values['kube-cluster'] ?? ''
  try {
    if (cluster === '') throw new Error('required flag --kube-cluster not provided')
    const { profileFolder, Profiles, proxyHost } = await import('../profile.ts')
    const profiles = new Profiles(profileFolder(io.env))
    const host = values.proxy ? proxyHost(values.proxy) : await profiles.current()
    const profile = host === undefined ? undefined : await profiles.read(host)
    if (!profile) throw new Error('Not logged in. Run tsh login first.')
    const path = profiles.kubernetesCredentialsPath(profile, cluster)
    const cached = await readCached(path)
    const pem =
      cached ??
      (await exclusively(
        profiles.lockPath(profile),
        async () =>
          (await readCached(path)) ??
          (await fetchNew(path, { cluster, io, ...(values.proxy ? { proxy: values.proxy } : {}) })),
      ))
    io.out(answer(pem, io.env['KUBERNETES_EXEC_INFO']))
    return 0
  } catch (error) {
    io.note(`ERROR: ${error instanceof Error ? error.message : String(error)}\n`)
    return 1
  }
}

async function readCached(path: string): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined)
  return text !== undefined && expiry(text) > Date.now() + marginMs ? text : undefined
}

function expiry(pem: string): number {
  return Date.parse(new X509Certificate(certificateOf(pem)).validTo)
}

function certificateOf(pem: string): string {
  return /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----\n?/.exec(pem)?.[0] ?? ''
}

async function fetchNew(
  path: string,
  { cluster, io, proxy }: { cluster: string; io: Io; proxy?: string },
): Promise<string> {
  const [{ connectSession, openSession }, { generateKeyPair }, { writeFileAtomically }] = await Promise.all([
    import('./session.ts'),
    import('../../identity/keys.ts'),
    import('../files.ts'),
  ])
  const session = await openSession(io, proxy)
  const keys = generateKeyPair()
  await using remote = connectSession(session)
  const issued = await remote.client.reissueCertificate({
    public_key: keys.publicKey,
    kubernetes_cluster: cluster,
    usage: ['usage:kube'],
  })
  const pem = keys.privateKey + issued.certificate
  await writeFileAtomically(path, pem)
  return pem
}

/** One process at a time; a lock that somebody left behind is passed over. */
async function exclusively(path: string, action: () => Promise<string>): Promise<string> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const end = Date.now() + lockWaitMs
  for (;;) {
    try {
      await (await open(path, 'wx', 0o600)).close()
      break
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
      const age = await stat(path).then(
        ({ mtimeMs }) => Date.now() - mtimeMs,
        () => 0,
      )
      if (age > lockMaxAgeMs) await rm(path, { force: true })
      else if (Date.now() > end) return action()
      else await Bun.sleep(20)
    }
  }
  try {
    return await action()
  } finally {
    await rm(path, { force: true })
  }
}

/** The ExecCredential, in the version kubectl asks for. */
function answer(pem: string, execInfo: string | undefined): string {
  const certificate = certificateOf(pem)
  const key = pem.replace(certificate, '')
  const status = {
    expirationTimestamp: new Date(expiry(pem) - marginMs).toISOString().replace(/\.\d+Z$/, 'Z'),
    clientCertificateData: certificate,
    clientKeyData: key,
  }
  const version = execInfo?.includes('client.authentication.k8s.io/v1"') ? 'v1' : 'v1beta1'
  return `${JSON.stringify({ kind: 'ExecCredential', apiVersion: `client.authentication.k8s.io/${version}`, spec: {}, status })}\n`
}
