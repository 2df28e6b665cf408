import { describe, expect, it } from 'bun:test'
import { connect, type ConnectionOptions, createServer, type TLSSocket } from 'node:tls'
import type { Duplex } from 'node:stream'
import { wireToDuplex } from '../net/duplex.ts'
import { createPair } from '../net/pair.ts'
import { testCertificate } from '../net/testing/certificates.ts'
import { guardTls } from './guarded-tls.ts'

const ca = testCertificate({ name: 'ca' })
const leaf = testCertificate({ name: 'server', issuer: ca, hosts: ['kube.example'] })

async function secured(): Promise<{ client: Duplex; server: TLSSocket }> {
  const [near, far] = createPair()
  const carrier = wireToDuplex(near)
  const listener = createServer({ cert: leaf.certificate, key: leaf.key, allowHalfOpen: true })
  const server = new Promise<TLSSocket>((resolve) => listener.once('secureConnection', resolve))
  listener.emit('connection', wireToDuplex(far))
  const options: ConnectionOptions & { allowHalfOpen: boolean } = {
    socket: carrier,
    servername: 'kube.example',
    ca: ca.certificate,
    allowHalfOpen: true,
  }
  const client = connect(options)
  await new Promise<void>((resolve, reject) => client.once('secureConnect', resolve).once('error', reject))
  return { client: guardTls(client, carrier), server: await server }
}

describe('guardTls', () => {
  it('stops a writer whose reader stands still, and loses nothing', async () => {
    const { client, server } = await secured()
    server.pause()
    const chunk = Buffer.alloc(64 * 1024, 'x')
    let written = 0
    for (let round = 0; round < 200; round++) {
      if (!client.writableNeedDrain) {
        client.write(chunk)
        written += chunk.length
      }
      await Bun.sleep(0)
    }
    expect(written).toBeLessThan(6 << 20)
    client.end()
    let read = 0
    server.on('data', (bytes: Buffer) => {
      read += bytes.length
    })
    server.resume()
    await new Promise((resolve) => server.once('end', resolve))
    expect(read).toBe(written)
  })

  it('passes on what comes, and the end', async () => {
    const { client, server } = await secured()
    server.once('data', (bytes) => server.end(`${bytes} and bye`))
    let text = ''
    client.on('data', (bytes) => {
      text += bytes
    })
    client.write('hello')
    await new Promise((resolve) => client.once('end', resolve))
    expect(text).toBe('hello and bye')
  })

  it('fails when the carrier is cut', async () => {
    const { client, server } = await secured()
    const failed = new Promise<Error>((resolve) => client.once('error', resolve))
    server.on('error', () => {})
    server.destroy()
    client.resume()
    client.write('x')
    expect(
      await Promise.race([failed, new Promise((resolve) => client.once('close', resolve))]),
    ).toBeDefined()
  })
})
