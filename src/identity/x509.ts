// The only importer of the general X.509 library: slow, complete, and written by others. It reads certificate
// requests, which come seldom and from anyone, and tells tests how a stranger reads our certificates. Import it
// lazily; nothing on the path of a request needs it.

import 'reflect-metadata' // must be there before the library is
import { Pkcs10CertificateRequest, X509Certificate } from '@peculiar/x509'
import { badParameter, messageOf } from '../errors.ts'
import { parsePublicKey } from './keys.ts'

/** A request holds a key, a name and a signature. */
const maxRequestBytes = 64 * 1024

/** The public key (SPKI PEM) of a certificate request whose sender proved to have the private one. */
export async function publicKeyOfRequest(pem: string): Promise<string> {
  if (pem.length > maxRequestBytes) throw badParameter('certificate request is too large')
  const { request, proven } = await readRequest(pem)
  if (!proven) throw badParameter('certificate request is not signed by its key')
  const publicKey = request.publicKey.toString('pem')
  parsePublicKey(publicKey)
  return publicKey
}

async function readRequest(pem: string) {
  try {
    const request = new Pkcs10CertificateRequest(pem)
    return { request, proven: await request.verify() }
  } catch (cause) {
    throw badParameter(`certificate request is malformed: ${messageOf(cause)}`, { cause })
  }
}

export interface Reading {
  /** By object identifier or short name; each value on its own. */
  readonly subject: readonly Readonly<Record<string, readonly string[]>>[]
  /** Object identifiers, in order. */
  readonly extensions: readonly { readonly oid: string; readonly critical: boolean }[]
  /** Whether the signature is that of this authority. */
  readonly signed: boolean
}

/** How the library reads a certificate. */
export async function readWithLibrary(pem: string, { authority }: { authority: string }): Promise<Reading> {
  const certificate = new X509Certificate(pem)
  const publicKey = new X509Certificate(authority).publicKey
  return {
    subject: certificate.subjectName.toJSON(),
    extensions: certificate.extensions.map(({ type, critical }) => ({ oid: type, critical })),
    signed: await certificate.verify({ publicKey, signatureOnly: true }),
  }
}
