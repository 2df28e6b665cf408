// One-time codes (RFC 6238): SHA-1, six digits, thirty seconds, one step of skew either way. The only importer of
// the library.

import { Secret, TOTP } from 'otpauth'

const stepSeconds = 30

export interface TotpKey {
  readonly secret: string
  /** `otpauth://…`, for QR codes. */
  readonly uri: string
}

export function newTotpKey(issuer: string, account: string): TotpKey {
  const totp = totpOf(new Secret({ size: 20 }).base32, { issuer, account })
  return { secret: totp.secret.base32, uri: totp.toString() }
}

/** The step of the clock this code is for, or undefined when it is for none near now. */
export function matchTotp(secret: string, code: string, now: number): number | undefined {
  if (!/^\d{6}$/.test(code)) return undefined
  const delta = totpOf(secret).validate({ token: code, timestamp: now, window: 1 })
  return delta === null ? undefined : Math.floor(now / 1000 / stepSeconds) + delta
}

function totpOf(
  secret: string,
  { issuer = '', account = '' }: { issuer?: string; account?: string } = {},
): TOTP {
  return new TOTP({
    issuer,
    label: account,
    algorithm: 'SHA1',
    digits: 6,
    period: stepSeconds,
    secret: Secret.fromBase32(secret),
  })
}
