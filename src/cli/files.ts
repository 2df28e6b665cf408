// Files that hold credentials: written whole or not at all, readable by their owner only.

import { randomBytes } from 'node:crypto'
import { mkdir, open, realpath, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Replaces a file in one step, so that a reader or a crash never sees half of it. A symbolic link stays one: the
 * file behind it is replaced.
 */
export async function writeFileAtomically(path: string, content: string, mode = 0o600): Promise<void> {
  const target = await realpath(path).catch(() => path)
  await mkdir(dirname(target), { recursive: true, mode: 0o700 })
  const temporary = `${target}.${randomBytes(6).toString('hex')}.tmp`
  const file = await open(temporary, 'wx', mode)
  try {
    await file.writeFile(content)
    await file.sync()
    await file.close()
    await rename(temporary, target)
  } catch (error) {
    await file.close().catch(() => undefined) // it may be closed already; the first error is the one to tell
    await rm(temporary, { force: true })
    throw error
  }
}
