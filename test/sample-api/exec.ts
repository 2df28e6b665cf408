// `kubectl exec` of the sample, over Kubernetes' WebSocket subprotocols v5 and v4. No process is started: `cat` gives
// back what it reads, `exit N` ends with that code, anything else is repeated as a line.

import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { acceptWebSocket } from './web-socket.ts'

/** First byte of every message: which stream the rest belongs to. 255 is v5's half-close of the stream it names. */
const channels = { stdin: 0, stdout: 1, stderr: 2, status: 3, resize: 4, close: 255 } as const
const protocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io']

export function answerExec(request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const offered = String(request.headers['sec-websocket-protocol'] ?? '').split(/\s*,\s*/)
  const protocol = protocols.find((name) => offered.includes(name))
  const key = request.headers['sec-websocket-key']
  if (protocol === undefined || key === undefined) {
    const message = 'the sample speaks v5.channel.k8s.io and v4.channel.k8s.io over WebSocket only'
    socket.end(
      `HTTP/1.1 400 Bad Request\r\nContent-Length: ${message.length}\r\nConnection: close\r\n\r\n${message}`,
    )
    return
  }
  const url = new URL(request.url ?? '/', 'https://sample')
  const command = url.searchParams.getAll('command')
  const wantsInput = url.searchParams.get('stdin') === 'true'

  const finish = (code: number) => {
    connection.send(Buffer.from([channels.status]), Buffer.from(JSON.stringify(exitStatus(code))))
    connection.close()
  }
  const say = (text: Uint8Array | string) =>
    connection.send(Buffer.from([channels.stdout]), Buffer.from(text))

  const connection = acceptWebSocket(
    socket,
    { key, protocol, head },
    {
      message(bytes) {
        if (command[0] !== 'cat') return
        if (bytes[0] === channels.stdin && bytes.length > 1) say(bytes.subarray(1))
        if (bytes[0] === channels.close && bytes[1] === channels.stdin) finish(0)
      },
      closed() {
        socket.destroy()
      },
    },
  )
  if (command[0] === 'exit') finish(Number(command[1] ?? 0))
  else if (command[0] !== 'cat' || !wantsInput) {
    say(`the sample would run: ${command.join(' ')}\n`)
    finish(0)
  }
}

function exitStatus(code: number): Record<string, unknown> {
  if (code === 0) return { metadata: {}, status: 'Success' }
  return {
    metadata: {},
    status: 'Failure',
    message: `command terminated with non-zero exit code: exit status ${code}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(code) }] },
  }
}
