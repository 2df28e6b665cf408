// Passwords and second factors of local users: hashes, one-time codes that count once, and the lock after too many
// failures. Unknown users cost as much time as known ones.

import { accessDenied, badParameter, limitExceeded } from '../../errors.ts'
import type { Store } from '../../store/store.ts'
import { matchTotp } from './totp.ts'

export const shortestPassword = 12
export const longestPassword = 128
const failuresAllowed = 5
const attemptWindowMs = 30 * 60_000
const lockMs = 30 * 60_000

/** One answer for every kind of wrong: nobody learns which part it was. */
export const wrongCredentials = 'invalid username, password or second factor'

interface StoredCredentials {
  readonly hash: string
  readonly totp?: { readonly secret: string; readonly name: string; readonly lastStep: number }
}

interface StoredAttempts {
  readonly failures: readonly number[]
  readonly lockedUntil: number
}

const credentialsKey = (user: string) => `/credentials/${user}`
const attemptsKey = (user: string) => `/attempts/${user}`

// Of a password nobody has; verified when there is no user, so that both answers take the same time.
const nobody = Bun.password.hash('nobody has this password', { algorithm: 'bcrypt', cost: 10 })

export function checkPasswordRules(password: string): void {
  const length = Buffer.byteLength(password)
  if (length < shortestPassword)
    throw badParameter(`password is too short, min length is ${shortestPassword}`)
  if (length > longestPassword) throw badParameter(`password is too long, max length is ${longestPassword}`)
}

export interface PasswordsOptions {
  readonly store: Store
  readonly clock?: () => number
}

export class Passwords {
  readonly #store: Store
  readonly #clock: () => number

  constructor({ store, clock = Date.now }: PasswordsOptions) {
    this.#store = store
    this.#clock = clock
  }

  /** Sets both, and forgets failures. `totp` is the step of the code that proved the secret, so that it counts once. */
  async set(
    user: string,
    password: string,
    totp?: { secret: string; name: string; lastStep: number },
  ): Promise<void> {
    checkPasswordRules(password)
    const hash = await hashPassword(password)
    const value: StoredCredentials = { hash, ...(totp ? { totp } : {}) }
    await this.#store.commit([], [{ put: credentialsKey(user), value }, { delete: attemptsKey(user) }])
  }

  /** A new password; the second factor stays. */
  async change(user: string, password: string): Promise<void> {
    checkPasswordRules(password)
    const item = await this.#store.get(credentialsKey(user))
    const stored = item?.value as StoredCredentials | undefined
    if (!item || !stored) throw accessDenied(wrongCredentials)
    const value: StoredCredentials = { ...stored, hash: await hashPassword(password) }
    await this.#store.commit([{ key: item.key, revision: item.revision }], [{ put: item.key, value }])
  }

  async wipe(user: string): Promise<void> {
    await this.#store.commit([], [{ delete: credentialsKey(user) }, { delete: attemptsKey(user) }])
  }

  /** Throws unless the password and, where one is wanted, the code are right. Counts failures. */
  async check(
    user: string,
    password: string,
    { code, needsCode }: { code: string | undefined; needsCode: 'never' | 'if-there' | 'always' },
  ): Promise<void> {
    const attempts = await this.#attempts(user)
    if (attempts.lockedUntil > this.#clock())
      throw accessDenied('too many incorrect attempts, please try again later')
    const item = await this.#store.get(credentialsKey(user))
    const stored = item?.value as StoredCredentials | undefined
    const right = await Bun.password.verify(bounded(password), stored?.hash ?? (await nobody))
    const step = this.#codeStep(stored, { code, needsCode })
    if (!stored || !right || step === 'wrong') {
      await this.#failed(user, attempts)
      throw accessDenied(wrongCredentials)
    }
    if (typeof step === 'number' && item && stored.totp) {
      const used: StoredCredentials = { ...stored, totp: { ...stored.totp, lastStep: step } }
      // Of two logins with one code at the same time, one wins.
      await this.#store.commit([{ key: item.key, revision: item.revision }], [{ put: item.key, value: used }])
    }
    if (attempts.failures.length > 0) await this.#store.commit([], [{ delete: attemptsKey(user) }])
  }

  #codeStep(
    stored: StoredCredentials | undefined,
    { code, needsCode }: { code: string | undefined; needsCode: 'never' | 'if-there' | 'always' },
  ): number | 'none' | 'wrong' {
    if (needsCode === 'never' || (needsCode === 'if-there' && !stored?.totp)) return 'none'
    if (!stored?.totp || code === undefined) return 'wrong'
    const step = matchTotp(stored.totp.secret, code, this.#clock())
    return step === undefined || step <= stored.totp.lastStep ? 'wrong' : step
  }

  async #attempts(user: string): Promise<StoredAttempts> {
    const item = await this.#store.get(attemptsKey(user))
    return (item?.value as StoredAttempts | undefined) ?? { failures: [], lockedUntil: 0 }
  }

  async #failed(user: string, before: StoredAttempts): Promise<void> {
    const now = this.#clock()
    const failures = [...before.failures.filter((at) => at > now - attemptWindowMs), now].slice(
      -failuresAllowed,
    )
    const lockedUntil = failures.length >= failuresAllowed ? now + lockMs : 0
    await this.#store.commit(
      [],
      [{ put: attemptsKey(user), value: { failures, lockedUntil }, expires: now + attemptWindowMs + lockMs }],
    )
  }
}

async function hashPassword(password: string): Promise<string> {
  return Bun.password.hash(bounded(password), { algorithm: 'argon2id', memoryCost: 19_456, timeCost: 2 })
}

function bounded(password: string): string {
  if (Buffer.byteLength(password) > 4096) throw limitExceeded('password is too long')
  return password
}
