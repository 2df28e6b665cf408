import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'bun:test'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TeleportError } from '../errors.ts'
import { changeKubeconfig, type KubeconfigEntry, kubeconfigPath, readContexts } from './kubeconfig.ts'

let folder: string
let path: string
let files = 0
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'teleport-kubeconfig-'))
})
afterAll(() => rm(folder, { recursive: true }))
beforeEach(() => {
  path = join(folder, `config-${files++}`)
})

const entry = (name: string, more: Partial<KubeconfigEntry> = {}): KubeconfigEntry => ({
  name,
  server: 'https://tele.example.com:443',
  authorities: 'CA',
  kubernetesCluster: 'prod',
  user: { command: '/bin/tsh', args: ['kube', 'credentials', '--kube-cluster=prod'] },
  ...more,
})

const foreign = `# my clusters
users: # people first, oddly
- name: me
  user: {token: "abc"} # secret
contexts:
- context: {cluster: home, user: me, namespace: dev}
  name: home
current-context: home
x-own-key: [1, 2]
apiVersion: v1
clusters:
# the one at home
- name: home
  cluster:
    server: https://home:6443
kind: Config
`

describe('changeKubeconfig', () => {
  it('makes a file, for its owner only', async () => {
    expect(await changeKubeconfig(path, { put: [entry('root-prod')], select: 'root-prod' })).toBe('')
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await readContexts(path)).toEqual({
      current: 'root-prod',
      contexts: new Map([['root-prod', 'prod']]),
    })
    expect(await readFile(path, 'utf8')).toContain('certificate-authority-data: Q0E=')
  })

  it('leaves foreign entries, comments, order and unknown keys as they were', async () => {
    await writeFile(path, foreign)
    expect(await changeKubeconfig(path, { put: [entry('root-prod')], select: 'root-prod' })).toBe('home')
    const changed = await readFile(path, 'utf8')
    for (const line of [
      '# my clusters',
      '# people first, oddly',
      '# secret',
      '# the one at home',
      'x-own-key: [ 1, 2 ]',
    ]) {
      expect(changed.replace('[1, 2]', '[ 1, 2 ]')).toContain(line)
    }
    expect(changed.indexOf('users:')).toBeLessThan(changed.indexOf('contexts:'))
    await changeKubeconfig(path, { remove: (name) => name.startsWith('root-'), select: 'home' })
    const restored = await readFile(path, 'utf8')
    expect(restored).not.toContain('root-prod')
    expect(await readContexts(path)).toEqual({ current: 'home', contexts: new Map([['home', undefined]]) })
  })

  it('replaces its own entry instead of adding another', async () => {
    await changeKubeconfig(path, { put: [entry('root-prod'), entry('root-dev')] })
    await changeKubeconfig(path, {
      put: [
        entry('root-prod', {
          server: 'https://new:443',
          tlsServerName: 'kube-teleport-proxy-alpn.new',
          namespace: 'apps',
          as: 'u',
          asGroups: ['g'],
        }),
      ],
    })
    const text = await readFile(path, 'utf8')
    expect(text.match(/name: root-prod/g)).toHaveLength(3)
    for (const line of [
      'server: https://new:443',
      'tls-server-name: kube-teleport-proxy-alpn.new',
      'namespace: apps',
      'as: u',
    ])
      expect(text).toContain(line)
  })

  it('writes certificates for the old form of login', async () => {
    await changeKubeconfig(path, { put: [entry('root', { user: { certificate: 'CERT', key: 'KEY' } })] })
    const text = await readFile(path, 'utf8')
    expect(text).toContain(`client-certificate-data: ${btoa('CERT')}`)
    expect(text).toContain(`client-key-data: ${btoa('KEY')}`)
  })

  it('unselects a context that goes', async () => {
    await changeKubeconfig(path, { put: [entry('root-prod')], select: 'root-prod' })
    await changeKubeconfig(path, { remove: () => true })
    expect(await readContexts(path)).toEqual({ current: '', contexts: new Map() })
  })

  it.each([['not: [a yaml'], ['- just\n- a list\n'], ['a: 1\na: 2\n']])(
    'refuses %j, names the file and does not touch it',
    async (text) => {
      await writeFile(path, text)
      const error: unknown = await changeKubeconfig(path, { put: [entry('x')] }).catch((one: unknown) => one)
      expect(error).toBeInstanceOf(TeleportError)
      expect(String(error)).toContain(`failed to parse existing kubeconfig ${JSON.stringify(path)}`)
      expect(await readFile(path, 'utf8')).toBe(text)
    },
  )
})

describe('kubeconfigPath', () => {
  it.each([
    [{ KUBECONFIG: '/a:/b', HOME: '/h' }, '/a'],
    [{ KUBECONFIG: ':/b', HOME: '/h' }, '/b'],
    [{ HOME: '/h' }, '/h/.kube/config'],
  ])('%j → %s', (env, expected) => {
    expect(kubeconfigPath(env)).toBe(expected)
  })
})
