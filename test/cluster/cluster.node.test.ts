import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type Cluster, startCluster } from './cluster.ts'

let cluster: Cluster

beforeAll(async () => {
  cluster = await startCluster({ node: true })
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'shell' },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [
        { name: 'shell', image: 'kube.test/busybox:1', command: ['sh', '-c', 'echo ready; sleep 3600'] },
      ],
    },
  }
  const created = await cluster.kubectl(['apply', '-f', '-'], { stdin: JSON.stringify(pod) })
  expect(created).toEqual({ code: 0, stdout: 'pod/shell created\n', stderr: '' })
  const ready = await cluster.kubectl(['wait', 'pod/shell', '--for=condition=Ready', '--timeout=60s'], {
    timeoutMs: 70_000,
  })
  expect(ready.code).toBe(0)
}, 120_000)

afterAll(() => cluster[Symbol.asyncDispose]())

test.each(['current', '1.28'] as const)('kubectl %s gets, runs commands and reads logs', async (version) => {
  const namespaces = await cluster.kubectl(['get', 'ns', '-o', 'name'], { version })
  expect(namespaces.stdout).toContain('namespace/default\n')
  const copied = await cluster.kubectl(['exec', '-i', 'shell', '--', 'cat'], {
    version,
    stdin: 'to and fro\n',
  })
  expect(copied).toEqual({ code: 0, stdout: 'to and fro\n', stderr: '' })
  const failed = await cluster.kubectl(
    ['exec', 'shell', '--', 'sh', '-c', 'echo out; echo err >&2; exit 3'],
    { version },
  )
  expect(failed).toEqual({
    code: 3,
    stdout: 'out\n',
    stderr: expect.stringContaining('err\ncommand terminated with exit code 3\n'),
  })
  const logs = await cluster.kubectl(['logs', 'shell'], { version })
  expect(logs).toEqual({ code: 0, stdout: 'ready\n', stderr: '' })
})

test('the audit log of the API server says whom it took a request for', async () => {
  await cluster.kubectl(['get', 'ns', '--as', 'alice', '--as-group', 'system:masters'])
  const lines = (await Bun.file(cluster.auditLog).text()).trim().split('\n')
  const events = lines.map((line) => JSON.parse(line) as { impersonatedUser?: { username: string } })
  expect(events.some((event) => event.impersonatedUser?.username === 'alice')).toBe(true)
})
