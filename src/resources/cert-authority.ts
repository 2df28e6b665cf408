// Certificate authorities as resources: certificates for everyone who must trust them; keys only where they sign.

import { badParameter } from '../errors.ts'
import { parseEnvelope, resourceOf } from './envelope.ts'
import type { Resource } from './resource.ts'

export const authorityTypes = ['user', 'host', 'jwt'] as const
export type AuthorityType = (typeof authorityTypes)[number]

export interface AuthorityKey {
  /** PEM. A certificate, or the public key of an authority that issues none. */
  readonly cert: string
  /** PEM; absent when secrets are left out. */
  readonly key?: string
}

export interface CertAuthoritySpec {
  readonly type: AuthorityType
  readonly cluster_name: string
  readonly active_keys: { readonly tls: readonly AuthorityKey[] }
}

export type CertAuthority = Resource<'cert_authority', CertAuthoritySpec>

export function parseCertAuthority(value: unknown): CertAuthority {
  const envelope = parseEnvelope(value, { kind: 'cert_authority', versions: ['v2'] })
  const spec = envelope.fields.nested('spec', (fields): CertAuthoritySpec => {
    const text = fields.text('type')
    const type = authorityTypes.find((one) => one === text)
    if (!type)
      throw badParameter(`authority type ${JSON.stringify(text)} is not supported`, {
        hint: `use one of ${authorityTypes.join(', ')}`,
      })
    const tls = fields.nested('active_keys', (keys) =>
      keys.list('tls', (one): AuthorityKey => {
        const key = one.optionalText('key')
        return { cert: one.text('cert'), ...(key ? { key } : {}) }
      }),
    )
    return { type, cluster_name: fields.text('cluster_name'), active_keys: { tls } }
  })
  return resourceOf(envelope, spec)
}
