// Login, the list of clusters and the messages in a real browser, against endpoints with known answers.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { complaintsOf, failure, launchBrowser, servePages } from './browser.ts'

const alice = { user: 'alice', pass: 'correct hörse battery', second_factor_token: '123456' }
const clusters = [
  { name: 'prod', labels: [{ name: 'env', value: 'production' }] },
  { name: "it's <b>staging</b>", labels: [{ name: 'env', value: 'staging' }] },
]

let browser: Browser
let server: ReturnType<typeof servePages>
let context: BrowserContext
let page: Page
let complaints: string[]
let calls: string[]
let answers: Record<string, (request: Request) => Response | Promise<Response>>

beforeAll(async () => {
  browser = await launchBrowser()
  server = servePages((request, path) => {
    const call = `${request.method} ${path}${new URL(request.url).search}`
    calls.push(call)
    return answers[call]?.(request) ?? failure(404, 'path not found')
  })
}, 60_000)

afterAll(async () => {
  await browser?.close()
  await server?.stop(true)
})

beforeEach(async () => {
  calls = []
  answers = {
    'POST /sessions/web': async (request) =>
      Bun.deepEquals(await request.json(), alice)
        ? Response.json({ type: 'bearer', token: 't0ken', user: 'alice', expires_in: 600 })
        : failure(403, 'invalid username, password or second factor'),
    'GET /ping': () => Response.json({ cluster_name: 'root.example.com' }),
    'GET /sites/root.example.com/kubernetes': authorized(() =>
      Response.json({ items: clusters.slice(0, 1), startKey: 'a b', totalCount: 2 }),
    ),
    'GET /sites/root.example.com/kubernetes?startKey=a%20b': authorized(() =>
      Response.json({ items: clusters.slice(1), startKey: '', totalCount: 2 }),
    ),
    'DELETE /sessions/web': authorized(() => Response.json({ message: 'ok' })),
  }
  context = await browser.newContext()
  page = await context.newPage()
  complaints = complaintsOf(page)
})
afterEach(() => context.close())

const authorized = (answer: () => Response) => (request: Request) =>
  request.headers.get('authorization') === 'Bearer t0ken' ? answer() : failure(401, 'session is invalid')

const open = (path: string) => page.goto(`http://127.0.0.1:${server.port}${path}`)

async function logIn(fields: Partial<typeof alice> = {}): Promise<void> {
  const { user, pass, second_factor_token } = { ...alice, ...fields }
  await page.getByLabel('User name').fill(user)
  await page.getByLabel('Password').fill(pass)
  await page.getByLabel('Code from your authenticator app').fill(second_factor_token)
  await page.getByRole('button', { name: 'Log in' }).click()
}

describe('the login page', () => {
  test('leads to the clusters and how to connect to each', async () => {
    await open('/web/login')
    expect(await page.locator('#command').textContent()).toBe(`tsh login --proxy=127.0.0.1:${server.port}`)
    await logIn({ second_factor_token: '123 456' })
    await page.getByRole('heading', { name: 'prod' }).waitFor()
    expect(await page.getByRole('status').textContent()).toBe('2 in all')
    expect(await page.locator('#who').textContent()).toBe('alice')
    const [prod, staging] = await page.locator('#clusters > li').all()
    await prod!.getByText('Connect').click()
    expect(await prod!.locator('code').allTextContents()).toEqual([
      `tsh login --proxy=127.0.0.1:${server.port} --auth=local --user=alice`,
      'tsh kube login prod',
      'kubectl get pods',
    ])
    expect(await prod!.locator('code').first().isVisible()).toBe(true)
    expect(await prod!.getByLabel('Labels').getByRole('listitem').allTextContents()).toEqual([
      'env: production',
    ])
    expect(await staging!.getByRole('heading').textContent()).toBe("it's <b>staging</b>")
    expect(await staging!.locator('code').nth(1).textContent()).toBe(
      `tsh kube login 'it'\\''s <b>staging</b>'`,
    )
    expect(complaints).toEqual([])
  }, 30_000)

  test('says what was wrong, and lets one try again', async () => {
    await open('/web/login')
    await logIn({ pass: 'something else' })
    await page.getByText('invalid username, password or second factor').waitFor()
    await logIn()
    await page.getByRole('heading', { name: 'prod' }).waitFor()
  }, 30_000)

  test('points to the terminal where the server takes no logins from browsers', async () => {
    delete answers['POST /sessions/web']
    await open('/web/login')
    await logIn()
    await page.getByText('This server takes logins from the terminal alone').waitFor()
  }, 30_000)

  test('can be used with the keyboard alone', async () => {
    await open('/web/login')
    for (const text of [alice.user, alice.pass, alice.second_factor_token]) {
      await page.keyboard.type(text)
      await page.keyboard.press('Tab')
    }
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'prod' }).waitFor()
  }, 30_000)
})

describe('the list of clusters', () => {
  test('wants a session', async () => {
    await open('/web')
    await page.getByRole('heading', { name: 'Log in' }).waitFor()
    expect(calls).toEqual([])
  }, 30_000)

  test('can be filtered by name and label', async () => {
    await open('/web/login')
    await logIn()
    await page.getByRole('heading', { name: 'prod' }).waitFor()
    await page.getByLabel('Filter by name or label').fill('ENV: stag')
    expect(await page.getByRole('status').textContent()).toBe('1 of 2')
    expect(await page.getByRole('heading', { name: 'prod' }).isVisible()).toBe(false)
    await page.getByLabel('Filter by name or label').fill('nothing of the kind')
    expect(await page.getByRole('status').textContent()).toBe('0 of 2')
  }, 30_000)

  test('says that there is none, and what went wrong', async () => {
    answers['GET /sites/root.example.com/kubernetes'] = () => Response.json({ items: [] })
    await open('/web/login')
    await logIn()
    await page.getByText('There is no Kubernetes cluster that you may use.').waitFor()
    answers['GET /sites/root.example.com/kubernetes'] = () => failure(502, 'auth is away')
    await open('/web')
    await page.getByText('auth is away').waitFor()
  }, 30_000)

  test('ends with the session: by the button, and when the server says so', async () => {
    await open('/web/login')
    await logIn()
    await page.getByRole('heading', { name: 'prod' }).waitFor()
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByRole('heading', { name: 'Log in' }).waitFor()
    expect(calls.at(-1)).toBe('DELETE /sessions/web')
    await open('/web')
    await page.getByRole('heading', { name: 'Log in' }).waitFor()
    answers['GET /sites/root.example.com/kubernetes'] = () => failure(401, 'session is invalid')
    const refused = page.waitForResponse((response) => response.status() === 401)
    await logIn()
    await refused
    await page.waitForURL('**/web/login')
    await page.getByRole('heading', { name: 'Log in' }).waitFor()
    expect(await page.evaluate('sessionStorage.length')).toBe(0)
  }, 30_000)
})

test('messages and missing pages lead back', async () => {
  await open('/web/msg/error/login/callback_missing_role')
  await page.getByRole('heading', { name: 'Login failed' }).waitFor()
  await page.getByRole('link', { name: 'Back to login' }).click()
  await page.getByRole('heading', { name: 'Log in' }).waitFor()
  expect(complaints).toEqual([])
  expect((await open('/web/nowhere'))?.status()).toBe(404)
  await page.getByRole('heading', { name: 'Not found' }).waitFor()
}, 30_000)
