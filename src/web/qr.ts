// QR codes as PNG pictures: what the invite page and old clients show for a TOTP secret.

import { crc32, deflateSync } from 'node:zlib'
import { encode } from 'uqr'

const size = 456

/** A black and white PNG of 456 × 456 pixels, base64. */
export function qrPng(text: string): string {
  const { data, size: modules } = encode(text, { border: 2 })
  // One byte per row says that it is not filtered; then one byte per pixel.
  const raw = Buffer.alloc(size * (size + 1), 0xff)
  for (let y = 0; y < size; y++) {
    raw[y * (size + 1)] = 0
    const row = data[Math.floor((y * modules) / size)]
    for (let x = 0; x < size; x++)
      if (row?.[Math.floor((x * modules) / size)]) raw[y * (size + 1) + 1 + x] = 0
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(size, 0)
  header.writeUInt32BE(size, 4)
  // Eight bits a pixel, shades of grey.
  header.set([8, 0, 0, 0, 0], 8)
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(raw)),
    chunk('IEND', Buffer.alloc(0)),
  ]).toString('base64')
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(data.length, 0)
  const checksum = Buffer.alloc(4)
  checksum.writeUInt32BE(crc32(body), 0)
  return Buffer.concat([length, body, checksum])
}
