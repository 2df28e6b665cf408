import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type SampleApi, startSampleApi } from '../sample-api/sample-api.ts'
import { decodeFrame, encodeFrame } from '../sample-api/web-socket.ts'

let sample: SampleApi
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'teleport-sample-'))
  sample = await startSampleApi({ tickMs: 10 })
  await Bun.write(join(folder, 'kubeconfig'), sample.kubeconfig())
})

afterAll(async () => {
  await sample[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

function get(
  path: string,
  options: { headers?: Record<string, string>; method?: string; body?: string } = {},
) {
  return fetch(`${sample.server}${path}`, {
    ...options,
    headers: { authorization: `Bearer ${sample.token}`, ...options.headers },
    tls: { ca: sample.authority },
  })
}

test('nothing is answered without its token', async () => {
  const refused = await fetch(`${sample.server}/version`, { tls: { ca: sample.authority } })
  expect(refused.status).toBe(401)
  expect(await refused.json()).toMatchObject({ kind: 'Status', reason: 'Unauthorized', code: 401 })
  expect((await get('/version', { headers: { authorization: 'Bearer guess' } })).status).toBe(401)
})

test('objects come as a list, alone, as a table, or not at all', async () => {
  const list = (await (await get('/api/v1/namespaces/sample/pods')).json()) as {
    items: { metadata: { name: string } }[]
  }
  expect(list.items.map((pod) => pod.metadata.name)).toEqual(['clock', 'hello', 'world'])
  expect(await (await get('/api/v1/namespaces/sample')).json()).toMatchObject({ kind: 'Namespace' })
  const table = await get('/api/v1/pods', {
    headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' },
  })
  expect(await table.json()).toMatchObject({
    kind: 'Table',
    rows: [{ cells: ['clock', '1/1', 'Running', '0', expect.any(String)] }, {}, {}],
  })
  expect(await (await get('/api/v1/namespaces/default/pods')).json()).toMatchObject({ items: [] })
  expect(await (await get('/api/v1/namespaces/sample/pods/none')).json()).toMatchObject({
    message: 'pods "none" not found',
    code: 404,
  })
  expect((await get('/api/v1/secrets')).status).toBe(404)
  expect((await get('/api/v1/namespaces/sample/pods/hello', { method: 'DELETE' })).status).toBe(403)
})

test('it takes the reader for whom the impersonation headers name', async () => {
  const review = (headers: [string, string][]) =>
    fetch(`${sample.server}/apis/authentication.k8s.io/v1/selfsubjectreviews`, {
      method: 'POST',
      body: '{}',
      headers: [
        ['authorization', `Bearer ${sample.token}`],
        ['content-type', 'application/json'],
        ...headers,
      ],
      tls: { ca: sample.authority },
    }).then((response) => response.json())
  expect(await review([])).toMatchObject({ status: { userInfo: { username: 'sample-admin' } } })
  const named = await review([
    ['Impersonate-User', 'alice'],
    ['Impersonate-Group', 'readers'],
    ['Impersonate-Extra-scopes%2Fteam', 'blue'],
  ])
  expect(named).toMatchObject({
    status: {
      userInfo: {
        username: 'alice',
        groups: ['readers', 'system:authenticated'],
        extra: { 'scopes/team': ['blue'] },
      },
    },
  })
})

test('a watch says what there is and then what changes, and its end is recorded', async () => {
  const leave = new AbortController()
  const response = await fetch(`${sample.server}/api/v1/namespaces/sample/pods?watch=true`, {
    headers: { authorization: `Bearer ${sample.token}` },
    signal: leave.signal,
    tls: { ca: sample.authority },
  })
  const types: string[] = []
  const lines = async () => {
    for await (const chunk of response.body!) {
      for (const line of Buffer.from(chunk).toString().trim().split('\n'))
        types.push((JSON.parse(line) as { type: string }).type)
      if (types.length > 4) return
    }
  }
  await lines()
  leave.abort()
  expect(types.slice(0, 5)).toEqual(['ADDED', 'ADDED', 'ADDED', 'MODIFIED', 'MODIFIED'])
  const recorded = sample.requests.findLast((request) => request.target.endsWith('watch=true'))
  while (recorded?.cancelled !== true) await Bun.sleep(5)
})

test('frames of every length survive the codec, masked or not, and split anywhere', () => {
  for (const size of [0, 125, 126, 65_535, 65_536]) {
    const payload = Buffer.alloc(size, 'x')
    const frame = encodeFrame(2, payload)
    expect(decodeFrame(frame)).toEqual({ final: true, opcode: 2, payload, length: frame.length })
    for (const cut of [0, 1, frame.length - 1]) expect(decodeFrame(frame.subarray(0, cut))).toBeUndefined()
  }
  const masked = Buffer.from([0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58])
  expect(decodeFrame(masked)).toMatchObject({ final: true, opcode: 1, payload: Buffer.from('Hello') })
})
