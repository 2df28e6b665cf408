// What goes into and comes out of each operation of the auth API. Each schema is at once the run-time check,
// the static type (same name) and the OpenAPI document. Keys are snake_case, as everywhere on our wires.
// Byte strings are base64, certificates and keys PEM, times RFC 3339, durations Go style (`12h0m0s`).

import { type Static, Type } from '@sinclair/typebox'

const strict = { additionalProperties: false } as const
const Text = (maxLength = 1024) => Type.String({ maxLength })
const Texts = (maxItems = 1000) => Type.Array(Text(), { maxItems })

/** A resource as far as the envelope goes; its kind's own parser checks the rest. */
export const ResourceEnvelope = Type.Object(
  {
    kind: Text(),
    sub_kind: Type.Optional(Text()),
    version: Text(),
    metadata: Type.Object({ name: Text() }, { additionalProperties: true }),
    spec: Type.Optional(Type.Unknown()),
    status: Type.Optional(Type.Unknown()),
  },
  { additionalProperties: true },
)
export type ResourceEnvelope = Static<typeof ResourceEnvelope>

export const ClusterInfo = Type.Object(
  {
    cluster_name: Text(),
    cluster_id: Text(),
    server_version: Text(),
    /** `sha256:<hex>` of each host authority certificate. */
    ca_pins: Texts(10),
    /** Public web addresses of the proxies, `host:port`. */
    proxies: Texts(100),
  },
  strict,
)
export type ClusterInfo = Static<typeof ClusterInfo>

export const WatchRequest = Type.Object({ kinds: Texts(50), after: Type.Optional(Type.Integer()) }, strict)
export type WatchRequest = Static<typeof WatchRequest>

/** A watch begins with `put` of everything there is and one `ready`; then changes as they come. `compacted` ends it. */
export const WatchEvent = Type.Union([
  Type.Object({ type: Type.Literal('put'), resource: ResourceEnvelope, revision: Type.Integer() }, strict),
  Type.Object({ type: Type.Literal('delete'), kind: Text(), name: Text(), revision: Type.Integer() }, strict),
  Type.Object({ type: Type.Literal('ready'), revision: Type.Integer() }, strict),
  Type.Object({ type: Type.Literal('compacted') }, strict),
  /** Keeps the stream alive and says how far the server has got. */
  Type.Object({ type: Type.Literal('progress'), revision: Type.Integer() }, strict),
])
export type WatchEvent = Static<typeof WatchEvent>

export const AddUser = Type.Object(
  {
    name: Text(),
    roles: Texts(),
    traits: Type.Record(Type.String(), Texts()),
    /** How long the invite is valid. @default 1h */
    ttl: Type.Optional(Text()),
  },
  strict,
)
export type AddUser = Static<typeof AddUser>

/** An invite or reset link is `https://<proxy>/web/<invite|reset>/<token>`. */
export const SignupToken = Type.Object(
  {
    token: Text(),
    user: Text(),
    type: Type.Union([Type.Literal('invite'), Type.Literal('reset')]),
    expires: Text(),
    /** Public address of the proxy to open it at, `host:port`; `<proxyhost>:3080` when there is none. */
    proxy: Text(),
    url: Text(),
  },
  strict,
)
export type SignupToken = Static<typeof SignupToken>

/** What the invite page shows. Each fetch makes a new TOTP secret. */
export const SignupPage = Type.Object(
  {
    token: Text(),
    user: Text(),
    expires: Text(),
    second_factor: Text(),
    otp_uri: Text(4096),
    otp_secret: Text(),
  },
  strict,
)
export type SignupPage = Static<typeof SignupPage>

export const CompleteSignup = Type.Object(
  {
    token: Text(),
    password: Text(4096),
    otp_code: Type.Optional(Text()),
    device_name: Type.Optional(Text()),
  },
  strict,
)
export type CompleteSignup = Static<typeof CompleteSignup>

export const ChangePassword = Type.Object(
  { old_password: Text(4096), new_password: Text(4096), otp_code: Type.Optional(Text()) },
  strict,
)
export type ChangePassword = Static<typeof ChangePassword>

/** A login forwarded by a proxy; `client_address` is the client's socket address. */
export const Login = Type.Object(
  {
    username: Text(),
    password: Text(4096),
    otp_code: Type.Optional(Text()),
    client_address: Text(),
    /** SPKI PEM of the key the certificate is for. */
    public_key: Text(8192),
    ttl: Type.Optional(Text()),
    route_to_cluster: Type.Optional(Text()),
    kubernetes_cluster: Type.Optional(Text()),
  },
  strict,
)
export type Login = Static<typeof Login>

export const IssuedCertificate = Type.Object(
  {
    username: Text(),
    cluster: Text(),
    certificate: Text(65536),
    /** PEM of the host authority certificates, to trust the cluster's own listeners. */
    host_authorities: Type.Array(Text(16384)),
    expires: Text(),
  },
  strict,
)
export type IssuedCertificate = Static<typeof IssuedCertificate>

/** A certificate for the caller itself: another Kubernetes cluster, never a longer life than the one it shows. */
export const ReissueCertificate = Type.Object(
  {
    public_key: Text(8192),
    ttl: Type.Optional(Text()),
    route_to_cluster: Type.Optional(Text()),
    kubernetes_cluster: Type.Optional(Text()),
    usage: Type.Optional(Texts(4)),
  },
  strict,
)
export type ReissueCertificate = Static<typeof ReissueCertificate>

/** `tctl auth sign`: builtin admin only. */
export const SignUserCertificate = Type.Object(
  {
    username: Text(),
    public_key: Text(8192),
    ttl: Type.Optional(Text()),
    route_to_cluster: Type.Optional(Text()),
    kubernetes_cluster: Type.Optional(Text()),
  },
  strict,
)
export type SignUserCertificate = Static<typeof SignUserCertificate>

/** A certificate for a process; builtin admin, or a host renewing its own. */
export const SignHostCertificate = Type.Object(
  {
    host_id: Text(),
    roles: Texts(5),
    public_key: Text(8192),
    dns_names: Texts(100),
    ttl: Type.Optional(Text()),
  },
  strict,
)
export type SignHostCertificate = Static<typeof SignHostCertificate>

export const AuthorityExport = Type.Object(
  {
    type: Text(),
    cluster: Text(),
    pems: Type.Array(Text(16384)),
    keys: Type.Optional(Type.Array(Text(16384))),
  },
  strict,
)
export type AuthorityExport = Static<typeof AuthorityExport>

/** A Kubernetes cluster that the caller's roles match. */
export const VisibleKubernetesCluster = Type.Object(
  { name: Text(), labels: Type.Record(Type.String(), Type.String()) },
  strict,
)
export type VisibleKubernetesCluster = Static<typeof VisibleKubernetesCluster>

/** One place in use of `limit`, given back by release or when it expires. */
export const AcquireLease = Type.Object(
  { kind: Text(), name: Text(), limit: Type.Integer({ minimum: 1 }), ttl: Text() },
  strict,
)
export type AcquireLease = Static<typeof AcquireLease>

/** An audit event as stored: flat, typed by `event`, see `audit/events.ts`. */
export const AuditRecord = Type.Object(
  { event: Text(), code: Text(), time: Text(), uid: Text(), ei: Type.Integer(), cluster_name: Text() },
  { additionalProperties: true },
)
export type AuditRecord = Static<typeof AuditRecord>

export const SearchAudit = Type.Object(
  {
    from: Type.Optional(Text()),
    to: Type.Optional(Text()),
    types: Type.Optional(Texts(100)),
    user: Type.Optional(Text()),
    limit: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000 })),
    start_key: Type.Optional(Text()),
    order: Type.Optional(Type.Union([Type.Literal('asc'), Type.Literal('desc')])),
  },
  strict,
)
export type SearchAudit = Static<typeof SearchAudit>

export const AuditPage = Type.Object({ events: Type.Array(AuditRecord), next_key: Text() }, strict)
export type AuditPage = Static<typeof AuditPage>

/** Whether the audit log is as it was written; `bad` is the first line that is not. */
export const AuditVerdict = Type.Object(
  {
    lines: Type.Integer(),
    files: Type.Integer(),
    bad: Type.Optional(Type.Object({ file: Text(), line: Type.Integer(), reason: Text() }, strict)),
    /** Unfinished lines that crashes have cut off; no stored event was lost by it. */
    torn: Type.Array(Type.Object({ file: Text(), bytes: Type.Integer() }, strict)),
  },
  strict,
)
export type AuditVerdict = Static<typeof AuditVerdict>
