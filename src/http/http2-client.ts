// The client's half over HTTP/2.

import type { ServerHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import type { ClientSide } from './client-side.ts'
import { fromRaw, headerValue, toRecord } from './headers.ts'
import { noKick, sessionKick } from './pump.ts'

const endStreamFlag = 1

export function http2Client(
  stream: ServerHttp2Stream,
  { flags, raw, carrier }: { flags: number; raw: readonly string[]; carrier: Duplex },
): ClientSide {
  const pseudo = (name: string) => {
    const index = raw.indexOf(name)
    return index < 0 ? '' : (raw[index + 1] ?? '')
  }
  const headers = fromRaw(raw)
  let finished = false
  let mustContinue = headerValue(headers, 'expect')?.toLowerCase() === '100-continue'
  let trailers: Parameters<ClientSide['finish']>[0] = []
  stream.once('wantTrailers', () => {
    // Closing here instead would reset the stream, which Go's client takes for an error.
    if (!stream.destroyed) stream.sendTrailers(toRecord(trailers))
  })
  return {
    request: {
      method: pseudo(':method'),
      target: pseudo(':path'),
      authority: pseudo(':authority') || (headerValue(headers, 'host') ?? ''),
      headers,
      protocol: 'h2',
      hasBody: (flags & endStreamFlag) === 0,
      upgrade: '',
    },
    get body() {
      if (mustContinue && !stream.headersSent && !stream.destroyed)
        stream.additionalHeaders({ ':status': 100 })
      mustContinue = false
      return stream
    },
    response: stream,
    kick: stream.session ? sessionKick(stream.session, carrier) : noKick,
    respond: (head, last) => {
      if (stream.destroyed || stream.headersSent) return
      stream.respond(
        { ...toRecord(head.headers), ':status': head.status },
        { endStream: last, waitForTrailers: !last },
      )
      if (last) finished = true
    },
    finish: (list) => {
      finished = true
      trailers = list
      stream.end()
    },
    cut: () => {
      // Ending or closing with a code would let what was sent so far pass for the whole.
      if (!stream.destroyed) stream.destroy(new Error('response was cut'))
    },
    onGone: (callback) => {
      stream.once('close', () => {
        if (!finished || stream.rstCode !== 0) callback()
      })
    },
  }
}
