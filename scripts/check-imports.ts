// The import table of ARCHITECTURE.md as data, and the check that src/ keeps to it: rooms import only downwards,
// nothing imports in a circle, and each large library has the few importers named here. Type imports count, since
// a room that needs another's types knows that room; tests are free, since they bring rooms together on purpose.

import { Glob } from 'bun'
import { dirname, join, normalize } from 'node:path'

export interface ImportRules {
  /** What the files of each room may import, besides their own room and the files everyone may use. */
  readonly rooms: Readonly<Record<string, readonly string[]>>
  /** Files at the root that everyone may import. */
  readonly everywhere: readonly string[]
  /** Packages that only these files may import. */
  readonly guarded: Readonly<Record<string, readonly string[]>>
}

const rules: ImportRules = {
  rooms: {
    'main.ts': ['cli', 'start.ts'],
    // The one place where roles meet: `teleport start` wires them together.
    'start.ts': [
      'roles/auth',
      'roles/proxy',
      'roles/kube',
      'cli',
      'diagnostics',
      'web',
      'api',
      'kube',
      'tunnel',
      'access',
      'audit',
      'session',
      'store',
      'resources',
      'identity',
      'config',
      'http',
      'h2',
      'net',
    ],
    cli: ['api', 'kube', 'session', 'identity', 'resources', 'config', 'http', 'net'],
    'roles/auth': [
      'api',
      'store',
      'access',
      'identity',
      'audit',
      'session',
      'resources',
      'config',
      'http',
      'net',
    ],
    'roles/proxy': [
      'api',
      'kube',
      'tunnel',
      'access',
      'identity',
      'audit',
      'resources',
      'config',
      'http',
      'net',
      'web',
    ],
    'roles/kube': [
      'api',
      'kube',
      'tunnel',
      'access',
      'identity',
      'audit',
      'session',
      'resources',
      'config',
      'http',
      'net',
    ],
    kube: ['access', 'identity', 'audit', 'session', 'resources', 'http', 'net', 'h2'],
    api: ['identity', 'resources'],
    session: ['access', 'audit'],
    store: ['resources'],
    access: ['identity', 'resources'],
    audit: ['identity'],
    http: ['net'],
    config: ['resources'],
    diagnostics: [],
    web: [],
    tunnel: [],
    h2: [],
    net: [],
    resources: [],
    identity: [],
  },
  everywhere: ['environment.ts', 'errors.ts', 'log.ts', 'metrics.ts', 'version.ts'],
  guarded: {
    '@kubernetes/client-node': ['kube/upstream-credentials.ts'],
    '@peculiar/x509': ['identity/x509.ts'],
    commander: ['cli/run.ts'],
    elysia: ['api/routes.ts', 'api/server.ts', 'roles/proxy/web.ts'],
    jose: ['identity/jwt.ts'],
    otpauth: ['roles/auth/totp.ts'],
    'prom-client': ['metrics.ts'],
    re2js: ['access/patterns.ts'],
    yaml: ['config/yaml.ts'],
  },
}

interface Import {
  readonly file: string
  readonly line: number
  readonly specifier: string
  /** Whether it runs when the importing file is loaded: neither `import type` nor `import()`. */
  readonly eager: boolean
}

/** What is wrong with `files`, a map from paths below src/ to sources; empty when nothing is. */
export function checkImports(files: ReadonlyMap<string, string>, rules: ImportRules): string[] {
  const problems: string[] = []
  const roomGraph = new Map<string, Set<string>>()
  const fileGraph = new Map<string, Set<string>>()
  for (const [file, source] of files) {
    if (rules.everywhere.includes(file)) continue
    const room = roomOf(file, rules)
    if (room === undefined) {
      problems.push(`${file} belongs to no room (src/${file})`)
      continue
    }
    for (const found of importsOf(file, source)) {
      const place = `(src/${file}:${found.line})`
      if (!found.specifier.startsWith('.')) {
        const owners = rules.guarded[packageOf(found.specifier)]
        if (owners !== undefined && !owners.includes(file)) {
          problems.push(`${packageOf(found.specifier)} may be imported by ${listed(owners)} alone ${place}`)
        }
        continue
      }
      const target = normalize(join(dirname(file), found.specifier))
      if (target.startsWith('..')) {
        problems.push(`src may not import ${found.specifier} from outside of it ${place}`)
        continue
      }
      if (found.eager && files.has(target)) connect(fileGraph, file, target)
      if (rules.everywhere.includes(target)) continue
      const targetRoom = roomOf(target, rules)
      if (targetRoom === undefined) {
        problems.push(`${target} belongs to no room ${place}`)
      } else if (targetRoom !== room) {
        connect(roomGraph, room, targetRoom)
        if (!rules.rooms[room]?.includes(targetRoom)) {
          problems.push(`${room} may not import ${targetRoom} ${place}`)
        }
      }
    }
  }
  const roomCycle = findCycle(roomGraph)
  if (roomCycle !== undefined) problems.push(`rooms import in a circle: ${roomCycle.join(' → ')}`)
  const fileCycle = findCycle(fileGraph)
  if (fileCycle !== undefined) problems.push(`files import in a circle: ${fileCycle.join(' → ')}`)
  return problems
}

/** The longest name in the table that the path lies under, e.g. `roles/kube` for `roles/kube/serve.ts`. */
function roomOf(file: string, rules: ImportRules): string | undefined {
  const parts = file.split('/')
  for (let length = Math.min(parts.length, 2); length > 0; length--) {
    const name = parts.slice(0, length).join('/')
    if (name in rules.rooms) return name
  }
  return undefined
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

// Our sources are formatted, so statements begin lines. `Bun.Transpiler.scanImports` would drop type imports.
const statements = /^import\s+(type\s)?(?:[^'"`;]*?\sfrom\s+)?['"]([^'"]+)['"]/gm
const reexports = /^export\s+(type\s)?(?:\*(?:\s+as\s+\w+)?|\{[^}]*\})\s*from\s+['"]([^'"]+)['"]/gm
const expressions = /\bimport\(\s*['"]([^'"]+)['"]/g

function importsOf(file: string, source: string): Import[] {
  const lineAt = (index: number) => source.slice(0, index).split('\n').length
  const found: Import[] = []
  for (const pattern of [statements, reexports]) {
    for (const match of source.matchAll(pattern)) {
      const [, type, specifier = ''] = match
      found.push({ file, line: lineAt(match.index), specifier, eager: type === undefined })
    }
  }
  for (const match of source.matchAll(expressions)) {
    found.push({ file, line: lineAt(match.index), specifier: match[1] ?? '', eager: false })
  }
  return found.sort((a, b) => a.line - b.line)
}

function connect(graph: Map<string, Set<string>>, from: string, to: string): void {
  const targets = graph.get(from)
  if (targets === undefined) graph.set(from, new Set([to]))
  else targets.add(to)
}

/** One cycle of the graph, its first name repeated at the end. */
function findCycle(graph: ReadonlyMap<string, ReadonlySet<string>>): string[] | undefined {
  const finished = new Set<string>()
  const path: string[] = []
  const visit = (name: string): string[] | undefined => {
    if (finished.has(name)) return undefined
    const start = path.indexOf(name)
    if (start >= 0) return [...path.slice(start), name]
    path.push(name)
    for (const target of graph.get(name) ?? []) {
      const cycle = visit(target)
      if (cycle !== undefined) return cycle
    }
    path.pop()
    finished.add(name)
    return undefined
  }
  for (const name of graph.keys()) {
    const cycle = visit(name)
    if (cycle !== undefined) return cycle
  }
  return undefined
}

function listed(owners: readonly string[]): string {
  return owners.map((owner) => `src/${owner}`).join(', ')
}

if (import.meta.main) {
  const src = join(import.meta.dir, '../src')
  const files = new Map<string, string>()
  for (const file of [...new Glob('**/*.ts').scanSync({ cwd: src })].sort()) {
    // Declarations of assets are no code.
    if (file.endsWith('.d.ts')) continue
    if (!file.endsWith('.test.ts')) files.set(file, await Bun.file(join(src, file)).text())
  }
  const problems = checkImports(files, rules)
  for (const problem of problems) console.error(problem)
  if (problems.length > 0) process.exit(1)
  console.log(`${files.size} files keep to the import table`)
}
