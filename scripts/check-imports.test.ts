import { expect, test } from 'bun:test'
import { checkImports, type ImportRules } from './check-imports.ts'

const rules: ImportRules = {
  rooms: { 'main.ts': ['kube'], 'roles/kube': ['kube'], kube: ['net'], store: [], net: [] },
  everywhere: ['errors.ts'],
  guarded: { yaml: ['kube/yaml.ts'], '@peculiar/x509': ['net/x509.ts'] },
}

function check(files: Record<string, string>, changed: Partial<ImportRules> = {}): string[] {
  return checkImports(new Map(Object.entries(files)), { ...rules, ...changed })
}

test('imports that the table allows pass', () => {
  const problems = check({
    'main.ts': "import { serve } from './kube/serve.ts'\n",
    'errors.ts': 'export class TeleportError extends Error {}\n',
    'roles/kube/kube.ts': "import { serve } from '../../kube/serve.ts'\n",
    'kube/serve.ts':
      "import { listen } from '../net/listen.ts'\nimport { TeleportError } from '../errors.ts'\n",
    'kube/yaml.ts': "import { parse } from 'yaml'\n",
    'net/listen.ts': "import { connect } from 'node:tls'\n",
  })
  expect(problems).toEqual([])
})

test('a room that the table does not name is refused with its line', () => {
  const source = '// one\n\nimport { a } from "../net/a.ts"\nimport {\n  b,\n} from \'../store/b.ts\'\n'
  expect(check({ 'kube/exec.ts': source })).toEqual(['kube may not import store (src/kube/exec.ts:4)'])
})

test.each([
  ["import type { Store } from '../store/store.ts'\n", 1],
  ["\nexport { open } from '../store/store.ts'\n", 2],
  ["export type { Store } from '../store/store.ts'\n", 1],
  ["export * from '../store/store.ts'\n", 1],
  ["import '../store/store.ts'\n", 1],
  ["\n\nexport const load = () => import('../store/store.ts')\n", 3],
  ["export type Store = import('../store/store.ts').Store\n", 1],
])('every form of import counts: %j', (source, line) => {
  expect(check({ 'kube/exec.ts': source })).toEqual([`kube may not import store (src/kube/exec.ts:${line})`])
})

test('rooms of two words are rooms of their own', () => {
  expect(check({ 'roles/kube/kube.ts': "import { a } from '../../net/a.ts'\n" })).toEqual([
    'roles/kube may not import net (src/roles/kube/kube.ts:1)',
  ])
})

test('a file in no room is named, and so is an import of one or from outside', () => {
  const problems = check({
    'stray/a.ts': '',
    'kube/a.ts': "import { a } from '../stray/a.ts'\nimport { b } from '../../test/b.ts'\n",
  })
  expect(problems).toEqual([
    'stray/a.ts belongs to no room (src/stray/a.ts)',
    'stray/a.ts belongs to no room (src/kube/a.ts:1)',
    'src may not import ../../test/b.ts from outside of it (src/kube/a.ts:2)',
  ])
})

test('a guarded package has no second importer, by any of its paths', () => {
  const problems = check({
    'kube/yaml.ts': "import { parse } from 'yaml'\n",
    'kube/other.ts': "import type { Document } from 'yaml/dist/doc'\n",
    'net/x.ts': "const x509 = await import('@peculiar/x509')\n",
  })
  expect(problems).toEqual([
    'yaml may be imported by src/kube/yaml.ts alone (src/kube/other.ts:1)',
    '@peculiar/x509 may be imported by src/net/x509.ts alone (src/net/x.ts:1)',
  ])
})

test('rooms in a circle are found even where the table allows each step', () => {
  const files = {
    'kube/a.ts': "import type { b } from '../net/b.ts'\n",
    'net/b.ts': "import type { c } from '../store/c.ts'\n",
    'store/c.ts': "import type { a } from '../kube/a.ts'\n",
  }
  expect(check(files, { rooms: { kube: ['net'], net: ['store'], store: ['kube'] } })).toEqual([
    'rooms import in a circle: kube → net → store → kube',
  ])
})

test('files that load each other in a circle are found; types and lazy imports are no circle', () => {
  const a = "import { b } from './b.ts'\n"
  expect(check({ 'kube/a.ts': a, 'kube/b.ts': "import { a } from './a.ts'\n" })).toEqual([
    'files import in a circle: kube/a.ts → kube/b.ts → kube/a.ts',
  ])
  expect(check({ 'kube/a.ts': a, 'kube/b.ts': "import type { A } from './a.ts'\n" })).toEqual([])
  expect(check({ 'kube/a.ts': a, 'kube/b.ts': "export const a = () => import('./a.ts')\n" })).toEqual([])
})
