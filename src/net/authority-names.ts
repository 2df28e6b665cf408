// Which authorities a server names when it asks for a certificate. The names share one field of the TLS handshake
// that holds 64 KiB; a list that does not fit breaks every handshake.

import { X509Certificate } from 'node:crypto'

/** RFC 8446 4.2.4: all names together, each with a length of two bytes; 1 KiB stays for the message around them. */
export const authorityNamesLimit = 65_535 - 1024

/** Names every authority, or the local ones alone when all of them would not fit. */
export function announcedAuthorities(local: readonly string[], trusted: readonly string[]): string[] {
  const all = [...local, ...trusted]
  const size = all.reduce((sum, pem) => sum + 2 + subjectLength(pem), 0)
  return size <= authorityNamesLimit ? all : [...local]
}

/** Bytes of a certificate's subject in DER. */
export function subjectLength(pem: string): number {
  const der = new X509Certificate(pem).raw
  // Certificate and its body are opened, the version is optional, then four fields stand before the subject.
  let at = header(der, header(der, 0).content).content
  if (der[at] === 0xa0) at = header(der, at).end
  for (let field = 0; field < 4; field++) at = header(der, at).end
  return header(der, at).end - at
}

// The platform has parsed this certificate before: lengths are well-formed.
function header(der: Buffer, at: number): { content: number; end: number } {
  const first = der.readUInt8(at + 1)
  const extra = first < 128 ? 0 : first - 128
  const content = at + 2 + extra
  return { content, end: content + (extra === 0 ? first : der.readUIntBE(at + 2, extra)) }
}
