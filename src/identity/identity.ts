// Who a certificate says its holder is. `certificate.ts` turns an identity into a subject and back;
// `verify.ts` is the only way to get one from a presented chain.

export type Traits = Readonly<Record<string, readonly string[]>>

/** Roles that processes of the product hold; people and bots never do. */
export type SystemRole = 'Admin' | 'Auth' | 'Proxy' | 'Kube' | 'Instance' | 'Nop'

/** A person or a bot. Field meanings: control-plane guide of the certificate subject, one attribute each. */
export interface UserIdentity {
  readonly type: 'user'
  readonly username: string
  /** The cluster whose user authority signed the certificate. */
  readonly cluster: string
  readonly roles: readonly string[]
  /** What the certificate may be used for; empty is everything, `usage:kube` only Kubernetes. */
  readonly usage: readonly string[]
  readonly logins: readonly string[]
  readonly traits: Traits
  /** Where connections go: empty means this cluster, or no Kubernetes cluster chosen. */
  readonly routeToCluster: string
  readonly kubernetesCluster: string
  readonly kubernetesUsers: readonly string[]
  readonly kubernetesGroups: readonly string[]
  readonly userType: 'local' | 'sso'
  readonly mfaDevice: string
  readonly loginIp: string
  readonly pinnedIp: string
  readonly renewable: boolean
  readonly generation: number
  readonly disallowReissue: boolean
  readonly impersonator: string
  readonly accessRequests: readonly string[]
  readonly allowedResourceIds: string
  readonly previousIdentityExpires: number
  readonly botName: string
  readonly botInstance: string
  readonly privateKeyPolicy: string
  /** Milliseconds since the epoch. */
  readonly notBefore: number
  readonly notAfter: number
}

/** A process of the product. */
export interface HostIdentity {
  readonly type: 'host'
  readonly hostId: string
  readonly cluster: string
  readonly roles: readonly SystemRole[]
  readonly notBefore: number
  readonly notAfter: number
}

export type Identity = UserIdentity | HostIdentity
