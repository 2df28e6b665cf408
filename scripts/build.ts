// Compiles the product into one executable, `dist/teleport`, with `tctl`, `tsh` and `tbot` as links to it: the
// name it is called by decides what it is. The same sources give the same bytes (only at the same file name).

import { Glob } from 'bun'
import { mkdir, rm, symlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

const root = join(import.meta.dir, '..')
const links = ['tctl', 'tsh', 'tbot']

export interface BuildOptions {
  /** @default src/main.ts */
  entry?: string
  /** Further entry points, e.g. workers. @default every src/**\/*.worker.ts */
  workers?: readonly string[]
  /** @default dist/teleport */
  outfile?: string
}

/** Builds the executable and its links; returns its path. */
export async function buildExecutable(options: BuildOptions = {}): Promise<string> {
  const entry = options.entry ?? join(root, 'src/main.ts')
  const outfile = options.outfile ?? join(root, 'dist/teleport')
  const workers = options.workers ?? [
    ...new Glob('src/**/*.worker.ts').scanSync({ cwd: root, absolute: true }),
  ]
  await mkdir(dirname(outfile), { recursive: true })
  const result = await Bun.build({
    entrypoints: [entry, ...[...workers].sort()],
    target: 'bun',
    // A command loads only the chunks it needs, as bytecode: `version` starts in milliseconds. Without splitting
    // the whole program would be parsed each time.
    splitting: true,
    bytecode: true,
    // With the default format of bytecode, CommonJS, reflect-metadata would run after the library that needs it.
    format: 'esm',
    // Identifiers stay: a library compares class names.
    minify: { syntax: true, whitespace: true, identifiers: false },
    sourcemap: 'linked',
    // Bun would put "development" there, which makes libraries show stack traces to clients.
    define: { 'process.env.NODE_ENV': '"production"' },
    compile: {
      outfile,
      // Without these two, a `.env` or `bunfig.toml` in the folder where someone runs tsh would run its code.
      autoloadDotenv: false,
      autoloadBunfig: false,
    },
  })
  // The executable carries its source maps; the copies beside it are of no use.
  for (const output of result.outputs) if (output.kind === 'sourcemap') await rm(output.path, { force: true })
  for (const name of links) {
    const link = join(dirname(outfile), name)
    await rm(link, { force: true })
    await symlink(basename(outfile), link)
  }
  return outfile
}

if (import.meta.main) {
  const started = performance.now()
  const path = await buildExecutable()
  const megabytes = (Bun.file(path).size / 1e6).toFixed(0)
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(`built dist/teleport (${megabytes} MB) and its links ${links.join(', ')} in ${seconds} s`)
}
