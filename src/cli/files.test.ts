import { afterAll, beforeAll, describe, expect, it } from 'bun:test'
import { lstat, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeFileAtomically } from './files.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'teleport-files-'))
})
afterAll(() => rm(folder, { recursive: true }))

describe('writeFileAtomically', () => {
  it('makes the folders and a file only its owner can read', async () => {
    const path = join(folder, 'a/b/secret')
    await writeFileAtomically(path, 'one')
    expect(await readFile(path, 'utf8')).toBe('one')
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect((await stat(join(folder, 'a'))).mode & 0o777).toBe(0o700)
  })

  it('replaces what a symbolic link points to and keeps the link', async () => {
    const real = join(folder, 'real')
    const link = join(folder, 'link')
    await writeFile(real, 'old')
    await symlink(real, link)
    await writeFileAtomically(link, 'new')
    expect((await lstat(link)).isSymbolicLink()).toBe(true)
    expect(await readFile(real, 'utf8')).toBe('new')
  })

  it('leaves nothing behind when it cannot write', async () => {
    const target = join(folder, 'directory')
    await writeFileAtomically(join(target, 'inside'), 'x')
    expect(writeFileAtomically(target, 'y')).rejects.toThrow()
    expect((await readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })
})
