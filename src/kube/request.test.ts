import { describe, expect, it } from 'bun:test'
import fc from 'fast-check'
import { TeleportError } from '../errors.ts'
import { checkTarget, isAllowedNonResource, parseKubernetesRequest, pathOf, streamOf } from './request.ts'

type Expected = [
  group: string,
  version: string,
  namespace: string,
  kind: string,
  name: string,
  flag?: 'skip' | 'watch',
]

const rbac = 'rbac.authorization.k8s.io'

describe('parseKubernetesRequest: paths', () => {
  const rows: [string, Expected][] = [
    ['/', ['', '', '', '', '']],
    ['/api', ['', '', '', '', '', 'skip']],
    ['/apis/', ['', '', '', '', '', 'skip']],
    ['/apis/apps', ['apps', '', '', '', '', 'skip']],
    ['/api/v1', ['', 'v1', '', '', '', 'skip']],
    ['/api/v1/', ['', 'v1', '', '', '', 'skip']],
    ['/apis/apps/v1', ['apps', 'v1', '', '', '', 'skip']],
    ['/api/v1/pods', ['', 'v1', '', 'pods', '']],
    ['/api/v1/watch/pods', ['', 'v1', '', 'pods', '', 'watch']],
    ['/api/v1/namespaces/kube-system', ['', 'v1', '', 'namespaces', 'kube-system']],
    ['/api/v1/watch/namespaces/kube-system', ['', 'v1', '', 'namespaces', 'kube-system', 'watch']],
    [`/apis/${rbac}/v1/clusterroles`, [rbac, 'v1', '', 'clusterroles', '']],
    [`/apis/${rbac}/v1/watch/clusterroles`, [rbac, 'v1', '', 'clusterroles', '', 'watch']],
    [`/apis/${rbac}/v1/clusterroles/foo`, [rbac, 'v1', '', 'clusterroles', 'foo']],
    [`/apis/${rbac}/v1/watch/clusterroles/foo`, [rbac, 'v1', '', 'clusterroles', 'foo', 'watch']],
    ['/api/v1/namespaces/kube-system/pods', ['', 'v1', 'kube-system', 'pods', '']],
    ['/api/v1/watch/namespaces/kube-system/pods', ['', 'v1', 'kube-system', 'pods', '', 'watch']],
    ['/api/v1/namespaces/kube-system/pods/foo', ['', 'v1', 'kube-system', 'pods', 'foo']],
    ['/api/v1/watch/namespaces/kube-system/pods/foo', ['', 'v1', 'kube-system', 'pods', 'foo', 'watch']],
    ['/api/v1/namespaces/kube-system/pods/foo/exec', ['', 'v1', 'kube-system', 'pods/exec', 'foo']],
    [
      '/apis/apiregistration.k8s.io/v1/apiservices/foo/status',
      ['apiregistration.k8s.io', 'v1', '', 'apiservices/status', 'foo'],
    ],
    ['/api/v1/nodes/foo/proxy/bar', ['', 'v1', '', 'nodes/proxy/bar', 'foo']],
    ['/api/v1/namespaces/x/status', ['', 'v1', '', 'namespaces/status', 'x']],
    ['/api/v1/namespaces/x/finalize', ['', 'v1', '', 'namespaces/finalize', 'x']],
  ]
  it.each(rows)('%s', (path, [group, version, namespace, kind, name, flag]) => {
    const { verb: _, ...parsed } = parseKubernetesRequest('GET', path)
    expect(parsed).toEqual({
      group,
      version,
      namespace,
      kind,
      name,
      watch: flag === 'watch',
      discovery: path !== '/' && flag === 'skip',
    })
  })
})

describe('parseKubernetesRequest: verbs', () => {
  const pods = '/api/v1/namespaces/kube-system/pods'
  it.each([
    ['GET', pods, 'list'],
    ['GET', `${pods}?watch=true`, 'watch'],
    ['GET', `${pods}?watch=1`, 'watch'],
    ['GET', `${pods}?watch=false`, 'list'],
    ['GET', `${pods}?watch=0`, 'list'],
    ['GET', `${pods}?limit=500&watch`, 'watch'],
    ['GET', '/api/v1/watch/namespaces/kube-system/pods/foo', 'watch'],
    ['GET', `${pods}/foo`, 'get'],
    ['HEAD', `${pods}/foo`, 'get'],
    ['POST', pods, 'create'],
    ['PUT', `${pods}/foo`, 'update'],
    ['PATCH', `${pods}/foo`, 'patch'],
    ['DELETE', `${pods}/foo`, 'delete'],
    ['DELETE', pods, 'deletecollection'],
    ['GET', `${pods}/foo/exec?command=sh`, 'exec'],
    ['POST', `${pods}/foo/exec`, 'exec'],
    ['GET', `${pods}/foo/attach`, 'exec'],
    ['POST', `${pods}/foo/portforward`, 'portforward'],
    ['GET', `${pods}/foo/portforward`, 'portforward'],
    ['GET', `${pods}/foo/log`, 'get'],
    ['GET', `${pods}/foo/proxy/metrics`, 'proxy'],
    ['GET', '/api/v1/nodes/n/proxy/run/x', 'proxy'],
    ['PATCH', `${pods}/foo/ephemeralcontainers`, 'patch'],
    ['BREW', pods, ''],
  ])('%s %s is %s', (method, target, verb) => {
    expect(parseKubernetesRequest(method, target).verb).toBe(verb)
  })

  it('knows the requests that leave HTTP', () => {
    const stream = (suffix: string) => streamOf(parseKubernetesRequest('GET', `${pods}/foo/${suffix}`))
    expect(['exec', 'attach', 'portforward', 'log', 'exec/more'].map(stream)).toEqual([
      'exec',
      'attach',
      'portforward',
      undefined,
      undefined,
    ])
  })
})

describe('checkTarget', () => {
  it.each([
    ['/api/v1/namespaces/a/../b/pods'],
    ['/api/v1/./pods'],
    ['//api/v1/pods'],
    ['/api//v1/pods'],
    ['/api/v1/%2e%2e/pods'],
    ['/api/v1/namespaces/a%2Fb/pods'],
    ['/api/v1/pods/%252e'],
    ['/api/v1/pods;x=1'],
    ['/api\\v1/pods'],
    ['/api/v1/pods#frag'],
    ['/api/v1/pods/%00'],
    ['/api/v1/pods/%zz'],
    ['/api/v1/pods x'],
    ['/api/v1/pods\r\nHost: x'],
    ['/api/v1/pöds'],
    ['https://other/api/v1/pods'],
    ['api/v1/pods'],
    [''],
    [`/api/v1/pods?x=${'a'.repeat(20_000)}`],
  ])('refuses %j', (target) => {
    expect(() => checkTarget(target)).toThrow(TeleportError)
  })

  it.each([
    ['/api/v1/pods?labelSelector=app%3Dx%2Cy%2Fz&continue=ey..%2F%2F'],
    ['/api/v1/namespaces/a/services/https:web:443/proxy/'],
    ['/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node'],
    ['/api/v1/namespaces/default/pods/a%20b'],
  ])('lets %j through', (target) => {
    expect(() => checkTarget(target)).not.toThrow()
  })
})

describe('paths that are no resources', () => {
  it.each([
    ['/version', true],
    ['/openapi/v3/apis/apps/v1', true],
    ['/healthz', true],
    ['/livez/ping', true],
    ['/metrics', false],
    ['/logs/kubelet.log', false],
    ['/debug/pprof/profile', false],
    ['/versions', false],
    ['/API/v1/pods', false],
  ])('%s: %p', (path, allowed) => {
    expect(isAllowedNonResource(path)).toBe(allowed)
  })
})

it('reads whatever there is, or refuses it in words', () => {
  const segment = fc.oneof(
    fc.constantFrom('api', 'apis', 'v1', 'namespaces', 'watch', 'pods', 'exec', 'proxy', '..', '%2e', ''),
    fc.string({ maxLength: 12 }),
  )
  const target = fc.array(segment, { maxLength: 8 }).map((parts) => `/${parts.join('/')}`)
  fc.assert(
    fc.property(fc.constantFrom('GET', 'POST', 'PUT', 'X'), target, (method, text) => {
      try {
        checkTarget(text)
        const parsed = parseKubernetesRequest(method, text)
        // What was authorised is what is forwarded: nothing that decodes to a separator got in.
        for (const part of [parsed.namespace, parsed.name, parsed.group])
          expect(part).not.toMatch(/[/\\]|^\.\.?$/)
        expect(text.startsWith(pathOf(text))).toBe(true)
      } catch (error) {
        if (!(error instanceof TeleportError)) throw error
      }
    }),
    { numRuns: 2000 },
  )
})
