// A real browser and a server of our pages with canned endpoints, for the tests in this folder.

import { type Browser, chromium, type Page } from 'playwright-core'
import { page as pageAt } from '../../src/web/pages.ts'

const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

export function launchBrowser(): Promise<Browser> {
  const executablePath = ['chromium', 'chromium-browser', 'google-chrome']
    .map((name) => Bun.which(name))
    .find((path) => path !== null)
  if (!executablePath) throw new Error('no Chromium was found')
  return chromium.launch({ executablePath, headless: true, args: flags })
}

/** Our pages, and below `/v1/webapi` whatever the test answers. Other paths are 404. */
export function servePages(answer: (request: Request, path: string) => Response | Promise<Response>) {
  const prefix = '/v1/webapi'
  return Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    development: false,
    fetch(request) {
      const { pathname } = new URL(request.url)
      if (pathname.startsWith(`${prefix}/`)) return answer(request, pathname.slice(prefix.length))
      const found = pageAt(pathname)
      return found ? new Response(found.body, found) : new Response('none', { status: 404 })
    },
  })
}

/** What the page complains of: errors of scripts, and everything that its security policy forbids. */
export function complaintsOf(page: Page, scheme: 'http' | 'https' = 'http'): string[] {
  const complaints: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('request', (request) => {
    const own = [`${scheme}://127.0.0.1:`, 'data:'].some((prefix) => request.url().startsWith(prefix))
    if (!own) complaints.push(`asked for ${request.url()}`)
  })
  return complaints
}

export const failure = (status: number, message: string) => Response.json({ error: { message } }, { status })
