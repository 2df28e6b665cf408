// The `kubernetes_resources` of a role: which verbs, kinds, groups, namespaces and names. What may be written, and
// what is meant when nothing is, depends on the role's version.

import { badParameter } from '../errors.ts'
import type { Fields } from './fields.ts'

export interface KubernetesResourceRule {
  readonly kind: string
  readonly api_group: string
  readonly namespace: string
  readonly name: string
  readonly verbs: readonly string[]
}

const verbs = [
  '*',
  'get',
  'create',
  'update',
  'patch',
  'delete',
  'list',
  'watch',
  'deletecollection',
  'exec',
  'portforward',
]
/** Kinds of v7 and the plural names that v8 uses for them. */
export const v7Kinds: Readonly<Record<string, string>> = {
  pod: 'pods',
  secret: 'secrets',
  configmap: 'configmaps',
  namespace: 'namespaces',
  service: 'services',
  serviceaccount: 'serviceaccounts',
  kube_node: 'nodes',
  persistentvolume: 'persistentvolumes',
  persistentvolumeclaim: 'persistentvolumeclaims',
  deployment: 'deployments',
  replicaset: 'replicasets',
  statefulset: 'statefulsets',
  daemonset: 'daemonsets',
  clusterrole: 'clusterroles',
  kube_role: 'roles',
  clusterrolebinding: 'clusterrolebindings',
  rolebinding: 'rolebindings',
  cronjob: 'cronjobs',
  job: 'jobs',
  certificatesigningrequest: 'certificatesigningrequests',
  ingress: 'ingresses',
}
const clusterWideKinds = [
  'kube_node',
  'persistentvolume',
  'clusterrole',
  'clusterrolebinding',
  'certificatesigningrequest',
  'namespace',
]
/** Plural names of the core group, for which v8 needs no group. */
const corePlurals = [
  'pods',
  'secrets',
  'configmaps',
  'namespaces',
  'services',
  'endpoints',
  'serviceaccounts',
  'nodes',
  'persistentvolumes',
  'persistentvolumeclaims',
  'events',
  'limitranges',
  'podtemplates',
  'replicationcontrollers',
  'resourcequotas',
]

interface Rules {
  readonly version: string
  readonly deny: boolean
  /** Whether the role reaches any cluster: without that there is no default. */
  readonly hasLabels: boolean
}

export function parseKubernetesResources(fields: Fields, rules: Rules): KubernetesResourceRule[] {
  const given = fields.list('kubernetes_resources', (inner) => parseRule(inner, rules))
  if (given.length > 0 || rules.deny || !rules.hasLabels) return given
  return defaultRules(rules.version)
}

function defaultRules(version: string): KubernetesResourceRule[] {
  const everything = { namespace: '*', name: '*', verbs: ['*'] }
  switch (version) {
    case 'v3':
    case 'v4':
    case 'v5':
      return [{ kind: 'pod', api_group: '', ...everything }]
    case 'v6':
      return []
    case 'v7':
      return [{ kind: '*', api_group: '', ...everything }]
    default:
      return [{ kind: '*', api_group: '*', ...everything }]
  }
}

function parseRule(fields: Fields, { version, deny }: Rules): KubernetesResourceRule {
  const kind = fields.text('kind')
  const group = fields.text('api_group')
  const namespace = fields.text('namespace')
  const name = fields.text('name')
  const given = fields.texts('verbs')
  checkVerbs(given)
  if (name === '') throw badParameter('KubernetesResource must include Name')
  if (version === 'v8') checkV8(kind, group)
  else checkOlder(kind, { group, version, deny, namespace })
  const old = !['v7', 'v8'].includes(version)
  return { kind, api_group: group, namespace, name, verbs: old && given.length === 0 ? ['*'] : given }
}

function checkVerbs(given: readonly string[]): void {
  for (const verb of given) {
    if (!verbs.includes(verb) && !verb.includes('{{')) {
      throw badParameter(
        `KubernetesResource verb ${JSON.stringify(verb)} is invalid or unsupported; Supported: ${JSON.stringify(verbs)}`,
      )
    }
  }
  if (given.includes('*') && given.length > 1)
    throw badParameter('KubernetesResource verb "*" cannot be used with other verbs')
}

function checkV8(kind: string, group: string): void {
  if (kind === '') throw badParameter('KubernetesResource kind "" is invalid or unsupported')
  if (kind !== '*' && kind in v7Kinds && !Object.values(v7Kinds).includes(kind)) {
    throw badParameter(
      `KubernetesResource kind ${JSON.stringify(kind)} is invalid. Please use plural name for role version "v8"`,
    )
  }
  if (group === '' && !corePlurals.includes(kind)) {
    throw badParameter(`api_group is required for resource ${JSON.stringify(kind)} in role version "v8"`)
  }
}

function checkOlder(
  kind: string,
  { group, version, deny, namespace }: { group: string; version: string; deny: boolean; namespace: string },
): void {
  if (group !== '')
    throw badParameter(
      `API Group ${JSON.stringify(group)} is not supported in role version ${JSON.stringify(version)}. Upgrade the role version to "v8"`,
    )
  const supported = ['*', ...Object.keys(v7Kinds)]
  if (!supported.includes(kind)) {
    throw badParameter(
      `KubernetesResource kind ${JSON.stringify(kind)} is invalid or unsupported; Supported: ${JSON.stringify(supported)}`,
    )
  }
  // The guides write `*` in a v6 role: it means every kind there, too.
  const podsOnly = version !== 'v7' && !deny && kind !== 'pod' && !(version === 'v6' && kind === '*')
  if (podsOnly) {
    throw badParameter(
      `KubernetesResource kind ${JSON.stringify(kind)} is not supported in role version ${JSON.stringify(version)}. Upgrade the role version to "v8"`,
    )
  }
  if (namespace === '' && !clusterWideKinds.includes(kind))
    throw badParameter(`KubernetesResource ${JSON.stringify(kind)} must include Namespace`)
}

/**
 * Whether the allow rules of a role of this version reach every object of every kind with every verb, in whatever
 * words that version says so.
 */
export function allowsEverything(version: string, rules: readonly KubernetesResourceRule[]): boolean {
  return rules.some((rule) => {
    const all =
      rule.namespace === '*' && rule.name === '*' && rule.verbs.length === 1 && rule.verbs[0] === '*'
    if (!all) return false
    // Up to v6 only pods are restricted, so a rule for all pods restricts nothing.
    if (!['v7', 'v8'].includes(version)) return rule.kind === 'pod' || rule.kind === '*'
    return rule.kind === '*' && (version === 'v7' || rule.api_group === '*')
  })
}
