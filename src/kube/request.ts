// What a Kubernetes request asks for, read from method and target in one canonical way. A target that could be read
// in two ways is refused, so that the bytes that are authorised are the bytes that are forwarded.

import { badParameter } from '../errors.ts'

export interface KubernetesRequest {
  /** Empty for the core group. */
  readonly group: string
  readonly version: string
  readonly namespace: string
  /** Plural, with the subresource: `pods`, `pods/exec`, `nodes/proxy/…`. Empty when no resource is addressed. */
  readonly kind: string
  readonly name: string
  readonly watch: boolean
  /** API discovery: needs access to the cluster, is not audited. */
  readonly discovery: boolean
  readonly verb: string
}

/** Longer targets are no Kubernetes requests; label selectors are the longest part. */
const targetLimit = 16 * 1024

/**
 * Paths outside of the API that clients need; everything else (metrics, logs, debug, profiles) is refused.
 * A path counts with what is below it.
 */
const nonResourcePaths = [
  '/version',
  '/openapi',
  '/swagger.json',
  '/healthz',
  '/livez',
  '/readyz',
  '/.well-known/openid-configuration',
]

/** Throws `bad-parameter` when the target is ambiguous or holds what a path may not. */
export function checkTarget(target: string): void {
  const problem = targetProblem(target)
  if (problem) throw badParameter(`request target ${problem}`)
}

function targetProblem(target: string): string | undefined {
  if (!target.startsWith('/')) return 'must begin with /'
  if (target.length > targetLimit) return 'is too long'
  if (!/^[\x21-\x7e]+$/.test(target)) return 'holds characters that must be encoded'
  if (target.includes('#')) return 'holds a fragment'
  const path = pathOf(target)
  if (path.includes('//')) return 'holds an empty segment'
  if (/[\\;]/.test(path)) return 'holds a backslash or semicolon'
  // Encoded slashes, dots, percents and backslashes are read differently by different servers.
  if (/%(2f|2e|25|5c|00)/i.test(path)) return 'holds an encoded character that must not be encoded'
  if (/%(?![0-9a-f]{2})/i.test(path)) return 'holds a broken escape'
  if (path.split('/').some((segment) => segment === '.' || segment === '..'))
    return 'holds a relative segment'
  return undefined
}

export function pathOf(target: string): string {
  const query = target.indexOf('?')
  return query < 0 ? target : target.slice(0, query)
}

/** Whether a path outside of the API groups is one of those that are let through. */
export function isAllowedNonResource(path: string): boolean {
  return nonResourcePaths.some((one) => path === one || path.startsWith(`${one}/`)) || path === '/'
}

const none = { group: '', version: '', namespace: '', kind: '', name: '', watch: false, discovery: false }

/** What is asked. An empty verb means a method that means nothing here. */
export function parseKubernetesRequest(method: string, target: string): KubernetesRequest {
  const parsed = parsePath(pathOf(target))
  const watch = parsed.watch || asksForWatch(target)
  return { ...parsed, watch, verb: verbOf(method, { ...parsed, watch }) }
}

function parsePath(path: string): Omit<KubernetesRequest, 'verb'> {
  const parts = path
    .split('/')
    .filter((part) => part !== '')
    .map(decodeSegment)
  const [root, ...rest] = parts
  if (root === 'api') {
    const [version = '', ...resource] = rest
    return parseResource(resource, { group: '', version })
  }
  if (root === 'apis') {
    const [group = '', version = '', ...resource] = rest
    return parseResource(resource, { group, version })
  }
  return none
}

function parseResource(
  parts: readonly string[],
  { group, version }: { group: string; version: string },
): Omit<KubernetesRequest, 'verb'> {
  const base = { ...none, group, version }
  const watch = parts[0] === 'watch'
  const rest = watch ? parts.slice(1) : parts
  const [first = '', second = '', third = '', fourth = '', ...more] = rest
  if (rest.length === 0) return { ...base, discovery: true }
  if (first !== 'namespaces' || rest.length <= 2) {
    return { ...base, watch, kind: join(first, rest.slice(2)), name: second }
  }
  // The namespace's own subresources are not resources inside it.
  if (rest.length === 3 && (third === 'status' || third === 'finalize')) {
    return { ...base, watch, kind: `namespaces/${third}`, name: second }
  }
  return { ...base, watch, namespace: second, kind: join(third, more), name: fourth }
}

const join = (kind: string, subresource: readonly string[]) => [kind, ...subresource].join('/')

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch (cause) {
    throw badParameter('request target is not UTF-8', { cause })
  }
}

function asksForWatch(target: string): boolean {
  const query = target.indexOf('?')
  if (query < 0) return false
  const value = new URLSearchParams(target.slice(query + 1)).get('watch')
  return value !== null && value !== 'false' && value !== '0'
}

const upgradeVerbs: Readonly<Record<string, string>> = {
  exec: 'exec',
  attach: 'exec',
  portforward: 'portforward',
}

function verbOf(method: string, { kind, name, watch }: Omit<KubernetesRequest, 'verb'>): string {
  const [resource = '', subresource = ''] = kind.split('/')
  // Whatever the method: a WebSocket upgrade is a GET, and still runs a command.
  if (resource === 'pods' && subresource in upgradeVerbs) return upgradeVerbs[subresource] ?? ''
  if (subresource === 'proxy') return 'proxy'
  switch (method) {
    case 'GET':
    case 'HEAD':
    case 'OPTIONS':
      if (watch) return 'watch'
      return name === '' ? 'list' : 'get'
    case 'POST':
      return 'create'
    case 'PUT':
      return 'update'
    case 'PATCH':
      return 'patch'
    case 'DELETE':
      return name === '' ? 'deletecollection' : 'delete'
    default:
      return ''
  }
}

/** exec, attach or port-forward of a pod; undefined for everything else. */
export function streamOf({ kind }: KubernetesRequest): 'exec' | 'attach' | 'portforward' | undefined {
  switch (kind) {
    case 'pods/exec':
      return 'exec'
    case 'pods/attach':
      return 'attach'
    case 'pods/portforward':
      return 'portforward'
    default:
      return undefined
  }
}
