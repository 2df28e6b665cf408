// From `tctl users add` to a certificate: the invite and reset links of a real server, opened in a real browser.

import { afterAll, beforeAll, expect, test } from 'bun:test'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TOTP } from 'otpauth'
import type { Browser, Page } from 'playwright-core'
import { complaintsOf, launchBrowser } from './browser.ts'

const entry = join(import.meta.dir, '../../src/main.ts')
const stepMs = 30_000

let browser: Browser
let folder: string
let config: string
let web: number
let teleport: Bun.Subprocess

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'teleport-sign-up-'))
  config = join(folder, 'teleport.yaml')
  const [auth, diagnostics] = [await freePort(), await freePort()]
  web = await freePort()
  await writeFile(
    config,
    `version: v3
teleport:
  data_dir: ${join(folder, 'data')}
auth_service:
  enabled: yes
  cluster_name: root.example.com
  listen_addr: 127.0.0.1:${auth}
proxy_service:
  enabled: yes
  web_listen_addr: 127.0.0.1:${web}
  public_addr: 127.0.0.1:${web}
`,
  )
  teleport = Bun.spawn(
    [process.execPath, entry, 'start', `--config=${config}`, `--diag-addr=127.0.0.1:${diagnostics}`],
    { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore', env: environment() },
  )
  const url = `http://127.0.0.1:${diagnostics}/readyz`
  while ((await fetch(url).catch(() => undefined))?.status !== 200) await Bun.sleep(50)
  browser = await launchBrowser()
}, 60_000)

afterAll(async () => {
  await browser?.close()
  teleport?.kill('SIGTERM')
  await teleport?.exited
  await rm(folder, { recursive: true })
})

const environment = () => ({ PATH: process.env['PATH'] ?? '', HOME: folder })

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}

/** Runs `tctl users …` and returns the link that it prints. */
async function linkFrom(...words: string[]): Promise<string> {
  const child = Bun.spawn([process.execPath, entry, `--config=${config}`, 'users', ...words], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'inherit',
    env: environment(),
    argv0: 'tctl',
  })
  const output = await child.stdout.text()
  const link = /https:\/\/\S+/.exec(output)?.[0]
  if (!link) throw new Error(`tctl printed no link: ${output}`)
  return link
}

async function fill(page: Page, password: string): Promise<TOTP> {
  await page.getByRole('heading', { name: 'Welcome, alice' }).waitFor()
  const totp = new TOTP({ secret: (await page.locator('#secret').textContent()) ?? '' })
  await page.getByLabel('Password', { exact: true }).fill(password)
  await page.getByLabel('Password again').fill(password)
  await page.getByLabel('Code from the app').fill(totp.generate())
  await page.getByRole('button', { name: 'Set up account' }).click()
  await page.getByRole('heading', { name: 'You are set up' }).waitFor()
  return totp
}

/** The status of a login as `tsh` does it. The code is the next one: the current one has been used. */
async function logIn(password: string, totp: TOTP): Promise<number> {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const response = await fetch(`https://127.0.0.1:${web}/webapi/ssh/certs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      user: 'alice',
      password,
      otp_token: totp.generate({ timestamp: Date.now() + stepMs }),
      tls_pub_key: Buffer.from(pem).toString('base64'),
    }),
    tls: { rejectUnauthorized: false },
  })
  return response.status
}

test('an invite makes a login, works once, and a reset replaces it', async () => {
  const page = await browser.newPage({ ignoreHTTPSErrors: true })
  const complaints = complaintsOf(page, 'https')
  const invite = await linkFrom('add', 'alice', '--roles=access')
  await page.goto(invite)
  const first = await fill(page, 'the first password')
  expect(await page.locator('#command').textContent()).toBe(`tsh login --proxy=127.0.0.1:${web} --user=alice`)
  expect(complaints).toEqual([])
  expect(await logIn('the first password', first)).toBe(200)

  await page.goto(invite)
  await page.getByRole('heading', { name: 'Invitation Code Expired' }).waitFor()

  await page.goto(await linkFrom('reset', 'alice'))
  const second = await fill(page, 'another password')
  expect(await logIn('the first password', first)).toBe(403)
  expect(await logIn('another password', second)).toBe(200)
}, 60_000)
