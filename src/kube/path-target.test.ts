import { describe, expect, it } from 'bun:test'
import { TeleportError } from '../errors.ts'
import { testUser } from '../identity/testing/identities.ts'
import { checkPathTarget, formatPathTarget, isPathRouted, parsePathTarget } from './path-target.ts'

const refusal = (action: () => unknown): string => {
  try {
    action()
  } catch (error) {
    if (error instanceof TeleportError) return `${error.kind}: ${error.message}`
    throw error
  }
  return 'allowed'
}

describe('parsePathTarget', () => {
  it('takes the two names off and leaves the rest byte for byte', () => {
    expect(parsePathTarget('/v1/teleport/cm9vdC5leGFtcGxlLmNvbQ/YQ/api/v1/pods?limit=1&x=%2F')).toEqual({
      cluster: 'root.example.com',
      kubernetesCluster: 'a',
      target: '/api/v1/pods?limit=1&x=%2F',
    })
  })

  it('reads what formatPathTarget writes', () => {
    const path = formatPathTarget('root.example.com', 'ü/?')
    expect(isPathRouted(path)).toBe(true)
    expect(parsePathTarget(`${path}/version`)).toEqual({
      cluster: 'root.example.com',
      kubernetesCluster: 'ü/?',
      target: '/version',
    })
    expect(parsePathTarget(path).target).toBe('/')
  })

  it.each([
    ['/v1/teleport/YQ', 'bad-parameter: path "/v1/teleport/YQ" must name a cluster and a Kubernetes cluster'],
    ['/v1/teleport//YQ/api', 'bad-parameter: "" is not a base64url encoded cluster name'],
    ['/v1/teleport/YQ==/YQ/api', 'bad-parameter: "YQ==" is not a base64url encoded cluster name'],
    ['/v1/teleport/Y%51/YQ/api', 'bad-parameter: "Y%51" is not a base64url encoded cluster name'],
    ['/v1/teleport/YR/YQ/api', 'bad-parameter: "YR" is not a base64url encoded cluster name'],
    ['/v1/teleport/_w/YQ/api', 'bad-parameter: "_w" is not the base64url of UTF-8 text'],
  ])('refuses %s', (target, expected) => {
    expect(refusal(() => parsePathTarget(target))).toBe(expected)
  })
})

describe('checkPathTarget', () => {
  const asked = { cluster: 'root', kubernetesCluster: 'b', target: '/api' }

  it.each([
    ['no route in the certificate', {}, 'allowed'],
    ['the same route', { routeToCluster: 'root', kubernetesCluster: 'b' }, 'allowed'],
    [
      'another Kubernetes cluster',
      { routeToCluster: 'root', kubernetesCluster: 'a' },
      'access-denied: existing route in identity may not be overwritten',
    ],
    [
      'another cluster',
      { routeToCluster: 'leaf' },
      'access-denied: existing route in identity may not be overwritten',
    ],
    [
      'MFA without a route',
      { mfaDevice: 'key' },
      'access-denied: identity routing parameters are required when MFA assertions are present',
    ],
    [
      'MFA with the same route',
      { mfaDevice: 'key', routeToCluster: 'root', kubernetesCluster: 'b' },
      'allowed',
    ],
  ])('%s', (_, fields, expected) => {
    expect(refusal(() => checkPathTarget(asked, testUser(fields), 'root'))).toBe(expected)
  })

  it('refuses another Teleport cluster', () => {
    expect(refusal(() => checkPathTarget({ ...asked, cluster: 'leaf' }, testUser({}), 'root'))).toBe(
      'not-implemented: cluster "leaf" is not this cluster, and trusted clusters are not supported in this build',
    )
  })
})
