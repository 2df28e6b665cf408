import { describe, expect, it } from 'bun:test'
import { crc32, inflateSync } from 'node:zlib'
import { encode } from 'uqr'
import { page } from './pages.ts'
import { qrPng } from './qr.ts'

describe('page', () => {
  it.each([
    ['/web', 200, 'text/html; charset=utf-8'],
    ['/web/', 200, 'text/html; charset=utf-8'],
    ['/web/login', 200, 'text/html; charset=utf-8'],
    ['/web/cluster/root.example.com/kubernetes', 200, 'text/html; charset=utf-8'],
    [`/web/invite/${'a'.repeat(32)}`, 200, 'text/html; charset=utf-8'],
    [`/web/invite/${'a'.repeat(32)}/continue`, 200, 'text/html; charset=utf-8'],
    [`/web/reset/${'0'.repeat(32)}`, 200, 'text/html; charset=utf-8'],
    ['/web/msg/error/login', 200, 'text/html; charset=utf-8'],
    ['/web/style.css', 200, 'text/css; charset=utf-8'],
    ['/web/invite.js', 200, 'text/javascript; charset=utf-8'],
    ['/web/elsewhere', 404, 'text/html; charset=utf-8'],
    ['/web/invite/$(id)', 404, 'text/html; charset=utf-8'],
    ['/web/../etc/passwd', 404, 'text/html; charset=utf-8'],
  ])('%s: %d %s, with security headers', (path, status, type) => {
    const found = page(path)
    expect(found).toMatchObject({ status })
    expect(found?.headers).toEqual({
      'content-type': type,
      'cache-control': type.startsWith('text/html') ? 'no-store' : 'no-cache',
      'content-security-policy':
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'",
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'referrer-policy': 'no-referrer',
      'strict-transport-security': 'max-age=31536000; includeSubDomains',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'SAMEORIGIN',
    })
  })

  it('is none outside of /web', () => {
    for (const path of ['/', '/webapi/ping', '/website', '', 'web/login']) expect(page(path)).toBeUndefined()
  })

  it('needs no inline script or style, nothing from elsewhere, and only what is there', () => {
    const paths = [
      '/web',
      '/web/login',
      `/web/invite/${'a'.repeat(32)}`,
      '/web/x',
      '/web/msg/error/login/auth',
    ]
    for (const path of paths) {
      const body = page(path)?.body ?? ''
      expect(body).not.toMatch(/<script>|<style|style=|\son\w+=|https?:|\{\{/)
      const used = [...body.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, target]) => target ?? '')
      expect(used).toContain('/web/style.css')
      for (const target of used) expect([target, page(target)?.status]).toEqual([target, 200])
    }
  })
})

describe('qrPng', () => {
  it.each([
    ['a short text', 'otpauth://totp/root:alice?secret=JBSWY3DPEHPK3PXP'],
    ['a long one', `otpauth://totp/${'long.cluster.example.com:'.repeat(8)}alice?secret=JBSWY3DPEHPK3PXP`],
  ])('is a PNG of 456 pixels whose pixels are the code, of %s', (_, text) => {
    const png = Buffer.from(qrPng(text), 'base64')
    expect(png.subarray(1, 4).toString()).toBe('PNG')
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([456, 456])
    const length = png.readUInt32BE(33)
    expect(png.toString('latin1', 37, 41)).toBe('IDAT')
    expect(png.readUInt32BE(41 + length)).toBe(crc32(png.subarray(37, 41 + length)))
    const rows = inflateSync(png.subarray(41, 41 + length))
    const { data, size } = encode(text, { border: 4 })
    const scale = Math.floor(456 / size)
    const margin = Math.floor((456 - size * scale) / 2)
    for (let y = 0; y < 456; y++) {
      for (let x = 0; x < 456; x++) {
        const dark = data[Math.floor((y - margin) / scale)]?.[Math.floor((x - margin) / scale)] ?? false
        if ((rows[y * 457 + 1 + x] === 0) !== dark) throw new Error(`pixel ${x}, ${y} is wrong`)
      }
    }
  })

  it('refuses what would be smaller than its modules', () => {
    expect(() => qrPng('x'.repeat(5000))).toThrow()
  })
})
