import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'bun:test'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SignUserCertificate } from '../../api/schemas.ts'
import { parseYaml } from '../../config/yaml.ts'
import type { Resource } from '../../resources/resource.ts'
import { authExport, authSign, type AuthSignInput } from './auth.ts'
import { fakeContext, refusal } from './testing/context.ts'

let parent: string
let folder: string
let folders = 0
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'teleport-sign-'))
})
afterAll(() => rm(parent, { recursive: true }))
beforeEach(() => {
  folder = join(parent, `${folders++}`)
})

const certificate = '-----BEGIN CERTIFICATE-----\nuser\n-----END CERTIFICATE-----\n'
const authority = '-----BEGIN CERTIFICATE-----\nhost\n-----END CERTIFICATE-----\n'

const proxy = (kubeAddress: string): Resource => ({
  kind: 'proxy',
  version: 'v2',
  metadata: { name: 'host-1' },
  spec: {
    hostname: 'h',
    version: '17.0.0',
    public_addr: 'tele.example.com:443',
    kube_public_addr: kubeAddress,
  },
})

async function sign(
  more: Partial<AuthSignInput>,
  {
    proxies = [proxy('tele.example.com:3026')],
    answer,
  }: { proxies?: readonly Resource[]; answer?: boolean } = {},
) {
  const questions: string[] = []
  const asked: SignUserCertificate[] = []
  const context = fakeContext({
    signUserCertificate: async (input) => {
      asked.push(input)
      return {
        username: input.username,
        cluster: 'tele.example.com',
        certificate,
        host_authorities: [authority],
        expires: '2027-03-01T12:00:00Z',
      }
    },
    listResources: async () => proxies,
  })
  const output = join(folder, 'out')
  const code = await authSign(
    { user: 'jenkins', output, format: 'file', ttl: '12h', overwrite: false, ...more },
    answer === undefined
      ? context
      : { ...context, confirm: async (question) => (questions.push(question), answer) },
  )
  return { asked, code, output, questions, stdout: context.stdout() }
}

describe('tctl auth sign', () => {
  it('writes a kubeconfig that stands alone', async () => {
    const { asked, code, output, stdout } = await sign({ format: 'kubernetes', ttl: '8760h' })
    expect(code).toBe(0)
    expect(stdout).toBe(`\nThe credentials have been written to ${output}\n`)
    expect((await stat(output)).mode & 0o777).toBe(0o600)
    const text = await readFile(output, 'utf8')
    const base64 = (value: string) => Buffer.from(value).toString('base64')
    const config = parseYaml(text, output) as {
      users: [{ user: { 'client-key-data': string } }]
    }
    const key = config.users[0].user['client-key-data']
    expect(config).toEqual({
      apiVersion: 'v1',
      kind: 'Config',
      preferences: {},
      clusters: [
        {
          name: 'tele.example.com',
          cluster: {
            'certificate-authority-data': base64(authority),
            server: 'https://tele.example.com:3026',
          },
        },
      ],
      contexts: [
        { name: 'tele.example.com', context: { cluster: 'tele.example.com', user: 'tele.example.com' } },
      ],
      'current-context': 'tele.example.com',
      users: [
        {
          name: 'tele.example.com',
          user: { 'client-certificate-data': base64(certificate), 'client-key-data': key },
        },
      ],
    } as unknown as typeof config)
    // The key stays here; only its public half was sent.
    const privateKey = createPrivateKey(Buffer.from(key, 'base64'))
    expect(asked).toEqual([
      {
        username: 'jenkins',
        ttl: '8760h',
        public_key: createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }).toString(),
      },
    ])
  })

  it('names the Kubernetes cluster, and the server behind a web port', async () => {
    const { asked, output } = await sign(
      { format: 'kubernetes', kubernetesCluster: 'prod' },
      { proxies: [proxy('tele.example.com:443')] },
    )
    const text = await readFile(output, 'utf8')
    expect(text).toContain('    server: https://tele.example.com:443\n')
    expect(text).toContain('    tls-server-name: kube-teleport-proxy-alpn.tele.example.com\n')
    expect(text).toContain('current-context: "tele.example.com-prod"\n')
    expect(asked[0]).toMatchObject({ kubernetes_cluster: 'prod' })
  })

  it.each(['https://kube.example.com:3026', 'kube.example.com:3026'])(
    'uses the proxy it is told: %s',
    async (address) => {
      const { output } = await sign({ format: 'kubernetes', proxy: address }, { proxies: [] })
      const text = await readFile(output, 'utf8')
      expect(text).toContain('    server: https://kube.example.com:3026\n')
      expect(text).not.toContain('tls-server-name')
    },
  )

  it('writes an identity file, or the parts of it', async () => {
    const { output } = await sign({ format: 'file' })
    const text = await readFile(output, 'utf8')
    expect(text).toMatch(/^-----BEGIN PRIVATE KEY-----\n/)
    expect(text.endsWith(certificate + authority)).toBe(true)

    const parts = await sign({ format: 'tls', output: join(folder, 'jenkins') })
    expect(parts.stdout).toBe(
      `\nThe credentials have been written to ${['crt', 'key', 'cas'].map((end) => join(folder, `jenkins.${end}`)).join(', ')}\n`,
    )
    expect(await readFile(join(folder, 'jenkins.crt'), 'utf8')).toBe(certificate)
    expect(await readFile(join(folder, 'jenkins.cas'), 'utf8')).toBe(authority)
    expect((await stat(join(folder, 'jenkins.key'))).mode & 0o777).toBe(0o600)
  })

  it('overwrites only when told to', async () => {
    const { output } = await sign({})
    const before = await readFile(output, 'utf8')
    expect(await refusal(sign({}))).toBe(`Destination file(s) ${output} exist.`)
    expect(await readFile(output, 'utf8')).toBe(before)
    expect(await refusal(sign({}, { answer: false }))).toBe(`Destination file(s) ${output} exist.`)
    expect(await readFile(output, 'utf8')).toBe(before)
    expect((await sign({}, { answer: true })).questions).toEqual([
      `Destination file(s) ${output} exist. Overwrite?`,
    ])
    const confirmed = await readFile(output, 'utf8')
    expect(confirmed).not.toBe(before)
    expect((await sign({ overwrite: true }, { answer: false })).questions).toEqual([])
    expect(await readFile(output, 'utf8')).not.toBe(confirmed)
  })

  it('says what is missing, and writes nothing', async () => {
    const cases: readonly [Partial<AuthSignInput>, string][] = [
      [{ user: '' }, '--user or --host must be specified'],
      [{ user: '', host: 'h' }, 'signing host certificates is not supported in this build'],
      [{ output: '' }, 'required flag --out not provided'],
      [{ ttl: 'long' }, 'time: invalid duration "long"'],
      [
        { format: 'kubernetes' },
        `couldn't find registered public proxies, specify --proxy when using --format="kubernetes"`,
      ],
    ]
    for (const [input, message] of cases) expect(await refusal(sign(input, { proxies: [] }))).toBe(message)
    expect(await readdir(parent)).not.toContain(folder.slice(parent.length + 1))
  })
})

describe('tctl auth export', () => {
  const exported = async (more: { type?: string; keys?: boolean; output?: string }) => {
    const asked: unknown[] = []
    const context = fakeContext({
      exportAuthorities: async (...input) => {
        asked.push(input)
        const keys = input[1]?.keys ? { keys: ['KEY\n'] } : {}
        return [{ type: input[0], cluster: 'root', pems: ['ONE\n', 'TWO\n'], ...keys }]
      },
    })
    expect(await authExport({ keys: false, ...more }, context)).toBe(0)
    return { asked, stdout: context.stdout() }
  }

  it('prints the certificates, and keys only when asked', async () => {
    expect(await exported({})).toEqual({ asked: [['user', { keys: false }]], stdout: 'ONE\nTWO\n' })
    expect(await exported({ type: 'tls-host', keys: true })).toEqual({
      asked: [['tls-host', { keys: true }]],
      stdout: 'ONE\nTWO\nKEY\n',
    })
  })

  it('writes a file that only its owner can read', async () => {
    const output = join(folder, 'ca.pem')
    await writeFile(join(parent, 'unrelated'), '')
    expect((await exported({ keys: true, output })).stdout).toBe('')
    expect(await readFile(output, 'utf8')).toBe('ONE\nTWO\nKEY\n')
    expect((await stat(output)).mode & 0o777).toBe(0o600)
  })
})
