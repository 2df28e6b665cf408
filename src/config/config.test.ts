import { describe, expect, it } from 'bun:test'
import { TeleportError } from '../errors.ts'
import { type ConfigFlags, decideConfig, parseAddress } from './config.ts'
import { parseConfigFile } from './file.ts'

const decide = (text: string, flags?: ConfigFlags) =>
  decideConfig(parseConfigFile(text, 'teleport.yaml'), flags)

function refusal(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof TeleportError) return `${error.message}${error.hint ? ` (${error.hint})` : ''}`
    throw error
  }
  return 'accepted'
}

describe('decideConfig', () => {
  it('runs auth and proxy without a file', () => {
    const config = decideConfig(undefined, { nodename: 'host-1' })
    expect(config).toMatchObject({
      nodename: 'host-1',
      dataDirectory: '/var/lib/teleport',
      log: { severity: 'info', format: 'text', output: 'stderr' },
      auth: {
        clusterName: 'host-1',
        listen: { host: '0.0.0.0', port: 3025 },
        databasePath: '/var/lib/teleport/backend/sqlite.db',
      },
      proxy: { webListen: { host: '0.0.0.0', port: 3080 }, kubernetesEnabled: true },
      kube: null,
    })
    expect(config.proxy?.kubeListen).toBeUndefined()
    expect(Object.isFrozen(config.auth)).toBe(true)
  })

  it('reads the form with a kubernetes block in the proxy', () => {
    const config = decide(`
proxy_service:
  enabled: yes
  public_addr: tele.example.com
  kubernetes:
    enabled: yes
    public_addr: [k8s.example.com:3026]
    listen_addr: 0.0.0.0:3026
    kubeconfig_file: /secrets/kubeconfig
`)
    expect(config.proxy).toMatchObject({
      publicAddresses: ['tele.example.com:3080'],
      kubeListen: { host: '0.0.0.0', port: 3026 },
      kubePublicAddresses: ['k8s.example.com:3026'],
    })
    expect(config.kube).toMatchObject({ kubeconfigFile: '/secrets/kubeconfig' })
  })

  it('has Kubernetes off in v1 unless it is configured, and on from v2', () => {
    expect(decide('proxy_service: {enabled: yes}').proxy?.kubernetesEnabled).toBe(false)
    expect(decide('version: v2').proxy?.kubernetesEnabled).toBe(true)
    expect(decide('proxy_service: {kube_listen_addr: "0.0.0.0:3026"}').proxy?.kubernetesEnabled).toBe(true)
  })

  it('reads labels and commands of the Kubernetes service', () => {
    const config = decide(`
version: v3
kubernetes_service:
  enabled: yes
  kubeconfig_file: /k
  labels: {env: prod}
  commands:
  - name: os
    command: ["/usr/bin/uname"]
    period: "5s"
`)
    expect(config.kube).toEqual({
      kubeconfigFile: '/k',
      labels: { env: 'prod' },
      commands: [{ name: 'os', command: ['/usr/bin/uname'], periodMs: 5000 }],
    })
  })

  it('turns settings of the file into resources with their origin', () => {
    const config = decide(
      'version: v3\nauth_service:\n  authentication: {second_factor: off, local_auth: yes}\n  client_idle_timeout: 5m\n  session_recording: "off"\n',
    )
    expect(config.auth?.preference).toMatchObject({
      metadata: { labels: { 'teleport.dev/origin': 'config-file' } },
      spec: { second_factor: 'off' },
    })
    expect(config.auth?.networking?.spec.client_idle_timeout).toBe('5m')
    expect(config.auth?.recording?.spec.mode).toBe('off')
  })

  it('lets flags win', () => {
    const config = decide('teleport: {nodename: a, log: {severity: ERROR}}', {
      nodename: 'b',
      debug: true,
      diagAddr: '127.0.0.1:3000',
      roles: ['auth'],
    })
    expect(config).toMatchObject({
      nodename: 'b',
      log: { severity: 'debug' },
      diagnostics: { host: '127.0.0.1', port: 3000 },
      proxy: null,
    })
  })

  it.each([
    [
      'teleport:\n  data_dri: /x\n',
      'failed parsing the config file teleport.yaml: yaml: unmarshal errors: line 2: field data_dri not found in type config.FileConfig (teleport.data_dri is not known; did you mean teleport.data_dir?)',
    ],
    [
      'auth_service:\n  enabled: maybe\n',
      'failed parsing the config file teleport.yaml: line 2: auth_service.enabled must be yes or no',
    ],
    [
      'auth_service: [1]\n',
      'failed parsing the config file teleport.yaml: line 1: auth_service must be a mapping',
    ],
    ['a: 1\na: 2\n', 'teleport.yaml: yaml: line 2: Map keys must be unique'],
    ['teleport: {auth_server: "x:1"}', 'auth_server is supported from config version v3 onwards'],
    [
      'version: v3\nteleport: {auth_servers: ["x:1"]}',
      'config v3 has replaced auth_servers with either auth_server or proxy_server',
    ],
    [
      'version: v3\nteleport: {proxy_server: "x:1"}',
      'proxy_server can not be specified when proxy service is enabled',
    ],
    ['teleport: {log: {severity: LOUD}}', 'unsupported logger severity: "loud"'],
    ['teleport: {storage: {type: dynamodb}}', 'unsupported storage type: "dynamodb"'],
    [
      'ssh_service: {enabled: yes}',
      'ssh_service is not supported in this build (set ssh_service.enabled to no)',
    ],
    [
      'auth_service: {enabled: no}\nproxy_service: {enabled: no}',
      'failed to start: no services enabled, all services are disabled',
    ],
    [
      'auth_service: {tokens: ["nonsense"]}',
      'invalid static token spec: "nonsense…" (write role:token, for example kube:866c6c…)',
    ],
    ['version: v9', 'version must be one of v1, v2, v3; got "v9"'],
    [
      'proxy_service: {kubernetes: {enabled: yes}, kube_listen_addr: "x:1"}',
      'proxy_service should either set kube_listen_addr/kube_public_addr',
    ],
  ])('refuses %j', (text, expected) => {
    expect(refusal(() => decide(text))).toStartWith(expected)
  })

  it('refuses an alias bomb', () => {
    const bomb = `a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n`
    expect(refusal(() => decide(bomb))).toContain('alias')
  })
})

describe('parseAddress', () => {
  it.each([
    ['a.b:1', 'a.b', 1],
    ['a.b', 'a.b', 9],
    ['[::1]:5', '::1', 5],
    ['tcp://h:2', 'h', 2],
    [':3080', '', 3080],
  ])('%s', (text, host, port) => {
    expect(parseAddress(text, 9)).toEqual({ host, port })
  })
})
