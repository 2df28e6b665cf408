// docs/getting-started.md, done to the letter: compiled executable, real cluster.

import { expect, test } from 'bun:test'
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { runGuide } from '../docs/run-guide.ts'
import { program } from './assets.ts'
import { freePort, startCluster } from './cluster.ts'

const root = join(import.meta.dir, '../..')

test('the getting started guide works from nothing to kubectl exec', async () => {
  await using cluster = await startCluster({ node: true })
  const home = await mkdtemp(join(tmpdir(), 'teleport-guide-'))
  try {
    await mkdir(join(home, '.kube'))
    await copyFile(cluster.kubeconfig, join(home, '.kube/config'))
    const [web, kube, auth, diagnostics] = [
      String(await freePort()),
      String(await freePort()),
      String(await freePort()),
      String(await freePort()),
    ]
    const guide = await Bun.file(join(root, 'docs/getting-started.md')).text()
    expect(guide).toContain('kubectl exec')
    await runGuide(guide, {
      home,
      path: [join(root, 'dist'), dirname(program('kubectl'))],
      replace: {
        '3080': web,
        '3026': kube,
        '3025': auth,
        '3000': diagnostics,
        '/home/you': home,
        '--image=busybox': '--image=kube.test/busybox:1',
      },
      proxy: `127.0.0.1:${web}`,
    })
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}, 180_000)
