// Roles that every cluster has from its first start.

import { parseRole, type Role } from './role.ts'

const presetLabel = { 'teleport.internal/resource-type': 'preset' }
const everyLabel = { '*': '*' }
const everyObject = [{ kind: '*', namespace: '*', name: '*', verbs: ['*'] }]
const fromTraits = {
  logins: ['{{internal.logins}}'],
  kubernetes_users: ['{{internal.kubernetes_users}}'],
  kubernetes_groups: ['{{internal.kubernetes_groups}}'],
}
const readWrite = ['list', 'create', 'read', 'update', 'delete']
const readOnly = ['list', 'read']

const editable = [
  'user',
  'role',
  'bot',
  'oidc',
  'saml',
  'github',
  'auth_connector',
  'cluster_auth_preference',
  'cluster_name',
  'cluster_networking_config',
  'session_recording_config',
  'ui_config',
  'trusted_cluster',
  'remote_cluster',
  'token',
  'lock',
  'integration',
  'login_rule',
  'installer',
  'health_check_config',
  'access_request',
  'kube_cluster',
]

const documents: readonly unknown[] = [
  {
    // The old guides' role: everything, on whatever their users may become.
    ...role('admin', 'v3', 'Full access to the cluster'),
    spec: {
      allow: {
        ...fromTraits,
        kubernetes_labels: everyLabel,
        node_labels: everyLabel,
        rules: [{ resources: ['*'], verbs: ['*'] }],
      },
    },
  },
  {
    ...role('editor', 'v7', 'Edit cluster configuration'),
    spec: {
      allow: {
        rules: [
          { resources: editable, verbs: readWrite },
          { resources: ['event', 'session', 'instance', 'cert_authority', 'kube_server'], verbs: readOnly },
        ],
      },
      options: { max_session_ttl: '30h0m0s' },
    },
  },
  {
    ...role('access', 'v7', 'Access cluster resources'),
    spec: {
      allow: {
        ...fromTraits,
        kubernetes_labels: everyLabel,
        kubernetes_resources: everyObject,
        node_labels: everyLabel,
        rules: [
          { resources: ['event'], verbs: readOnly },
          {
            resources: ['session'],
            verbs: ['read', 'list'],
            where: 'contains(session.participants, user.metadata.name)',
          },
        ],
      },
    },
  },
  {
    ...role('auditor', 'v7', 'Review cluster events and replay sessions'),
    spec: {
      allow: {
        rules: [
          {
            resources: ['session', 'event', 'session_tracker', 'cluster_alert', 'instance'],
            verbs: readOnly,
          },
        ],
      },
    },
  },
  {
    ...role('reviewer', 'v7', 'Review access requests'),
    spec: {
      allow: {
        review_requests: { roles: ['access', 'group-access'], preview_as_roles: ['access', 'group-access'] },
      },
    },
  },
  {
    ...role('requester', 'v7', 'Request access'),
    spec: { allow: { request: { search_as_roles: ['access', 'group-access'] } } },
  },
  kubernetesPreset('kube-editor', 'teleport:kube-editor', 'Kubernetes cluster-admin on all clusters'),
  kubernetesPreset('kube-auditor', 'teleport:kube-auditor', 'Kubernetes view on all clusters'),
]

function role(name: string, version: string, description: string) {
  return { kind: 'role', version, metadata: { name, description, labels: presetLabel } }
}

function kubernetesPreset(name: string, group: string, description: string) {
  return {
    ...role(name, 'v7', description),
    spec: {
      allow: {
        kubernetes_labels: everyLabel,
        kubernetes_resources: everyObject,
        kubernetes_groups: [group, '{{internal.kubernetes_groups}}'],
        kubernetes_users: ['{{internal.kubernetes_users}}'],
      },
    },
  }
}

export const presetRoles: readonly Role[] = documents.map(parseRole)
