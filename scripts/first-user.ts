// What a person does at the invite page, through the same JSON endpoint: a password and a one-time code.

import { TOTP } from 'otpauth'

export interface InviteOptions {
  /** `host:port` of the proxy's web address. */
  readonly proxy: string
  readonly token: string
  readonly password: string
}

export interface InvitedUser {
  /** What an authenticator app stores. */
  readonly secret: string
  /** A code that has not been used yet. */
  code(): Promise<string>
}

const stepMs = 30_000

export async function acceptInvite({ proxy, token, password }: InviteOptions): Promise<InvitedUser> {
  const url = `https://${proxy}/v1/webapi/users/password/token/${token}`
  // The proxy has made its certificate itself a moment ago, on this machine.
  const tls = { rejectUnauthorized: false }
  const page: unknown = await (await fetch(url, { tls })).json()
  if (typeof page !== 'object' || page === null || !('otp_secret' in page)) {
    throw new Error(`the invite page answered ${JSON.stringify(page)}`)
  }
  const secret = String(page.otp_secret)
  const code = unusedCodes(secret)
  const body = { token, password: btoa(password), second_factor_token: await code(), deviceName: 'otp' }
  const headers = { 'content-type': 'application/json' }
  const done = await fetch(url, { method: 'PUT', tls, headers, body: JSON.stringify(body) })
  if (!done.ok) throw new Error(`the invite was refused: ${done.status} ${await done.text()}`)
  return { secret, code }
}

// A code counts once, and the one of the next step of the clock counts already: two in a row need no waiting.
function unusedCodes(secret: string): () => Promise<string> {
  const totp = new TOTP({ secret })
  let lastStep = 0
  return async () => {
    const step = Math.max(Math.floor(Date.now() / stepMs), lastStep + 1)
    const waitMs = (step - 1) * stepMs - Date.now()
    if (waitMs > 0) await Bun.sleep(waitMs)
    lastStep = step
    return totp.generate({ timestamp: step * stepMs })
  }
}
