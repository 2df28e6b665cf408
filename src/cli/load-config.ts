// Finds and reads the configuration file, for every program that needs it.

import { readFile } from 'node:fs/promises'
import { badParameter, messageOf } from '../errors.ts'
import { type Config, type ConfigFlags, decideConfig } from '../config/config.ts'
import { type ConfigFile, parseConfigFile } from '../config/file.ts'

const defaultPaths = ['/etc/teleport.yaml', '/etc/teleport/teleport.yaml']

export interface ConfigSource {
  readonly path?: string
  /** The file itself, base64. */
  readonly encoded?: string
  readonly flags?: ConfigFlags
}

export async function loadConfig({
  path,
  encoded,
  flags = {},
}: ConfigSource): Promise<{ config: Config; file: string | undefined }> {
  const file = await findFile({ ...(path ? { path } : {}), ...(encoded ? { encoded } : {}) })
  return { config: decideConfig(file, flags), file: file?.name }
}

async function findFile({
  path,
  encoded,
}: Pick<ConfigSource, 'path' | 'encoded'>): Promise<ConfigFile | undefined> {
  if (encoded) {
    if (!/^[A-Za-z0-9+/=\s]+$/.test(encoded)) throw badParameter('configuration should be base64 encoded')
    return parseConfigFile(Buffer.from(encoded, 'base64').toString('utf8'), 'TELEPORT_CONFIG')
  }
  if (path) {
    const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
      throw badParameter(
        cause.code === 'ENOENT'
          ? `file ${path} is not found`
          : `failed to open file for Teleport configuration at ${path}: ${messageOf(cause)}`,
        { cause },
      )
    })
    return parseConfigFile(text, path)
  }
  for (const one of defaultPaths) {
    const text = await readFile(one, 'utf8').catch(() => undefined)
    if (text !== undefined) return parseConfigFile(text, one)
  }
  return undefined
}
