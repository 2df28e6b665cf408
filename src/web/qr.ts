// QR codes as PNG pictures: what the invite page and old clients show for a TOTP secret.

import { crc32, deflateSync } from 'node:zlib'
import { encode } from 'uqr'

/** What clients have always been given. */
const size = 456
/** Modules of white around the code (ISO/IEC 18004). */
const border = 4

/** A black and white PNG of 456 × 456 pixels, base64. */
export function qrPng(text: string): string {
  const { data, size: modules } = encode(text, { border })
  // Modules of equal size, in the middle: scanners dislike it when some are a pixel larger.
  const scale = Math.floor(size / modules)
  if (scale === 0) throw new RangeError('text is too long for a QR code of this size')
  const margin = Math.floor((size - modules * scale) / 2)
  const isDark = (x: number, y: number) =>
    data[Math.floor((y - margin) / scale)]?.[Math.floor((x - margin) / scale)] === true
  // Each row begins with the number of its filter, none; then comes one byte per pixel.
  const rows = Buffer.alloc(size * (1 + size), 0xff)
  for (let y = 0; y < size; y++) {
    rows[y * (1 + size)] = 0
    for (let x = 0; x < size; x++) if (isDark(x, y)) rows[y * (1 + size) + 1 + x] = 0
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(size, 0)
  header.writeUInt32BE(size, 4)
  // Eight bits a pixel, shades of grey.
  header[8] = 8
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  const chunks = [chunk('IHDR', header), chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))]
  return Buffer.concat([signature, ...chunks]).toString('base64')
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(data.length, 0)
  const checksum = Buffer.alloc(4)
  checksum.writeUInt32BE(crc32(body), 0)
  return Buffer.concat([length, body, checksum])
}
