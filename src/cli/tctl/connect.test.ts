import { afterAll, beforeAll, describe, expect, it } from 'bun:test'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CommandInput } from '../command.ts'
import { connect } from './connect.ts'
import { refusal } from './testing/context.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'teleport-connect-'))
})
afterAll(() => rm(folder, { recursive: true }))

const attempt = (options: Record<string, unknown>, env: Record<string, string> = {}) =>
  refusal(
    connect(new CommandInput([], options), {
      out: () => {},
      note: () => {},
      env: { HOME: folder, ...env },
      interactive: false,
      readAll: async () => '',
      ask: async () => '',
    }),
  )

describe('how tctl finds a cluster', () => {
  it('takes an identity file first, and wants to know where it leads', async () => {
    const path = join(folder, 'identity')
    await writeFile(path, 'not PEM')
    expect(await attempt({ identity: path })).toBe('tctl --identity also requires --auth-server')
    expect(await attempt({}, { TELEPORT_IDENTITY_FILE: path })).toBe(
      'tctl --identity also requires --auth-server',
    )
    expect(await attempt({ identity: path, authServer: ['127.0.0.1:3025'] })).toBe(
      `${path} is not an identity file`,
    )
  })

  it('says which file of the auth server it cannot read', async () => {
    const config = join(folder, 'auth.yaml')
    await writeFile(
      config,
      `version: v3\nteleport: {data_dir: ${folder}/data}\nauth_service: {enabled: yes}\n`,
    )
    expect(await attempt({ config })).toStartWith(
      `cannot read the admin identity ${folder}/data/proc/admin.pem: ENOENT`,
    )
  })

  it('says what to do when there is nothing to go by', async () => {
    const config = join(folder, 'agent.yaml')
    await writeFile(
      config,
      `version: v3\nteleport: {data_dir: ${folder}/agent, proxy_server: tele.example.com:443, auth_token: x}\nauth_service: {enabled: no}\nproxy_service: {enabled: no}\nkubernetes_service: {enabled: yes, kubeconfig_file: /nowhere}\n`,
    )
    expect(await attempt({ config }, { TELEPORT_HOME: join(folder, 'tsh') })).toBe(
      "couldn't find an auth server configuration: tctl must be either used on the auth server or provided with the identity file via --identity flag",
    )
  })
})
