import { afterEach, describe, expect, it } from 'bun:test'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { wireToDuplex } from './duplex.ts'
import {
  type Accepted,
  chooseProtocol,
  listen,
  type Listener,
  type ListenOptions,
  listenPlain,
} from './listen.ts'
import { testCertificate } from './testing/certificates.ts'

const authority = testCertificate({ name: 'servers' })
const userAuthority = testCertificate({ name: 'users' })
const server = testCertificate({ name: 'one', issuer: authority, hosts: ['one.example'] })
const second = testCertificate({ name: 'two', issuer: authority, hosts: ['two.example'] })
const user = testCertificate({ name: 'alice', issuer: userAuthority })

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function started(more: Partial<ListenOptions> = {}, route?: (accepted: Accepted) => void) {
  const accepted: Accepted[] = []
  const listener = await listen(
    {
      host: '127.0.0.1',
      port: 0,
      certificate: (name) => (name === 'two.example' ? second : server),
      clientAuthorities: () => [userAuthority.certificate],
      protocols: ['teleport-auth@*', 'h2', 'http/1.1'],
      ...more,
    },
    (one) => {
      accepted.push(one)
      if (route) return route(one)
      const stream = wireToDuplex(one.wire)
      stream.on('error', () => {})
      stream.pipe(stream)
    },
  )
  cleanups.push(() => listener[Symbol.asyncDispose]())
  return { listener, accepted }
}

function dial(listener: Listener, options: ConnectionOptions = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect(
      { port: listener.address.port, host: '127.0.0.1', ca: authority.certificate, ...options },
      () => resolve(socket),
    )
    socket.on('error', reject)
    cleanups.push(() => socket.destroy())
  })
}

async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; !condition(); round++) {
    if (round > 1000) throw new Error('waited too long')
    await Bun.sleep(2)
  }
}

const closed = (socket: Socket) =>
  new Promise<void>((resolve) => {
    socket.on('error', () => {})
    socket.once('close', () => resolve())
    socket.resume()
  })

describe('listen', () => {
  it('gives away what the handshake proved', async () => {
    const { listener, accepted } = await started()
    const socket = await dial(listener, {
      servername: 'one.example',
      cert: user.certificate + userAuthority.certificate,
      key: user.key,
      ALPNProtocols: ['http/1.1', 'h2'],
    })
    socket.write('echo')
    expect(String(await new Promise((resolve) => socket.once('data', resolve)))).toBe('echo')
    expect(accepted).toHaveLength(1)
    const { protocol, serverName, peer, client } = accepted[0] ?? {}
    expect({ protocol, serverName, client }).toEqual({
      protocol: 'h2',
      serverName: 'one.example',
      client: { host: '127.0.0.1', port: socket.localPort ?? 0 },
    })
    expect(peer).toEqual([user.der])
  })

  it('lets clients in that show nothing, or what nobody here knows', async () => {
    const { listener, accepted } = await started()
    const stranger = testCertificate({ name: 'mallory' })
    await dial(listener, { servername: 'one.example' })
    await dial(listener, { servername: 'one.example', cert: stranger.certificate, key: stranger.key })
    await until(() => accepted.length === 2)
    expect(accepted.map(({ peer, protocol }) => ({ peer, protocol }))).toEqual([
      { peer: [], protocol: '' },
      { peer: [stranger.der], protocol: '' },
    ])
  })

  it('refuses a client with none of its protocols', async () => {
    const { listener, accepted } = await started()
    expect(dial(listener, { servername: 'one.example', ALPNProtocols: ['ftp'] })).rejects.toThrow()
    await until(() => listener.connections === 0)
    expect(accepted).toEqual([])
  })

  it('has several certificates, and changes them while it runs', async () => {
    let current = server
    const { listener } = await started({
      certificate: (name) => (name === 'two.example' ? second : current),
    })
    const shown = async (servername: string) =>
      (await dial(listener, { servername, checkServerIdentity: () => undefined })).getPeerCertificate()
        .subject.CN
    expect([await shown('one.example'), await shown('two.example'), await shown('')]).toEqual([
      'one',
      'two',
      'one',
    ])
    current = testCertificate({ name: 'renewed', issuer: authority, hosts: ['one.example'] })
    listener.refresh()
    expect([await shown('one.example'), await shown('two.example'), await shown('')]).toEqual([
      'renewed',
      'two',
      'renewed',
    ])
  })

  it('closes a connection without a handshake, and one over the limit', async () => {
    const { listener } = await started({ handshakeDeadlineMs: 30, maxConnections: 1 })
    const silent = connectTcp(listener.address.port, '127.0.0.1')
    await until(() => listener.connections === 1)
    const extra = connectTcp(listener.address.port, '127.0.0.1')
    await closed(extra)
    await closed(silent)
    await until(() => listener.connections === 0)
  })

  it('survives garbage and clients that reset', async () => {
    const { listener } = await started()
    const garbage = connectTcp(listener.address.port, '127.0.0.1')
    garbage.write('GET / HTTP/1.0\r\n\r\n')
    await closed(garbage)
    const socket = await dial(listener, { servername: 'one.example' })
    await until(() => listener.connections === 1)
    socket.resetAndDestroy()
    await until(() => listener.connections === 0)
    expect((await dial(listener, { servername: 'one.example' })).authorized).toBe(true)
  })

  it('keeps the other direction open after a half-close', async () => {
    const { listener } = await started({}, ({ wire }) => {
      const stream = wireToDuplex(wire)
      stream.resume()
      stream.once('end', () => stream.end('after the end'))
    })
    const socket = await dial(listener, {
      servername: 'one.example',
      allowHalfOpen: true,
    } as ConnectionOptions)
    socket.end('last words')
    expect(String(await new Promise((resolve) => socket.once('data', resolve)))).toBe('after the end')
  })

  it('ends: waits for open connections, then resets what is left', async () => {
    const { listener, accepted } = await started()
    const socket = await dial(listener, { servername: 'one.example' })
    await until(() => accepted.length === 1)
    const gone = closed(socket)
    await listener.end(20)
    await gone
    expect(dial(listener)).rejects.toThrow()
  })

  it('names the address it could not have', async () => {
    const { listener } = await started()
    expect(started({ port: listener.address.port })).rejects.toThrow(
      `cannot listen on 127.0.0.1:${listener.address.port}: `,
    )
  })

  it('stops a writer whose client does not read', async () => {
    let written = 0
    const { listener, accepted } = await started({}, ({ wire }) => {
      const chunk = new Uint8Array(65_536)
      const more = () => {
        let taken = 0
        do {
          taken = wire.write(chunk, 0, chunk.length)
          written += taken
        } while (taken > 0)
      }
      wire.attach({ data: (_, start, end) => end - start, drained: more, ended() {}, closed() {} })
      more()
    })
    const socket = await dial(listener, { servername: 'one.example' })
    socket.pause()
    await until(() => accepted.length === 1)
    let before = -1
    await until(() => {
      const same = written === before
      before = written
      return same
    })
    expect(written).toBeLessThan(32 << 20)
  })
})

describe('listenPlain', () => {
  it('hands over connections without TLS', async () => {
    await using listener = await listenPlain({ host: '127.0.0.1', port: 0 }, ({ wire, peer, protocol }) => {
      wireToDuplex(wire).end(`${protocol} ${peer.length}`)
    })
    const socket = connectTcp(listener.address.port, '127.0.0.1')
    expect(String(await new Promise((resolve) => socket.once('data', resolve)))).toBe('http/1.1 0')
    socket.destroy()
  })
})

describe('chooseProtocol', () => {
  it.each([
    [['h2', 'http/1.1'], ['http/1.1', 'h2'], 'h2'],
    [['teleport-auth@*', 'h2'], ['h2', 'teleport-auth@6578'], 'teleport-auth@6578'],
    [['h2'], ['http/1.1'], undefined],
  ])('of %j for %j chooses %p', (served, offered, chosen) => {
    expect(chooseProtocol(served, offered)).toBe(chosen as never)
  })
})
