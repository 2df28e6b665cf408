// The pages of the web port, built into the executable: invite and reset forms, login, the list of Kubernetes
// clusters, and messages. Plain HTML and small scripts that call the JSON endpoints of the proxy; no inline script or
// style, nothing from elsewhere. Which endpoints there are is the proxy role's matter.

import commonScript from './assets/common.js.txt' with { type: 'text' }
import homeHtml from './assets/home.html.txt' with { type: 'text' }
import homeScript from './assets/home.js.txt' with { type: 'text' }
import inviteHtml from './assets/invite.html.txt' with { type: 'text' }
import inviteScript from './assets/invite.js.txt' with { type: 'text' }
import loginHtml from './assets/login.html.txt' with { type: 'text' }
import loginScript from './assets/login.js.txt' with { type: 'text' }
import messageHtml from './assets/message.html.txt' with { type: 'text' }
import style from './assets/style.css.txt' with { type: 'text' }

export interface Page {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
}

const security: Readonly<Record<string, string>> = {
  // Everything is ours; pictures are codes made on the spot.
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    'img-src data:',
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'self'",
  ].join('; '),
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  // Links to the invite pages are secrets.
  'referrer-policy': 'no-referrer',
  'strict-transport-security': 'max-age=31536000; includeSubDomains',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'SAMEORIGIN',
}

const html = (body: string, status = 200): Page => ({
  status,
  headers: { ...security, 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' },
  body,
})

const asset = (type: string, body: string): Page => ({
  status: 200,
  headers: { ...security, 'content-type': `${type}; charset=utf-8`, 'cache-control': 'no-cache' },
  body,
})

interface Message {
  readonly title: string
  readonly text: string
  readonly target: string
  readonly link: string
}

/** Texts are constants of ours: nothing here is escaped. */
function message({ title, text, target, link }: Message): string {
  return messageHtml
    .replaceAll('{{title}}', title)
    .replaceAll('{{text}}', text)
    .replaceAll('{{target}}', target)
    .replaceAll('{{link}}', link)
}

const loginFailed = (text: string) =>
  html(message({ title: 'Login failed', text, target: '/web/login', link: 'Back to login' }))

const notFound = html(
  message({
    title: 'Not found',
    text: 'There is no page here.',
    target: '/web',
    link: 'To the Kubernetes clusters',
  }),
  404,
)

const home = html(homeHtml)

const pages: ReadonlyMap<string, Page> = new Map([
  ['/web', home],
  ['/web/', home],
  ['/web/login', html(loginHtml)],
  [
    '/web/msg/error/login',
    loginFailed('You could not be logged in. Ask your administrator to look at the audit log.'),
  ],
  ['/web/msg/error/login/auth', loginFailed('Your user name, password or second factor was not right.')],
  [
    '/web/msg/error/login/callback',
    loginFailed(
      'What your identity provider answered could not be used. Ask your administrator to look at the audit log.',
    ),
  ],
  [
    '/web/msg/error/login/callback_missing_role',
    loginFailed('Your identity provider knows you, but nothing that it says of you gives you a role here.'),
  ],
  ['/web/common.js', asset('text/javascript', commonScript)],
  ['/web/home.js', asset('text/javascript', homeScript)],
  ['/web/invite.js', asset('text/javascript', inviteScript)],
  ['/web/login.js', asset('text/javascript', loginScript)],
  ['/web/style.css', asset('text/css', style)],
])

const patterns: readonly (readonly [RegExp, Page])[] = [
  [/^\/web\/(invite|reset)\/[0-9a-f]{1,128}(\/continue)?$/, html(inviteHtml)],
  // The script asks which cluster this is; the name in the path is for bookmarks.
  [/^\/web\/cluster\/[^/]{1,255}\/(resources|kubernetes)$/, home],
]

/** The page at a path; undefined when that is no place for pages. */
export function page(path: string): Page | undefined {
  const fixed = pages.get(path)
  if (fixed) return fixed
  if (!path.startsWith('/web/')) return undefined
  return patterns.find(([pattern]) => pattern.test(path))?.[1] ?? notFound
}
