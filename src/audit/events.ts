// Audit events: one function per event, so that each has one shape. Names, codes and fields are those that log
// collectors know from the product; values that grant access never appear.

import { randomUUID } from 'node:crypto'
import type { Identity } from '../identity/identity.ts'

/** As stored: flat JSON. */
export interface AuditEvent {
  readonly event: string
  readonly code: string
  /** RFC 3339 with milliseconds. */
  readonly time: string
  readonly uid: string
  /** Position inside a session, else 0. */
  readonly ei: number
  readonly cluster_name: string
  readonly [field: string]: unknown
}

/** Who did it, from where. */
export interface Actor {
  readonly cluster: string
  readonly user: string
  readonly roles?: readonly string[]
  readonly kind?: 'human' | 'bot'
  /** Who used the user's roles in their own name. */
  readonly impersonator?: string
  /** Id of the second factor that the certificate was issued with. */
  readonly mfaDevice?: string
  /** `host:port` of the client. */
  readonly address?: string
  /** The process that saw it. */
  readonly server?: ServerBlock
}

export interface ServerBlock {
  readonly server_id: string
  readonly server_hostname: string
  readonly server_version: string
  readonly server_labels?: Readonly<Record<string, string>>
}

export function actorOf(identity: Identity, cluster: string, address = ''): Actor {
  if (identity.type === 'host') return { cluster, user: `${identity.hostId}.${identity.cluster}`, address }
  return {
    cluster,
    user: identity.username,
    roles: identity.roles,
    kind: identity.botName === '' ? 'human' : 'bot',
    impersonator: identity.impersonator,
    mfaDevice: identity.mfaDevice,
    address,
  }
}

/** Numbers, since collectors know them as such. */
const userKinds = { human: 1, bot: 2 } as const

function actorFields({ user, kind, roles, impersonator, mfaDevice, address, server }: Actor) {
  return {
    user,
    ...(kind ? { user_kind: userKinds[kind] } : {}),
    ...(roles ? { user_roles: roles } : {}),
    ...(impersonator ? { impersonator } : {}),
    ...(mfaDevice ? { with_mfa: mfaDevice } : {}),
    ...(address ? { 'addr.remote': address } : {}),
    ...(server ? { ...server, namespace: 'default' } : {}),
  }
}

function make(
  name: string,
  code: string,
  { actor, fields = {}, index = 0 }: { actor: Actor; fields?: Record<string, unknown>; index?: number },
): AuditEvent {
  return {
    event: name,
    code,
    time: new Date().toISOString(),
    uid: randomUUID(),
    ei: index,
    cluster_name: actor.cluster,
    ...actorFields(actor),
    ...fields,
  }
}

export interface LoginFields {
  /** `local`, or the kind of the connector. */
  readonly method: string
  /** Absent when it succeeded. */
  readonly error?: string
  /** What the connector's provider said of the user. */
  readonly attributes?: Readonly<Record<string, unknown>>
}

export function userLogin(actor: Actor, { method, error, attributes }: LoginFields): AuditEvent {
  const fields = {
    method,
    success: error === undefined,
    ...(error === undefined ? {} : { error }),
    ...(attributes ? { attributes } : {}),
  }
  const code = `${method === 'local' ? 'T1000' : 'T1001'}${error === undefined ? 'I' : 'W'}`
  return make('user.login', code, { actor, fields })
}

export function authAttempt(actor: Actor, error: string): AuditEvent {
  return make('auth', 'T3007W', { actor, fields: { success: false, error } })
}

type ResourceChange = 'create' | 'update' | 'delete'

/** Kind of resource → event name and code of each change; a name of its own where the product has one. */
const resourceEvents: Readonly<Record<string, Partial<Record<ResourceChange, readonly [string, string]>>>> = {
  user: {
    create: ['user.create', 'T1002I'],
    update: ['user.update', 'T1003I'],
    delete: ['user.delete', 'T1004I'],
  },
  role: {
    create: ['role.created', 'T9000I'],
    update: ['role.updated', 'T9002I'],
    delete: ['role.deleted', 'T9001I'],
  },
  kube_cluster: {
    create: ['kube.create', 'T3010I'],
    update: ['kube.update', 'T3011I'],
    delete: ['kube.delete', 'T3012I'],
  },
  lock: {
    create: ['lock.created', 'TLK00I'],
    update: ['lock.created', 'TLK00I'],
    delete: ['lock.deleted', 'TLK01I'],
  },
  token: { create: ['join_token.create', 'TJT00I'], update: ['join_token.create', 'TJT00I'] },
  cluster_auth_preference: {
    update: ['auth_preference.update', 'TCAUTH001I'],
    create: ['auth_preference.update', 'TCAUTH001I'],
    delete: ['auth_preference.update', 'TCAUTH001I'],
  },
  cluster_networking_config: {
    update: ['cluster_networking_config.update', 'TCNET002I'],
    create: ['cluster_networking_config.update', 'TCNET002I'],
    delete: ['cluster_networking_config.update', 'TCNET002I'],
  },
  session_recording_config: {
    update: ['session_recording_config.update', 'TCREC003I'],
    create: ['session_recording_config.update', 'TCREC003I'],
    delete: ['session_recording_config.update', 'TCREC003I'],
  },
}

/** A change of a resource, or undefined for kinds whose changes are not events. A token's name is a secret. */
export function resourceChanged(
  actor: Actor,
  change: ResourceChange,
  { kind, name, more = {} }: { kind: string; name: string; more?: Record<string, unknown> },
): AuditEvent | undefined {
  const found = resourceEvents[kind]?.[change]
  if (!found) return undefined
  return make(found[0], found[1], { actor, fields: kind === 'token' ? more : { name, ...more } })
}

export function resetTokenCreated(actor: Actor, { name, ttl }: { name: string; ttl: string }): AuditEvent {
  return make('reset_password_token.create', 'T6000I', { actor, fields: { name, ttl } })
}

export function certificateCreated(actor: Actor, identity: Identity): AuditEvent {
  const block =
    identity.type === 'user'
      ? {
          user: identity.username,
          roles: identity.roles,
          kubernetes_users: identity.kubernetesUsers,
          kubernetes_groups: identity.kubernetesGroups,
          ...(identity.kubernetesCluster ? { kubernetes_cluster: identity.kubernetesCluster } : {}),
          ...(identity.routeToCluster ? { route_to_cluster: identity.routeToCluster } : {}),
          ...(identity.usage.length > 0 ? { usage: identity.usage } : {}),
          expires: new Date(identity.notAfter).toISOString(),
        }
      : {
          user: `${identity.hostId}.${identity.cluster}`,
          roles: identity.roles,
          expires: new Date(identity.notAfter).toISOString(),
        }
  return make('cert.create', 'TC000I', { actor, fields: { cert_type: identity.type, identity: block } })
}

/** The cluster and principals a Kubernetes event is about. */
export interface KubernetesBlock {
  readonly kubernetes_cluster: string
  readonly kubernetes_users: readonly string[]
  readonly kubernetes_groups: readonly string[]
  readonly kubernetes_labels: Readonly<Record<string, string>>
}

export interface KubernetesRequestFields {
  readonly request_path: string
  /** HTTP method. */
  readonly verb: string
  readonly resource_api_group: string
  readonly resource_kind: string
  readonly resource_name: string
  readonly resource_namespace: string
  readonly response_code: number
  /** Why it was refused here, before the API server saw it. */
  readonly error?: string
}

export function kubernetesRequest(
  actor: Actor,
  cluster: KubernetesBlock,
  request: KubernetesRequestFields,
): AuditEvent {
  return make('kube.request', 'T3009I', {
    actor,
    fields: { ...cluster, ...withoutEmpty(request), proto: 'kube' },
  })
}

export interface PodBlock {
  readonly kubernetes_pod_name: string
  readonly kubernetes_pod_namespace: string
  readonly kubernetes_container_name: string
  readonly kubernetes_container_image?: string
  readonly kubernetes_node_name?: string
}

/** One exec, attach or port-forward: its events share who, where and the session's id, and count upwards. */
export interface SessionBlock {
  readonly actor: Actor
  readonly cluster: KubernetesBlock
  readonly pod: PodBlock
  readonly sid: string
}

const sessionFields = ({ cluster, pod, sid }: SessionBlock) => ({
  ...cluster,
  ...withoutEmpty(pod),
  sid,
  proto: 'kube',
})

export interface SessionStartFields {
  readonly command: readonly string[]
  readonly interactive: boolean
  readonly reason?: string
  readonly invited?: readonly string[]
}

export function sessionStart(
  session: SessionBlock,
  { command, interactive, reason, invited }: SessionStartFields,
): AuditEvent {
  const fields = {
    ...sessionFields(session),
    initial_command: command,
    interactive,
    ...(reason ? { reason } : {}),
    ...(invited && invited.length > 0 ? { invited } : {}),
    size: '100:100',
    session_recording: 'off',
  }
  return make('session.start', 'T2000I', { actor: session.actor, fields })
}

export interface ExecResult {
  readonly command: readonly string[]
  readonly exitCode: string
  /** Absent when the command ended with 0. */
  readonly error?: string
}

export function exec(session: SessionBlock, { command, exitCode, error }: ExecResult): AuditEvent {
  const fields = {
    ...sessionFields(session),
    command: command.join(' '),
    exitCode,
    ...(error === undefined ? {} : { exitError: error }),
  }
  return make('exec', error === undefined ? 'T3002I' : 'T3002E', { actor: session.actor, fields, index: 1 })
}

export function sessionData(session: SessionBlock, { tx, rx }: { tx: number; rx: number }): AuditEvent {
  return make('session.data', 'T2006I', {
    actor: session.actor,
    fields: { ...sessionFields(session), tx, rx },
    index: 2,
  })
}

export function sessionEnd(
  session: SessionBlock,
  { interactive, start }: { interactive: boolean; start: number },
): AuditEvent {
  const fields = {
    ...sessionFields(session),
    interactive,
    enhanced_recording: false,
    participants: [session.actor.user],
    session_start: new Date(start).toISOString(),
    session_stop: new Date().toISOString(),
    session_recording: 'off',
  }
  return make('session.end', 'T2004I', { actor: session.actor, fields, index: 3 })
}

const portCodes = { start: 'T3003I', stop: 'T3003S', failure: 'T3003E' } as const

export function port(
  session: SessionBlock,
  { port: number, phase }: { port: number; phase: keyof typeof portCodes },
): AuditEvent {
  const fields = {
    ...sessionFields(session),
    'addr.local': `${session.pod.kubernetes_pod_name}:${number}`,
    success: phase !== 'failure',
  }
  return make('port', portCodes[phase], { actor: session.actor, fields })
}

export function sessionRejected(
  actor: Actor,
  { reason, maximum }: { reason: string; maximum: number },
): AuditEvent {
  return make('session.rejected', 'T1006W', { actor, fields: { reason, max: maximum } })
}

export function clientDisconnect(
  actor: Actor,
  { reason, serverId }: { reason: string; serverId: string },
): AuditEvent {
  return make('client.disconnect', 'T3006I', { actor, fields: { reason, server_id: serverId } })
}

/** Texts that are empty say nothing; what is left are fields of the block. */
function withoutEmpty<Block extends object>(block: Block): Partial<Block> {
  return Object.fromEntries(Object.entries(block).filter(([, value]) => value !== '')) as Partial<Block>
}
