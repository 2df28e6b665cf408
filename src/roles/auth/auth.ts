// The auth role's life: opens the store and the audit log, makes the cluster at its first start, and offers the
// operations. Nobody else touches the store.

import { join } from 'node:path'
import { type Api, createApi } from '../../api/routes.ts'
import { openAuditLog } from '../../audit/audit.ts'
import type { AuthConfig } from '../../config/config.ts'
import { createLogger } from '../../log.ts'
import { openSqlite } from '../../store/sqlite.ts'
import { bootstrap } from './bootstrap.ts'
import { Leases } from './leases.ts'
import { createOperations } from './operations.ts'
import { Passwords } from './passwords.ts'
import { ResourceStore } from './resource-store.ts'
import { Signups } from './signup.ts'

const log = createLogger('auth')

export interface AuthOptions {
  readonly config: AuthConfig
  readonly dataDirectory: string
  readonly bootstrapFile?: string
  readonly applyOnStartupFile?: string
  readonly clock?: () => number
}

export interface Auth extends AsyncDisposable {
  readonly cluster: string
  readonly api: Api
}

export async function startAuth(options: AuthOptions): Promise<Auth> {
  const clock = options.clock ? { clock: options.clock } : {}
  const store = openSqlite(options.config.databasePath, clock)
  const resources = new ResourceStore(store)
  const cluster = await bootstrap(resources, options)
  const auditFolder = join(options.dataDirectory, 'log')
  const audit = await openAuditLog(auditFolder, options.clock)
  const passwords = new Passwords({ store, ...clock })
  const signups = new Signups({ store, passwords, ...clock })
  const leases = new Leases(store, options.clock)
  const operations = createOperations({
    cluster,
    store,
    resources,
    passwords,
    signups,
    leases,
    audit,
    auditFolder,
    ...clock,
  })
  log.info('auth is ready', { cluster })
  return {
    cluster,
    api: createApi(operations),
    async [Symbol.asyncDispose]() {
      await audit[Symbol.asyncDispose]()
      await store[Symbol.asyncDispose]()
    },
  }
}
