// `/v1/teleport/<cluster>/<kube cluster>/…`: a path that names where a request goes, so that one certificate can
// reach many clusters. Names are base64url without padding. The certificate's own route is never overridden.

import { accessDenied, badParameter, notImplemented } from '../errors.ts'
import type { UserIdentity } from '../identity/identity.ts'

const prefix = '/v1/teleport/'

export interface PathTarget {
  /** Teleport cluster. */
  readonly cluster: string
  readonly kubernetesCluster: string
  /** The request target without the prefix, other bytes untouched; begins with `/`. */
  readonly target: string
}

export function isPathRouted(target: string): boolean {
  return target.startsWith(prefix)
}

/** Splits a path-routed request target. Throws `bad-parameter` when a name is not base64url of UTF-8. */
export function parsePathTarget(target: string): PathTarget {
  const rest = target.slice(prefix.length)
  const first = rest.indexOf('/')
  const second = first < 0 ? -1 : rest.indexOf('/', first + 1)
  if (first < 0)
    throw badParameter(`path ${JSON.stringify(target)} must name a cluster and a Kubernetes cluster`)
  const end = second < 0 ? rest.length : second
  return {
    cluster: decodeName(rest.slice(0, first)),
    kubernetesCluster: decodeName(rest.slice(first + 1, end)),
    target: second < 0 ? '/' : rest.slice(second),
  }
}

/** The path that `parsePathTarget` reads, without a trailing slash. */
export function formatPathTarget(cluster: string, kubernetesCluster: string): string {
  const encode = (name: string) => Buffer.from(name).toString('base64url')
  return `${prefix}${encode(cluster)}/${encode(kubernetesCluster)}`
}

/** Whether this identity may be sent there. Source of the rules: the single-certificate handler's cases. */
export function checkPathTarget(asked: PathTarget, identity: UserIdentity, teleportCluster: string): void {
  const overridden =
    (identity.routeToCluster !== '' && identity.routeToCluster !== asked.cluster) ||
    (identity.kubernetesCluster !== '' && identity.kubernetesCluster !== asked.kubernetesCluster)
  if (overridden) throw accessDenied('existing route in identity may not be overwritten')
  if (identity.mfaDevice !== '' && (identity.routeToCluster === '' || identity.kubernetesCluster === '')) {
    throw accessDenied('identity routing parameters are required when MFA assertions are present')
  }
  if (asked.cluster !== teleportCluster) {
    throw notImplemented(
      `cluster ${JSON.stringify(asked.cluster)} is not this cluster, and trusted clusters are not supported in this build`,
    )
  }
}

function decodeName(encoded: string): string {
  const bytes = Buffer.from(encoded, 'base64url')
  // Decoding is lenient; only what encodes back to the same text was base64url without padding.
  if (encoded === '' || bytes.toString('base64url') !== encoded) {
    throw badParameter(`${JSON.stringify(encoded)} is not a base64url encoded cluster name`)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw badParameter(`${JSON.stringify(encoded)} is not the base64url of UTF-8 text`, { cause })
  }
}
