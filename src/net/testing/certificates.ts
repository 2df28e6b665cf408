// Certificates for tests, made without any program of the machine: P-256, one name, short lived. Never used by the
// product, whose certificates are written by the identity room.

import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIP } from 'node:net'

export interface TestCertificate {
  /** PEM. */
  readonly certificate: string
  readonly key: string
  readonly der: Uint8Array
  readonly name: string
  readonly privateKey: KeyObject
}

export interface TestCertificateOptions {
  /** Common name. */
  name: string
  /** Who signs; absent: the certificate signs itself and is an authority. */
  issuer?: TestCertificate
  /** Host names and IP addresses. */
  hosts?: readonly string[]
  authority?: boolean
  notAfter?: Date
}

const day = 86_400_000
const encode = (tag: number, ...parts: Uint8Array[]): Buffer => {
  const content = Buffer.concat(parts)
  const length: number[] = []
  if (content.length < 128) length.push(content.length)
  else {
    for (let rest = content.length; rest > 0; rest >>= 8) length.unshift(rest & 255)
    length.unshift(128 + length.length)
  }
  return Buffer.concat([Uint8Array.of(tag, ...length), content])
}
const sequence = (...parts: Uint8Array[]) => encode(0x30, ...parts)
const text = (tag: number, value: string) => encode(tag, Buffer.from(value))
const oid = (hex: string) => encode(6, Buffer.from(hex, 'hex'))
const flag = (value: boolean) => encode(1, Uint8Array.of(value ? 255 : 0))
const bits = (bytes: Uint8Array) => encode(3, Uint8Array.of(0), bytes)
const ecdsaWithSha256 = sequence(oid('2a8648ce3d040302'))
const nameOf = (name: string) => sequence(encode(0x31, sequence(oid('550403'), text(12, name))))
const time = (date: Date) => text(24, `${date.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`)

/** Makes a certificate and its key. */
export function testCertificate(options: TestCertificateOptions): TestCertificate {
  const { name, issuer, hosts = [] } = options
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const extensions = [
    sequence(
      oid('551d13'),
      flag(true),
      encode(4, sequence(...((options.authority ?? !issuer) ? [flag(true)] : []))),
    ),
  ]
  if (hosts.length > 0) extensions.push(sequence(oid('551d11'), encode(4, sequence(...hosts.map(hostName)))))
  const body = sequence(
    encode(0xa0, encode(2, Uint8Array.of(2))),
    encode(2, Uint8Array.of(1), randomBytes(15)),
    ecdsaWithSha256,
    nameOf(issuer?.name ?? name),
    sequence(time(new Date(Date.now() - day)), time(options.notAfter ?? new Date(Date.now() + day))),
    nameOf(name),
    publicKey.export({ type: 'spki', format: 'der' }),
    encode(0xa3, sequence(...extensions)),
  )
  const signature = sign('sha256', body, issuer?.privateKey ?? privateKey)
  const der = sequence(body, ecdsaWithSha256, bits(signature))
  const lines = (der.toString('base64').match(/.{1,64}/g) ?? []).join('\n')
  return {
    certificate: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
    key: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
    der: new Uint8Array(der),
    name,
    privateKey,
  }
}

function hostName(host: string): Buffer {
  if (isIP(host) === 4) return encode(0x87, Uint8Array.from(host.split('.').map(Number)))
  return text(0x82, host)
}
