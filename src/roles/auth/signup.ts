// Invite and reset links: a secret that works once and for a while, with which its holder sets a password and a
// second factor.

import { randomBytes } from 'node:crypto'
import { accessDenied, badParameter, notFound } from '../../errors.ts'
import { formatDuration, parseDuration } from '../../resources/duration.ts'
import { CommitConflict, type Store } from '../../store/store.ts'
import { checkPasswordRules, type Passwords } from './passwords.ts'
import { matchTotp, newTotpKey } from './totp.ts'

interface StoredToken {
  readonly user: string
  readonly type: 'invite' | 'reset'
  readonly expires: number
  /** Of the page fetched last. */
  readonly totpSecret?: string
}

const longest = { invite: 48 * 3600_000, reset: 24 * 3600_000 }
const tokenKey = (token: string) => `/signup/${token}`

export interface SignupOptions {
  readonly store: Store
  readonly passwords: Passwords
  readonly clock?: () => number
}

export class Signups {
  readonly #store: Store
  readonly #passwords: Passwords
  readonly #clock: () => number

  constructor({ store, passwords, clock = Date.now }: SignupOptions) {
    this.#store = store
    this.#passwords = passwords
    this.#clock = clock
  }

  /** A new link; older ones of the same user stop working. */
  async create(
    user: string,
    type: 'invite' | 'reset',
    ttl: string,
  ): Promise<{ token: string; expires: string }> {
    const life = parseDuration(ttl)
    if (life > longest[type]) {
      const what = type === 'invite' ? 'user invite' : 'reset password'
      throw badParameter(
        `failed to create ${what} token: maximum token TTL is ${formatDuration(longest[type])} hours`,
      )
    }
    const token = randomBytes(16).toString('hex')
    const expires = this.#clock() + life
    const older = (await this.#store.list('/signup/')).filter(
      (item) => (item.value as StoredToken).user === user,
    )
    const value: StoredToken = { user, type, expires }
    await this.#store.commit(
      [],
      [...older.map(({ key }) => ({ delete: key })), { put: tokenKey(token), value, expires }],
    )
    return { token, expires: new Date(expires).toISOString() }
  }

  /** What the page shows; makes a new secret each time it is asked. */
  async page(
    token: string,
    { issuer, proxy, needsCode }: { issuer: string; proxy: string; needsCode: boolean },
  ) {
    const { item, stored } = await this.#find(token)
    const expires = new Date(stored.expires).toISOString()
    if (!needsCode)
      return { token, user: stored.user, expires, second_factor: 'off', otp_uri: '', otp_secret: '' }
    const { secret, uri } = newTotpKey(issuer, `${stored.user}@${proxy.replace(/:\d+$/, '')}`)
    await this.#store.commit(
      [{ key: item.key, revision: item.revision }],
      [{ put: item.key, value: { ...stored, totpSecret: secret }, expires: stored.expires }],
    )
    return { token, user: stored.user, expires, second_factor: 'otp', otp_uri: uri, otp_secret: secret }
  }

  /** Sets the credentials. The link is used up before they are set, so that two who hold it cannot both. */
  async complete(
    input: { token: string; password: string; otp_code?: string; device_name?: string },
    needsCode: boolean,
  ): Promise<string> {
    const { item, stored } = await this.#find(input.token)
    checkPasswordRules(input.password)
    const totp = needsCode ? this.#proven(stored, input) : undefined
    try {
      await this.#store.commit([{ key: item.key, revision: item.revision }], [{ delete: item.key }])
    } catch (error) {
      if (error instanceof CommitConflict) throw notFound('expired token', { cause: error })
      throw error
    }
    await this.#passwords.set(stored.user, input.password, totp)
    return stored.user
  }

  #proven(stored: StoredToken, { otp_code, device_name }: { otp_code?: string; device_name?: string }) {
    if (!otp_code)
      throw badParameter(`no second factor sent during user ${JSON.stringify(stored.user)} password reset`)
    const step =
      stored.totpSecret === undefined ? undefined : matchTotp(stored.totpSecret, otp_code, this.#clock())
    if (stored.totpSecret === undefined || step === undefined) throw accessDenied('invalid totp token')
    return { secret: stored.totpSecret, name: device_name || 'otp', lastStep: step }
  }

  async #find(token: string) {
    const item = /^[0-9a-f]{32}$/.test(token) ? await this.#store.get(tokenKey(token)) : undefined
    if (!item) throw notFound('expired token')
    return { item, stored: item.value as StoredToken }
  }
}
