// What can be told of an exec, attach or port-forward from the bytes that pass: how a command ended, and which ports
// were used. Works on copies; whatever it does not understand, the traffic goes on.

import type { UpgradeTap } from '../http/exchange.ts'
import { SpdyFrames } from './spdy-frames.ts'
import { closeFrame, serverMessage, WebSocketFrames } from './websocket-frames.ts'

/** How a command ended: the exit code, and the error text unless it is 0. */
export interface CommandEnd {
  readonly exitCode: string
  readonly error?: string
}

export interface StreamObserver extends UpgradeTap {
  /** Call when the stream is over: waits for what is still being looked at. */
  finished(): Promise<void>
  /** Undefined when the stream ended without saying. */
  commandEnd(): CommandEnd | undefined
  /** Bytes that tell the client why it is cut off, where its protocol has a way to; empty otherwise. */
  farewell(message: string): Uint8Array
}

export interface ObserverOptions {
  /** Upgrade header: `websocket` or `spdy/3.1`. */
  readonly upgrade: string
  /** The subprotocol the server has chosen, for WebSockets. */
  readonly subprotocol: string
  readonly kind: 'exec' | 'attach' | 'portforward'
  /** Called once for each port of a port-forward. */
  readonly onPort: (port: number) => void
  /** Ports named in the request's query. */
  readonly ports: readonly number[]
}

const errorChannel = 3
const tunnelled = 'SPDY/3.1+portforward.k8s.io'

export function observeStream(options: ObserverOptions): StreamObserver {
  if (options.upgrade === 'websocket' && options.subprotocol !== tunnelled) return observeWebSocket(options)
  return observeSpdy(options)
}

function observeWebSocket({ subprotocol, kind, ports, onPort }: ObserverOptions): StreamObserver {
  const base64 = subprotocol.includes('base64')
  let end: CommandEnd | undefined
  const frames = new WebSocketFrames(({ payload }) => {
    const channel = base64 ? (payload[0] ?? 0) - 0x30 : payload[0]
    if (channel !== errorChannel || payload.length <= 1) return
    const text = Buffer.from(payload.subarray(1)).toString('utf8')
    end = parseStatus(base64 ? Buffer.from(text, 'base64').toString('utf8') : text)
  })
  if (kind === 'portforward') for (const port of new Set(ports)) onPort(port)
  return {
    fromClient: () => {},
    fromServer: (bytes) => frames.push(bytes),
    finished: async () => {},
    commandEnd: () => end,
    farewell: (message) => {
      if (kind === 'portforward') return closeFrame
      const status = Buffer.from(JSON.stringify(failure(message)))
      const body = base64
        ? Buffer.from(`${errorChannel}${status.toString('base64')}`)
        : Buffer.concat([Buffer.from([errorChannel]), status])
      return Buffer.concat([serverMessage(body), closeFrame])
    },
  }
}

function observeSpdy({ upgrade, kind, onPort }: ObserverOptions): StreamObserver {
  const errorStreams = new Set<number>()
  const ports = new Set<number>()
  let end: CommandEnd | undefined
  let text = ''
  const order = { tail: Promise.resolve() }
  const client = new SpdyFrames(
    {
      opened: (id, headers) => {
        if (headers.get('streamtype') === 'error') errorStreams.add(id)
        const port = Number(headers.get('port'))
        if (kind !== 'portforward' || !(port > 0) || ports.has(port)) return
        ports.add(port)
        onPort(port)
      },
    },
    order,
  )
  const server = new SpdyFrames(
    {
      data: (id, bytes) => {
        if (kind === 'portforward' || !errorStreams.has(id) || text.length > 64 * 1024) return
        text += Buffer.from(bytes).toString('utf8')
        end = parseStatus(text) ?? end
      },
    },
    order,
  )
  // Inside a WebSocket the SPDY bytes are the payloads of its messages.
  const unwrap = (to: SpdyFrames) => {
    if (upgrade !== 'websocket') return (bytes: Uint8Array) => to.push(bytes)
    const frames = new WebSocketFrames(({ payload }) => to.push(payload))
    return (bytes: Uint8Array) => frames.push(bytes)
  }
  const [fromClient, fromServer] = [unwrap(client), unwrap(server)]
  return {
    fromClient,
    fromServer,
    finished: async () => {
      await client.settled()
      await server.settled()
    },
    commandEnd: () => end,
    farewell: (message) => {
      const [stream] = errorStreams
      if (upgrade === 'websocket') return closeFrame
      return kind === 'portforward' || stream === undefined
        ? new Uint8Array()
        : spdyData(stream, Buffer.from(JSON.stringify(failure(message))))
    },
  }
}

/** A last DATA frame (FLAG_FIN) on a stream. */
function spdyData(streamId: number, body: Uint8Array): Uint8Array {
  const header = Buffer.alloc(8)
  header.writeUInt32BE(streamId, 0)
  header.writeUIntBE((1 << 24) | body.length, 4, 4)
  return Buffer.concat([header, body])
}

function failure(message: string) {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason: 'Forbidden',
    code: 403,
  }
}

/** The Status that ends a command, from version 4 of the protocol on. */
function parseStatus(text: string): CommandEnd | undefined {
  let status: unknown
  try {
    status = JSON.parse(text)
  } catch {
    // Not whole yet, or the plain text of an old protocol.
    return undefined
  }
  if (typeof status !== 'object' || status === null || !('status' in status)) return undefined
  if (status.status === 'Success') return { exitCode: '0' }
  const message = 'message' in status && typeof status.message === 'string' ? status.message : 'failed'
  return { exitCode: exitCodeOf(status) ?? ('code' in status ? String(status.code) : '1'), error: message }
}

function exitCodeOf(status: object): string | undefined {
  const details = 'details' in status ? status.details : undefined
  const causes =
    typeof details === 'object' && details !== null && 'causes' in details ? details.causes : undefined
  if (!Array.isArray(causes)) return undefined
  for (const cause of causes as unknown[]) {
    if (
      typeof cause === 'object' &&
      cause !== null &&
      'reason' in cause &&
      cause.reason === 'ExitCode' &&
      'message' in cause
    )
      return String(cause.message)
  }
  return undefined
}
