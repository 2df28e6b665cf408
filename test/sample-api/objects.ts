// What the sample holds: a namespace, three pods and a ConfigMap that tells the reader what this is. Everything is
// read-only and the same for everyone, except what the sample was told about the reader.

/** Whom the API server would take a request for. */
export interface Reader {
  readonly username: string
  readonly uid: string
  readonly groups: readonly string[]
  readonly extra: Readonly<Record<string, readonly string[]>>
}

export interface KubernetesObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly uid: string
    readonly resourceVersion: string
    readonly creationTimestamp: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly [field: string]: unknown
}

export interface Kind {
  readonly resource: string
  readonly kind: string
  readonly shortNames: readonly string[]
  readonly namespaced: boolean
  readonly objects: (reader: Reader) => readonly KubernetesObject[]
  /** The columns that `kubectl get` prints after the name. */
  readonly columns: readonly string[]
  readonly cells: (object: KubernetesObject) => readonly string[]
}

export const about = 'This is the sample Kubernetes API of Teleport: it keeps nothing and runs nothing.'
const created = '2026-01-01T00:00:00Z'
const podNames = ['clock', 'hello', 'world']

function metadata(name: string, number: number, namespace?: string): KubernetesObject['metadata'] {
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    uid: `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`,
    resourceVersion: String(number),
    creationTimestamp: created,
    labels: { 'sample.teleport.dev/is-a': 'sample' },
  }
}

function namespaces(): KubernetesObject[] {
  return ['default', 'sample'].map((name, index) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: metadata(name, index + 1),
    spec: { finalizers: ['kubernetes'] },
    status: { phase: 'Active' },
  }))
}

export function pods(): KubernetesObject[] {
  return podNames.map((name, index) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: metadata(name, index + 10, 'sample'),
    spec: { nodeName: 'sample-node', containers: [{ name, image: 'sample.invalid/sample:1' }] },
    status: {
      phase: 'Running',
      podIP: `192.0.2.${index + 1}`,
      startTime: created,
      conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: created }],
      containerStatuses: [
        {
          name,
          ready: true,
          started: true,
          restartCount: 0,
          image: 'sample.invalid/sample:1',
          imageID: '',
          state: { running: { startedAt: created } },
        },
      ],
    },
  }))
}

function configMaps(reader: Reader): KubernetesObject[] {
  return [
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: metadata('about', 20, 'sample'),
      data: { about, 'your-name-here': reader.username, 'your-groups-here': reader.groups.join(',') },
    },
  ]
}

export const kinds: readonly Kind[] = [
  {
    resource: 'namespaces',
    kind: 'Namespace',
    shortNames: ['ns'],
    namespaced: false,
    objects: namespaces,
    columns: ['Status', 'Age'],
    cells: () => ['Active', age()],
  },
  {
    resource: 'pods',
    kind: 'Pod',
    shortNames: ['po'],
    namespaced: true,
    objects: pods,
    columns: ['Ready', 'Status', 'Restarts', 'Age'],
    cells: () => ['1/1', 'Running', '0', age()],
  },
  {
    resource: 'configmaps',
    kind: 'ConfigMap',
    shortNames: ['cm'],
    namespaced: true,
    objects: configMaps,
    columns: ['Data', 'Age'],
    cells: () => ['3', age()],
  },
]

function age(): string {
  return `${Math.max(0, Math.floor((Date.now() - Date.parse(created)) / 86_400_000))}d`
}

/** The Table form that kubectl asks for to print. */
export function table(kind: Kind, objects: readonly KubernetesObject[]): Record<string, unknown> {
  const columnDefinitions = ['Name', ...kind.columns].map((name) => ({
    name,
    type: 'string',
    format: name === 'Name' ? 'name' : '',
    description: '',
    priority: 0,
  }))
  const rows = objects.map((object) => ({
    cells: [object.metadata.name, ...kind.cells(object)],
    object: { apiVersion: 'meta.k8s.io/v1', kind: 'PartialObjectMetadata', metadata: object.metadata },
  }))
  return {
    apiVersion: 'meta.k8s.io/v1',
    kind: 'Table',
    metadata: { resourceVersion: '100' },
    columnDefinitions,
    rows,
  }
}

export function list(kind: Kind, items: readonly KubernetesObject[]): Record<string, unknown> {
  return { apiVersion: 'v1', kind: `${kind.kind}List`, metadata: { resourceVersion: '100' }, items }
}

/** What the discovery paths answer, in their plain form, by path. */
export const discovery: Readonly<Record<string, unknown>> = {
  '/version': {
    major: '1',
    minor: '35',
    gitVersion: 'v1.35.0-sample',
    gitCommit: '',
    gitTreeState: 'clean',
    buildDate: created,
    goVersion: '',
    compiler: '',
    platform: 'sample',
  },
  '/api': { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] },
  '/api/v1': {
    kind: 'APIResourceList',
    groupVersion: 'v1',
    resources: [
      ...kinds.map(({ resource, kind, shortNames, namespaced }) => ({
        name: resource,
        singularName: kind.toLowerCase(),
        namespaced,
        kind,
        shortNames,
        verbs: ['get', 'list', 'watch'],
      })),
      { name: 'pods/log', singularName: '', namespaced: true, kind: 'Pod', verbs: ['get'] },
      {
        name: 'pods/exec',
        singularName: '',
        namespaced: true,
        kind: 'PodExecOptions',
        verbs: ['create', 'get'],
      },
    ],
  },
  '/apis': {
    kind: 'APIGroupList',
    apiVersion: 'v1',
    groups: ['authentication.k8s.io', 'authorization.k8s.io'].map((name) => {
      const version = { groupVersion: `${name}/v1`, version: 'v1' }
      return { name, versions: [version], preferredVersion: version }
    }),
  },
  '/apis/authentication.k8s.io/v1': {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: 'authentication.k8s.io/v1',
    resources: [review('selfsubjectreviews', 'SelfSubjectReview')],
  },
  '/apis/authorization.k8s.io/v1': {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: 'authorization.k8s.io/v1',
    resources: [review('selfsubjectaccessreviews', 'SelfSubjectAccessReview')],
  },
  '/openapi/v2': { swagger: '2.0', info: { title: 'sample', version: '1' }, paths: {} },
  '/openapi/v3': { paths: {} },
}

function review(name: string, kind: string): Record<string, unknown> {
  return { name, singularName: kind.toLowerCase(), namespaced: false, kind, verbs: ['create'] }
}
