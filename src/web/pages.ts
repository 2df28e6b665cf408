// The pages of the web port, built into the executable: the invite and reset forms, and a page that says how to log
// in. No inline script or style, nothing from elsewhere.

import inviteScript from './assets/invite.js.txt' with { type: 'text' }
import inviteHtml from './assets/invite.html.txt' with { type: 'text' }
import loginHtml from './assets/login.html.txt' with { type: 'text' }
import notFoundHtml from './assets/not-found.html.txt' with { type: 'text' }
import style from './assets/style.css.txt' with { type: 'text' }

export interface Page {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
}

const security: Record<string, string> = {
  'content-security-policy':
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  'strict-transport-security': 'max-age=31536000; includeSubDomains',
  'x-frame-options': 'SAMEORIGIN',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
}

const html = (body: string, status = 200): Page => ({
  status,
  headers: { ...security, 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' },
  body,
})

const asset = (type: string, body: string): Page => ({
  status: 200,
  headers: { ...security, 'content-type': type, 'cache-control': 'no-cache' },
  body,
})

/** The page at a path; undefined when that is no place for pages. */
export function page(path: string): Page | undefined {
  if (path === '/web/style.css') return asset('text/css; charset=utf-8', style)
  if (path === '/web/invite.js') return asset('text/javascript; charset=utf-8', inviteScript)
  if (/^\/web\/(invite|reset)\/[0-9a-f]{1,128}(\/continue)?$/.test(path)) return html(inviteHtml)
  if (path === '/web' || path === '/web/' || path === '/web/login') return html(loginHtml)
  return path.startsWith('/web/') ? html(notFoundHtml, 404) : undefined
}
