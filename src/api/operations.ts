// The operations of the auth role: the contract between it and every client. `routes.ts` puts them on HTTP,
// `client.ts` is the one client, `roles/auth` implements `Operations`. Who may call what is decided there alone.

import type { Identity } from '../identity/identity.ts'
import type { Resource } from '../resources/resource.ts'
import type * as schemas from './schemas.ts'

/** Who calls: what its certificate proved, or this process itself (the data directory's admin identity). */
export interface Caller {
  readonly identity: Identity
  /** Socket address of the caller, for the audit. */
  readonly address: string
}

/** One method per operation; failures are `TeleportError`s on both sides of the wire. */
export interface AuthClient {
  /** Answers anyone. */
  clusterInfo(): Promise<schemas.ClusterInfo>

  // Resources, of any kind in the table of kinds. `name` of a singleton is its fixed name.
  listResources(kind: string, options?: { with_secrets?: boolean }): Promise<readonly Resource[]>
  getResource(kind: string, name: string, options?: { with_secrets?: boolean }): Promise<Resource>
  /** Refused with `already-exists` unless `force`. A revision in the resource must match what is stored. */
  createResource(
    resource: Resource,
    options?: { force?: boolean; confirm?: boolean },
  ): Promise<{ resource: Resource; outcome: 'created' | 'updated' }>
  /** The resource must exist and its revision match, else `compare-failed`. */
  updateResource(resource: Resource): Promise<Resource>
  /** Singletons are reset to their defaults instead. */
  deleteResource(kind: string, name: string): Promise<void>
  /** A host announces what it serves; `expires` in the metadata is the time to live. */
  heartbeat(resource: Resource): Promise<void>
  watch(request: schemas.WatchRequest, signal: AbortSignal): AsyncIterable<schemas.WatchEvent>

  // People
  addUser(input: schemas.AddUser): Promise<schemas.SignupToken>
  /** Wipes password and second factors and makes a reset link. */
  resetUser(name: string, options?: { ttl?: string }): Promise<schemas.SignupToken>
  signupPage(token: string): Promise<schemas.SignupPage>
  completeSignup(input: schemas.CompleteSignup): Promise<{ user: string }>
  changePassword(input: schemas.ChangePassword): Promise<void>
  /** Only a proxy may forward a login. */
  login(input: schemas.Login): Promise<schemas.IssuedCertificate>

  // Certificates
  reissueCertificate(input: schemas.ReissueCertificate): Promise<schemas.IssuedCertificate>
  signUserCertificate(input: schemas.SignUserCertificate): Promise<schemas.IssuedCertificate>
  signHostCertificate(
    input: schemas.SignHostCertificate,
  ): Promise<{ certificate: string; authorities: { user: string[]; host: string[] } }>
  exportAuthorities(type: string, options?: { keys?: boolean }): Promise<readonly schemas.AuthorityExport[]>

  // Kubernetes
  /** The clusters the caller may see, sorted by name. */
  kubernetesClusters(): Promise<readonly schemas.VisibleKubernetesCluster[]>
  /** Throws `limit-exceeded` when all places are taken. */
  acquireLease(input: schemas.AcquireLease): Promise<{ id: string }>
  releaseLease(input: { kind: string; name: string; id: string }): Promise<void>

  // Audit
  /** Returns when the events are stored. Hosts only. */
  emitAudit(events: readonly schemas.AuditRecord[]): Promise<void>
  searchAudit(input: schemas.SearchAudit): Promise<schemas.AuditPage>
  /** Checks the chain of the whole log. */
  verifyAudit(): Promise<schemas.AuditVerdict>
}

/** The same, with the caller made explicit: what the auth role implements. */
export type Operations = {
  [Name in keyof AuthClient]: (
    caller: Caller,
    ...input: Parameters<AuthClient[Name]>
  ) => ReturnType<AuthClient[Name]>
}
