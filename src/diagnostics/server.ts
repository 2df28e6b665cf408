// The diagnostics listener (`--diag-addr`): health, readiness and metrics over plain HTTP, for probes and
// scrapers. It answers fixed paths only and knows nothing of what the process does.

import type { AddressInfo } from 'node:net'
import { createServer, type ServerResponse } from 'node:http'
import { connectionProblem, messageOf } from '../errors.ts'
import { metrics, metricsText } from '../metrics.ts'
import type { ComponentState, ProcessState } from './process-state.ts'

const readiness: Record<ComponentState, { code: number; status: string }> = {
  ok: { code: 200, status: 'ok' },
  degraded: { code: 503, status: 'teleport is in a degraded state, check logs for details' },
  recovering: { code: 400, status: 'teleport is recovering from a degraded state, check logs for details' },
  starting: { code: 400, status: "teleport is starting and hasn't joined the cluster yet" },
}

export interface DiagnosticsServer extends AsyncDisposable {
  readonly address: { readonly host: string; readonly port: number }
}

/** Listens until disposed of. Throws `connection-problem` when the address cannot be had. */
export async function serveDiagnostics(
  address: { host: string; port: number },
  state: ProcessState,
): Promise<DiagnosticsServer> {
  const server = createServer((request, response) => {
    void answer(request.method ?? '', request.url ?? '', { response, state })
  })
  server.headersTimeout = 10_000
  server.requestTimeout = 10_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        connectionProblem(
          `cannot listen on ${address.host}:${address.port} for diagnostics: ${messageOf(cause)}`,
          { cause },
        ),
      ),
    )
    server.listen(address.port, address.host, resolve)
  })
  const bound = server.address() as AddressInfo // a TCP server that listens has one
  return {
    address: { host: bound.address, port: bound.port },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

async function answer(
  method: string,
  url: string,
  { response, state }: { response: ServerResponse; state: ProcessState },
): Promise<void> {
  if (method !== 'GET' && method !== 'HEAD') return sendJson(response, 405, { error: 'method not allowed' })
  switch (url.split('?', 1)[0]) {
    case '/healthz':
      return sendJson(response, 200, { status: 'ok' })
    case '/readyz': {
      const { code, status } = readiness[state.current()]
      return sendJson(response, code, { status, pid: process.pid })
    }
    case '/metrics': {
      metrics.processState.set(state.gauge())
      const { contentType, body } = await metricsText()
      response.writeHead(200, { 'content-type': contentType })
      response.end(body)
      return
    }
    default:
      return sendJson(response, 404, { error: 'not found' })
  }
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}
