import { describe, expect, it } from 'bun:test'
import { inflateSync } from 'node:zlib'
import { encode } from 'uqr'
import { page } from './pages.ts'
import { qrPng } from './qr.ts'

describe('page', () => {
  it.each([
    ['/web', 200, 'text/html; charset=utf-8'],
    ['/web/login', 200, 'text/html; charset=utf-8'],
    [`/web/invite/${'a'.repeat(32)}`, 200, 'text/html; charset=utf-8'],
    [`/web/reset/${'0'.repeat(32)}`, 200, 'text/html; charset=utf-8'],
    ['/web/style.css', 200, 'text/css; charset=utf-8'],
    ['/web/invite.js', 200, 'text/javascript; charset=utf-8'],
    ['/web/elsewhere', 404, 'text/html; charset=utf-8'],
    ['/web/invite/$(id)', 404, 'text/html; charset=utf-8'],
  ])('%s: %d %s, with security headers', (path, status, type) => {
    const found = page(path)
    expect(found).toMatchObject({ status })
    expect(found?.headers).toMatchObject({
      'content-type': type,
      'x-frame-options': 'SAMEORIGIN',
      'x-content-type-options': 'nosniff',
    })
    expect(found?.headers['content-security-policy']).toStartWith("default-src 'self';")
  })

  it('is none outside of /web', () => {
    expect(page('/')).toBeUndefined()
    expect(page('/webapi/ping')).toBeUndefined()
  })

  it('needs no inline script or style, and nothing from elsewhere', () => {
    for (const path of ['/web', `/web/invite/${'a'.repeat(32)}`, '/web/x']) {
      expect(page(path)?.body).not.toMatch(/<script>|<style|style=|onclick|https?:\/\//)
    }
  })
})

describe('qrPng', () => {
  it('is a PNG of 456 pixels whose pixels are the code', () => {
    const text = 'otpauth://totp/root:alice?secret=JBSWY3DPEHPK3PXP'
    const png = Buffer.from(qrPng(text), 'base64')
    expect(png.subarray(1, 4).toString()).toBe('PNG')
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([456, 456])
    const length = png.readUInt32BE(33)
    expect(png.toString('latin1', 37, 41)).toBe('IDAT')
    const raw = inflateSync(png.subarray(41, 41 + length))
    const { data, size } = encode(text, { border: 2 })
    for (let row = 0; row < size; row++) {
      for (let column = 0; column < size; column++) {
        const x = Math.floor(((column + 0.5) * 456) / size)
        const y = Math.floor(((row + 0.5) * 456) / size)
        expect(raw[y * 457 + 1 + x]).toBe(data[row]?.[column] ? 0 : 255)
      }
    }
  })
})
