// `teleport start`: reads the configuration, takes the data directory, runs until a signal.

import { createWriteStream } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import type { Config, ConfigFlags } from '../../config/config.ts'
import { configureLog, createLogger } from '../../log.ts'
import { version } from '../../version.ts'
import type { CommandInput } from '../command.ts'
import type { Io } from '../io.ts'
import { loadConfig } from '../load-config.ts'
import { openDataDirectory } from './data-directory.ts'

const log = createLogger('process')

/** What runs the roles; given from above, since commands know no roles. */
export type StartRoles = (
  config: Config,
  options: {
    hostId: string
    env: Readonly<Record<string, string | undefined>>
    signal: AbortSignal
    onReady: () => void
  },
) => Promise<void>

export async function start(input: CommandInput, io: Io, startRoles: StartRoles): Promise<number> {
  // Files that are made without a mode of their own are for their owner.
  process.umask(0o077)
  const path = input.text('config')
  const encoded = input.text('configString') ?? io.env['TELEPORT_CONFIG']
  const { config, file } = await loadConfig({
    ...(path ? { path } : {}),
    ...(encoded ? { encoded } : {}),
    flags: flagsOf(input),
  })
  configureLog({ severity: config.log.severity, format: config.log.format, ...logTarget(config.log.output) })
  log.info(
    file
      ? `Starting Teleport v${version} with a config file located at "${file}"`
      : `Starting Teleport v${version}`,
  )
  if (!file) log.info('not using a config file')

  await using directory = await openDataDirectory(config.dataDirectory)
  const stopping = new AbortController()
  const stop = () => stopping.abort()
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) process.on(signal, stop)
  const onReady = () => {
    if (config.pidFile) void writePid(config.pidFile)
  }
  try {
    await startRoles(config, { hostId: directory.hostId, env: io.env, signal: stopping.signal, onReady })
  } finally {
    if (config.pidFile) await rm(config.pidFile, { force: true })
  }
  return 0
}

async function writePid(path: string): Promise<void> {
  try {
    await writeFile(path, `${process.pid}\n`, { mode: 0o644 })
  } catch (error) {
    log.warn('the pid file could not be written', { path, error: String(error) })
  }
}

function logTarget(output: string): { write?: (line: string) => void } {
  switch (output) {
    case 'stderr':
    case 'error':
    case '2':
      return {}
    case 'stdout':
    case 'out':
    case '1':
      return { write: (line) => void process.stdout.write(line) }
    default: {
      const stream = createWriteStream(output, { flags: 'a', mode: 0o600 })
      return { write: (line) => void stream.write(line) }
    }
  }
}

function flagsOf(input: CommandInput): ConfigFlags {
  const roles = input.list('roles')
  const texts = {
    nodename: 'nodename',
    pidFile: 'pidFile',
    diagAddr: 'diagAddr',
    bootstrap: 'bootstrap',
    applyOnStartup: 'applyOnStartup',
    listenIp: 'listenIp',
  }
  const given = Object.fromEntries(
    Object.entries(texts).flatMap(([key, name]) =>
      input.text(name) === undefined ? [] : [[key, input.text(name)]],
    ),
  )
  return { ...given, ...(roles ? { roles } : {}), debug: input.flag('debug') }
}
