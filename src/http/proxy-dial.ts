// Reaching a server through another: an HTTP proxy's CONNECT, with or without TLS and a password.

import { connect as connectTcp } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { badParameter, connectionProblem, messageOf } from '../errors.ts'

const timeoutMs = 15_000
const answerLimit = 16 * 1024

/** A connection to `to` through the proxy at this URL (`http://` or `https://`). */
export async function dialThroughProxy(proxy: string, to: { host: string; port: number }): Promise<Duplex> {
  const url = new URL(proxy)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw badParameter(`proxy-url ${url.protocol}//… is not supported`, {
      hint: 'use an http:// or https:// proxy',
    })
  }
  const secure = url.protocol === 'https:'
  const target = { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || (secure ? 443 : 80)) }
  const socket = secure ? connectTls({ ...target, servername: target.host }) : connectTcp(target)
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown) => {
      clearTimeout(timer)
      socket.destroy()
      reject(connectionProblem(`proxy ${target.host}:${target.port}: ${messageOf(cause)}`, { cause }))
    }
    const timer = setTimeout(() => fail(new Error('no answer in time')), timeoutMs)
    socket.once('error', fail)
    socket.once('close', () => fail(new Error('closed the connection')))
    socket.once(secure ? 'secureConnect' : 'connect', () => socket.write(connectRequest(url, to)))
    let answer = Buffer.alloc(0)
    const onData = (chunk: Buffer) => {
      answer = Buffer.concat([answer, chunk])
      const end = answer.indexOf('\r\n\r\n')
      if (end < 0) return answer.length > answerLimit ? fail(new Error('answer is too long')) : undefined
      socket.off('data', onData)
      socket.pause()
      const line = answer.subarray(0, answer.indexOf('\r\n')).toString('latin1')
      if (!/^HTTP\/1\.[01] 2\d\d/.test(line)) return fail(new Error(`answered ${JSON.stringify(line)}`))
      clearTimeout(timer)
      socket.removeAllListeners('error').removeAllListeners('close')
      if (answer.length > end + 4) socket.unshift(answer.subarray(end + 4))
      resolve(socket)
    }
    socket.on('data', onData)
  })
}

function connectRequest(url: URL, { host, port }: { host: string; port: number }): string {
  const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`
  const credentials = Buffer.from(
    `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`,
  ).toString('base64')
  const authorization = url.username ? `Proxy-Authorization: Basic ${credentials}\r\n` : ''
  return `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${authorization}\r\n`
}
