// The other singletons of a cluster: how connections live, and what is recorded.

import { badParameter } from '../errors.ts'
import { parseEnvelope, resourceOf } from './envelope.ts'
import type { Fields } from './fields.ts'
import type { Resource } from './resource.ts'

export interface ClusterNetworkingConfigSpec {
  /** Go durations; `0s` is never. */
  readonly client_idle_timeout: string
  readonly client_idle_timeout_message: string
  readonly web_idle_timeout: string
  readonly keep_alive_interval: string
  readonly keep_alive_count_max: number
  readonly session_control_timeout: string
  readonly proxy_listener_mode: 'separate' | 'multiplex'
  readonly routing_strategy: string
}

export type ClusterNetworkingConfig = Resource<'cluster_networking_config', ClusterNetworkingConfigSpec>
export const networkingConfigName = 'cluster-networking-config'

export function parseClusterNetworkingConfig(value: unknown): ClusterNetworkingConfig {
  const envelope = parseEnvelope(value, {
    kind: 'cluster_networking_config',
    versions: ['v2'],
    name: networkingConfigName,
  })
  return resourceOf(envelope, envelope.fields.nested('spec', parseNetworkingSpec))
}

export function parseNetworkingSpec(fields: Fields): ClusterNetworkingConfigSpec {
  fields.ignore(
    'tunnel_strategy',
    'proxy_ping_interval',
    'assist_command_execution_workers',
    'case_insensitive_routing',
    'ssh_dial_timeout',
  )
  return {
    client_idle_timeout: fields.duration('client_idle_timeout', '0s'),
    client_idle_timeout_message: fields.text('client_idle_timeout_message'),
    web_idle_timeout: fields.duration('web_idle_timeout', '0s'),
    keep_alive_interval: fields.duration('keep_alive_interval', '5m0s'),
    keep_alive_count_max: fields.count('keep_alive_count_max', 3),
    session_control_timeout: fields.duration('session_control_timeout', '0s'),
    proxy_listener_mode: listenerMode(fields),
    routing_strategy: fields.text('routing_strategy', 'unambiguous_match'),
  }
}

function listenerMode(fields: Fields): 'separate' | 'multiplex' {
  const value = fields.raw('proxy_listener_mode')
  if (value === 1 || value === 'multiplex') return 'multiplex'
  if (value === undefined || value === 0 || value === 'separate') return 'separate'
  throw badParameter(`${fields.at('proxy_listener_mode')} must be separate or multiplex`)
}

export interface SessionRecordingConfigSpec {
  readonly mode: string
  readonly proxy_checks_host_keys: boolean
}

export type SessionRecordingConfig = Resource<'session_recording_config', SessionRecordingConfigSpec>
export const recordingConfigName = 'session-recording-config'
export const recordingModes = ['node', 'node-sync', 'proxy', 'proxy-sync', 'off']

export function parseSessionRecordingConfig(value: unknown): SessionRecordingConfig {
  const envelope = parseEnvelope(value, {
    kind: 'session_recording_config',
    versions: ['v2'],
    name: recordingConfigName,
  })
  return resourceOf(envelope, envelope.fields.nested('spec', parseRecordingSpec))
}

export function parseRecordingSpec(fields: Fields): SessionRecordingConfigSpec {
  const raw = fields.raw('mode')
  const mode = raw === false ? 'off' : fields.text('mode', 'node')
  if (!recordingModes.includes(mode)) {
    throw badParameter(
      `session recording mode must be one of ${recordingModes.join(', ')}; got ${JSON.stringify(mode)}`,
    )
  }
  fields.ignore('encryption')
  return { mode, proxy_checks_host_keys: fields.flag('proxy_checks_host_keys', true) }
}
