// What a proxy announces about itself: where clients reach it.

import { parseEnvelope, resourceOf } from './envelope.ts'
import type { Resource } from './resource.ts'

export interface ProxySpec {
  readonly hostname: string
  readonly version: string
  /** `host:port` of the web port. */
  readonly public_addr: string
  /** `host:port` for kubectl. */
  readonly kube_public_addr: string
}

export type Proxy = Resource<'proxy', ProxySpec>

export function parseProxy(value: unknown): Proxy {
  const envelope = parseEnvelope(value, { kind: 'proxy', versions: ['v2'] })
  const spec = envelope.fields.nested('spec', (fields) => ({
    hostname: fields.text('hostname'),
    version: fields.text('version'),
    public_addr: fields.text('public_addr'),
    kube_public_addr: fields.text('kube_public_addr'),
  }))
  return resourceOf(envelope, spec)
}
