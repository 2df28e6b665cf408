// PEM blocks (RFC 7468).

/** A block of these bytes. */
export function toPem(label: string, der: Uint8Array): string {
  const text = Buffer.from(der).toString('base64')
  const lines: string[] = []
  for (let at = 0; at < text.length; at += 64) lines.push(text.slice(at, at + 64))
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

/** The bytes of the first block with this label. Throws a RangeError when there is none. */
export function fromPem(label: string, text: string): Uint8Array {
  const begin = `-----BEGIN ${label}-----`
  const start = text.indexOf(begin)
  const end = text.indexOf(`-----END ${label}-----`, start)
  if (start < 0 || end < 0) throw new RangeError(`text holds no PEM block ${label}`)
  const base64 = text.slice(start + begin.length, end).replace(/\s/g, '')
  const bytes = Buffer.from(base64, 'base64')
  if (bytes.toString('base64') !== base64) throw new RangeError(`PEM block ${label} is not base64`)
  return new Uint8Array(bytes)
}
