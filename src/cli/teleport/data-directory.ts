// The data directory of one process: for its owner only, one process at a time, with an id of its own.

import { randomUUID } from 'node:crypto'
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { badParameter, messageOf } from '../../errors.ts'

export interface DataDirectory extends AsyncDisposable {
  readonly hostId: string
}

/** Makes the directory if need be and takes it for this process. Throws when another one has it. */
export async function openDataDirectory(path: string): Promise<DataDirectory> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 })
    const lock = join(path, 'process.lock')
    await takeLock(lock, path)
    return { hostId: await hostId(path), [Symbol.asyncDispose]: () => rm(lock, { force: true }) }
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'EACCES') {
      throw badParameter(`open ${join(path, 'host_uuid')}: permission denied`, {
        cause,
        hint: `run as the owner of ${path}, or name another data_dir`,
      })
    }
    throw cause
  }
}

async function hostId(folder: string): Promise<string> {
  const path = join(folder, 'host_uuid')
  const known = (await readFile(path, 'utf8').catch(() => '')).trim()
  if (/^[0-9a-f-]{36}$/.test(known)) return known
  const made = randomUUID()
  await writeFile(path, made, { mode: 0o600 })
  return made
}

/** A file that names who has the directory; one whose process is gone counts for nothing. */
async function takeLock(lock: string, folder: string): Promise<void> {
  const own = `${process.pid} ${await startTime(process.pid)}\n`
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      const file = await open(lock, 'wx', 0o600)
      await file.writeFile(own)
      await file.close()
      return
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    }
    const [pid = '', started = ''] = (await readFile(lock, 'utf8').catch(() => '')).trim().split(' ')
    if (pid !== '' && (await startTime(Number(pid))) === started) {
      throw badParameter(`data directory ${folder} is used by another teleport process (pid ${pid})`, {
        hint: 'stop that process, or name another data_dir',
      })
    }
    await rm(lock, { force: true })
  }
  throw badParameter(`data directory ${folder} could not be locked`)
}

/** Pids are used again; together with its start a process is itself. Empty when there is no such process. */
async function startTime(pid: number): Promise<string> {
  if (!(pid > 0)) return ''
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // A process that has ended but was not reaped holds nothing any more.
    return fields[0] === 'Z' || fields[0] === 'X' ? '' : (fields[19] ?? '')
  } catch {
    // Not Linux, or no such process: signal 0 tells the two apart.
    return isAlive(pid) ? 'running' : ''
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return messageOf(error).includes('EPERM')
  }
}
