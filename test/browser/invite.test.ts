// The invite page in a real browser, against the pages as they are compiled in and endpoints with known answers.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import type { Browser, Page } from 'playwright-core'
import { qrPng } from '../../src/web/qr.ts'
import { complaintsOf, failure, launchBrowser, servePages } from './browser.ts'

const token = '0123456789abcdef0123456789abcdef'
const expired = 'f'.repeat(32)
const away = 'a'.repeat(32)
const secret = 'JBSWY3DPEHPK3PXP'
const password = 'correct hörse battery'

let browser: Browser
let server: ReturnType<typeof servePages>
let page: Page
let sent: unknown[]
let complaints: string[]
let answer: () => Response

beforeAll(async () => {
  browser = await launchBrowser()
  server = servePages(endpoints)
}, 60_000)

afterAll(async () => {
  await browser?.close()
  await server?.stop(true)
})

beforeEach(async () => {
  sent = []
  answer = () => Response.json({ user: 'alice' })
  page = await browser.newPage()
  complaints = complaintsOf(page)
})
afterEach(() => page.close())

async function endpoints(request: Request, path: string): Promise<Response> {
  if (path === `/users/password/token/${away}`) return failure(429, 'rate limit exceeded')
  if (path !== `/users/password/token/${token}`) return failure(404, 'expired token')
  if (request.method === 'PUT') {
    sent.push(await request.json())
    return answer()
  }
  return Response.json({
    tokenId: token,
    user: 'alice',
    expiry: '',
    qr: qrPng('otpauth://totp/x?secret=y'),
    otp_secret: secret,
    second_factor: 'otp',
  })
}

const open = (path: string) => page.goto(`http://127.0.0.1:${server.port}${path}`)

async function fill(values: { password: string; again: string; code: string }): Promise<void> {
  await page.getByLabel('Password', { exact: true }).fill(values.password)
  await page.getByLabel('Password again').fill(values.again)
  await page.getByLabel('Code from the app').fill(values.code)
  await page.getByRole('button', { name: 'Set up account' }).click()
}

describe('the invite page', () => {
  test('takes password twice and code, sends them, and says what to do next', async () => {
    await open(`/web/invite/${token}`)
    await page.getByRole('heading', { name: 'Welcome, alice' }).waitFor()
    expect(await page.locator('#secret').textContent()).toBe(secret)
    const width = await page
      .locator('#qr')
      .evaluate((image) => (image as unknown as { naturalWidth: number }).naturalWidth)
    expect(width).toBe(456)
    await fill({ password, again: password, code: '123 456' })
    await page.getByRole('heading', { name: 'You are set up' }).waitFor()
    expect(await page.locator('#command').textContent()).toBe(
      `tsh login --proxy=127.0.0.1:${server.port} --user=alice`,
    )
    expect(sent).toEqual([
      {
        token,
        password: Buffer.from(password).toString('base64'),
        second_factor_token: '123456',
        deviceName: 'otp',
      },
    ])
    expect(complaints).toEqual([])
  }, 30_000)

  test('does not send passwords that differ, and shows what the server answers', async () => {
    answer = () => failure(403, 'invalid totp token')
    await open(`/web/reset/${token}`)
    await page.getByRole('heading', { name: 'Welcome, alice' }).waitFor()
    await fill({ password, again: 'something else here', code: '123456' })
    expect(await page.getByRole('alert').textContent()).toBe('The passwords do not match.')
    expect(sent).toEqual([])
    await fill({ password, again: password, code: '123456' })
    await page.getByText('invalid totp token').waitFor()
    expect(sent).toHaveLength(1)
  }, 30_000)

  test('says that a link has run out', async () => {
    await open(`/web/invite/${expired}`)
    await page.getByRole('heading', { name: 'Invitation Code Expired' }).waitFor()
    expect(await page.locator('form').isVisible()).toBe(false)
  }, 30_000)

  test('does not call a link expired because the server is busy', async () => {
    await open(`/web/invite/${away}`)
    await page.getByRole('heading', { name: 'Not available right now' }).waitFor()
    expect(await page.locator('#failure').textContent()).toBe('rate limit exceeded')
  }, 30_000)

  test('writes the command so that a shell takes the name as one word', async () => {
    await page.route('**/v1/webapi/**', (route) =>
      route.fulfill({ json: { tokenId: token, user: "o'neil $(id)", qr: '', second_factor: 'off' } }),
    )
    await open(`/web/invite/${token}`)
    await page.getByRole('heading', { name: "Welcome, o'neil $(id)" }).waitFor()
    expect(await page.locator('#command').textContent()).toEndWith(` --user='o'\\''neil $(id)'`)
  }, 30_000)

  test('shows a user name as text, whatever it holds', async () => {
    await page.route('**/v1/webapi/**', (route) =>
      route.fulfill({
        json: {
          tokenId: token,
          user: '<img src=x onerror=alert(1)>',
          expiry: '',
          qr: '',
          otp_secret: '',
          second_factor: 'off',
        },
      }),
    )
    await open(`/web/invite/${token}`)
    await page.locator('#user').waitFor()
    expect(await page.locator('#user').textContent()).toBe('<img src=x onerror=alert(1)>')
    expect(await page.locator('#user img').count()).toBe(0)
    expect(await page.locator('#second-factor').isVisible()).toBe(false)
  }, 30_000)
})
