// Authorities for tests.

import type { KeyObject } from 'node:crypto'
import { type Authority, loadAuthority } from '../authority.ts'
import { octetString } from '../der.ts'
import { encodeCertificate } from '../encode-certificate.ts'
import { encodeName } from '../name.ts'
import { toPem } from '../pem.ts'
import { forge, withExtension } from './forge.ts'

export interface ImportedAuthority {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
  readonly notBefore: number
  readonly notAfter: number
}

/** The key identifier of every imported authority: not computed in our way. */
export const importedKeyId = Uint8Array.of(1, 2, 3)

/** An authority that others made: any kind of key, called `imported`, with its own key identifier. */
export function importedAuthority(options: ImportedAuthority): Authority {
  const { publicKey, privateKey, notBefore, notAfter } = options
  const name = encodeName([['2.5.4.3', 'imported']])
  const own = encodeCertificate(
    { name, key: privateKey },
    { subject: name, publicKey, notBefore, notAfter, purposes: 'authority', names: [] },
  )
  const stored = (der: Uint8Array) => ({
    certificate: toPem('CERTIFICATE', der),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  })
  const keyId = { oid: '2.5.29.14', value: octetString(importedKeyId) }
  const edit = (fields: Uint8Array[]) => withExtension(fields, keyId)
  return loadAuthority(stored(forge(own, { authority: loadAuthority(stored(own)), edit })))
}
