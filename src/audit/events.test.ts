import { describe, expect, it } from 'bun:test'
import { testHost, testUser } from '../identity/testing/identities.ts'
import * as events from './events.ts'

const actor: events.Actor = { cluster: 'root', user: 'alice', roles: ['access'], address: '192.0.2.1:4711' }
const common = {
  cluster_name: 'root',
  user: 'alice',
  user_roles: ['access'],
  'addr.remote': '192.0.2.1:4711',
}
const cluster: events.KubernetesBlock = {
  kubernetes_cluster: 'prod',
  kubernetes_users: ['alice'],
  kubernetes_groups: ['viewers'],
  kubernetes_labels: { env: 'prod' },
}
const pod = {
  kubernetes_pod_name: 'web-0',
  kubernetes_pod_namespace: 'default',
  kubernetes_container_name: '',
}
const session: events.SessionBlock = { actor, cluster, pod, sid: 'session-1' }
const sessionFields = {
  ...common,
  ...cluster,
  kubernetes_pod_name: 'web-0',
  kubernetes_pod_namespace: 'default',
  sid: 'session-1',
  proto: 'kube',
}
const request: events.KubernetesRequestFields = {
  request_path: '/api/v1/namespaces/default/pods',
  verb: 'GET',
  resource_api_group: 'v1',
  resource_kind: 'pods',
  resource_name: '',
  resource_namespace: 'default',
  response_code: 403,
  error: 'no role allows it',
}
const change = (kind: string, type: 'create' | 'update' | 'delete') =>
  events.resourceChanged(actor, type, { kind, name: 'x', more: { roles: ['Kube'] } })
const changed = { ...common, name: 'x', roles: ['Kube'] }

/** Without what is different each time; that it is there and well formed is checked on the way. */
function body(event: events.AuditEvent | undefined): Record<string, unknown> {
  const { time, uid, ...fields } = event ?? {}
  expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  expect(uid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  return fields
}

describe('audit events', () => {
  it.each<[string, string, events.AuditEvent | undefined, Record<string, unknown>]>([
    [
      'user.login',
      'T1000I',
      events.userLogin(actor, { method: 'local' }),
      { ...common, method: 'local', success: true },
    ],
    [
      'user.login',
      'T1000W',
      events.userLogin(actor, { method: 'local', error: 'bad password' }),
      { ...common, method: 'local', success: false, error: 'bad password' },
    ],
    [
      'user.login',
      'T1001W',
      events.userLogin(actor, { method: 'github', error: 'no team', attributes: { octocats: ['devs'] } }),
      { ...common, method: 'github', success: false, error: 'no team', attributes: { octocats: ['devs'] } },
    ],
    ['auth', 'T3007W', events.authAttempt(actor, 'expired'), { ...common, success: false, error: 'expired' }],
    ['user.create', 'T1002I', change('user', 'create'), changed],
    ['user.update', 'T1003I', change('user', 'update'), changed],
    ['user.delete', 'T1004I', change('user', 'delete'), changed],
    ['role.created', 'T9000I', change('role', 'create'), changed],
    ['role.updated', 'T9002I', change('role', 'update'), changed],
    ['role.deleted', 'T9001I', change('role', 'delete'), changed],
    ['kube.create', 'T3010I', change('kube_cluster', 'create'), changed],
    ['kube.update', 'T3011I', change('kube_cluster', 'update'), changed],
    ['kube.delete', 'T3012I', change('kube_cluster', 'delete'), changed],
    ['lock.created', 'TLK00I', change('lock', 'create'), changed],
    ['lock.deleted', 'TLK01I', change('lock', 'delete'), changed],
    ['join_token.create', 'TJT00I', change('token', 'create'), { ...common, roles: ['Kube'] }],
    ['auth_preference.update', 'TCAUTH001I', change('cluster_auth_preference', 'delete'), changed],
    ['cluster_networking_config.update', 'TCNET002I', change('cluster_networking_config', 'update'), changed],
    ['session_recording_config.update', 'TCREC003I', change('session_recording_config', 'create'), changed],
    [
      'reset_password_token.create',
      'T6000I',
      events.resetTokenCreated(actor, { name: 'bob', ttl: '8h0m0s' }),
      { ...common, name: 'bob', ttl: '8h0m0s' },
    ],
    [
      'kube.request',
      'T3009I',
      events.kubernetesRequest(actor, cluster, request),
      {
        ...common,
        ...cluster,
        request_path: '/api/v1/namespaces/default/pods',
        verb: 'GET',
        resource_api_group: 'v1',
        resource_kind: 'pods',
        resource_namespace: 'default',
        response_code: 403,
        error: 'no role allows it',
        proto: 'kube',
      },
    ],
    [
      'session.start',
      'T2000I',
      events.sessionStart(session, { command: ['sh', '-c', 'id'], interactive: true }),
      {
        ...sessionFields,
        initial_command: ['sh', '-c', 'id'],
        interactive: true,
        size: '100:100',
        session_recording: 'off',
      },
    ],
    [
      'exec',
      'T3002I',
      events.exec(session, { command: ['ls', '-l'], exitCode: '0' }),
      { ...sessionFields, ei: 1, command: 'ls -l', exitCode: '0' },
    ],
    [
      'exec',
      'T3002E',
      events.exec(session, { command: ['false'], exitCode: '1', error: 'command terminated' }),
      { ...sessionFields, ei: 1, command: 'false', exitCode: '1', exitError: 'command terminated' },
    ],
    [
      'session.data',
      'T2006I',
      events.sessionData(session, { tx: 10, rx: 20 }),
      { ...sessionFields, ei: 2, tx: 10, rx: 20 },
    ],
    [
      'port',
      'T3003I',
      events.port(session, { port: 8080, phase: 'start' }),
      { ...sessionFields, 'addr.local': 'web-0:8080', success: true },
    ],
    [
      'port',
      'T3003S',
      events.port(session, { port: 8080, phase: 'stop' }),
      { ...sessionFields, 'addr.local': 'web-0:8080', success: true },
    ],
    [
      'port',
      'T3003E',
      events.port(session, { port: 8080, phase: 'failure' }),
      { ...sessionFields, 'addr.local': 'web-0:8080', success: false },
    ],
    [
      'session.rejected',
      'T1006W',
      events.sessionRejected(actor, { reason: 'kubernetes connections', maximum: 2 }),
      { ...common, reason: 'kubernetes connections', max: 2 },
    ],
    [
      'client.disconnect',
      'T3006I',
      events.clientDisconnect(actor, { reason: 'idle', serverId: 'host-1' }),
      { ...common, reason: 'idle', server_id: 'host-1' },
    ],
  ])('%s %s has exactly its fields', (event, code, made, fields) => {
    expect(body(made)).toEqual({ event, code, ei: 0, ...fields })
  })

  it('session.end tells from when to when', () => {
    const made = body(events.sessionEnd(session, { interactive: true, start: 1_767_225_600_000 }))
    expect(made).toMatchObject({
      event: 'session.end',
      code: 'T2004I',
      ei: 3,
      session_start: '2026-01-01T00:00:00.000Z',
      participants: ['alice'],
      session_recording: 'off',
    })
  })

  it('cert.create tells what the certificate allows', () => {
    const identity = testUser({
      roles: ['access'],
      kubernetesCluster: 'prod',
      kubernetesGroups: ['viewers'],
      usage: ['usage:kube'],
      notAfter: 1_767_225_600_000,
    })
    expect(body(events.certificateCreated(actor, identity))).toEqual({
      event: 'cert.create',
      code: 'TC000I',
      ei: 0,
      ...common,
      cert_type: 'user',
      identity: {
        user: 'alice',
        roles: ['access'],
        kubernetes_users: [],
        kubernetes_groups: ['viewers'],
        kubernetes_cluster: 'prod',
        usage: ['usage:kube'],
        expires: '2026-01-01T00:00:00.000Z',
      },
    })
    expect(body(events.certificateCreated(actor, testHost({ notAfter: 0 })))).toMatchObject({
      cert_type: 'host',
      identity: { user: '00000000-0000-4000-8000-000000000001.root', roles: ['Kube'] },
    })
  })

  it('tell people, bots, hosts and those behind them apart', () => {
    const of = (identity: Parameters<typeof events.actorOf>[0]) =>
      body(events.authAttempt(events.actorOf(identity, 'root', '192.0.2.1:1'), 'x'))
    expect(of(testUser({ mfaDevice: 'device-1' }))).toEqual({
      event: 'auth',
      code: 'T3007W',
      ei: 0,
      cluster_name: 'root',
      user: 'alice',
      user_kind: 1,
      user_roles: ['access'],
      with_mfa: 'device-1',
      'addr.remote': '192.0.2.1:1',
      success: false,
      error: 'x',
    })
    expect(of(testUser({ botName: 'robot', impersonator: 'bot-robot' }))).toMatchObject({
      user_kind: 2,
      impersonator: 'bot-robot',
    })
    expect(of(testHost({}))).not.toHaveProperty('user_kind')
  })

  it('name the process that saw them', () => {
    const server = { server_id: 'host-1', server_hostname: 'agent', server_version: '17.0.0' }
    expect(body(events.authAttempt({ ...actor, server }, 'x'))).toMatchObject({
      ...server,
      namespace: 'default',
    })
  })

  it('are not made for kinds that nobody audits', () => {
    expect(change('kube_server', 'update')).toBeUndefined()
    expect(change('token', 'delete')).toBeUndefined()
  })

  it('never carry the name of a join token, which is its secret', () => {
    expect(
      JSON.stringify(events.resourceChanged(actor, 'create', { kind: 'token', name: 's3cret' })),
    ).not.toContain('s3cret')
  })
})
