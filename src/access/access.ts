// Access is a pure function from (identity, roles, cluster, request) to a `Grant` or a refusal. A `Grant` can
// only be made in this room, and the code that reaches an API server takes one as argument.

declare const granted: unique symbol

/** Limits that live connections of this identity are held to. Times in milliseconds, 0 is none. */
export interface SessionLimits {
  readonly clientIdleTimeout: number
  readonly clientIdleTimeoutMessage: string
  /** When to cut the connection because the certificate has expired, milliseconds since the epoch. */
  readonly disconnectAt: number
  /** Kubernetes connections of this user at once, over the whole cluster. */
  readonly maxKubernetesConnections: number
  readonly recordSession: 'strict' | 'best_effort'
}

/** The right to send one request to one Kubernetes cluster as these principals. */
export interface Grant {
  readonly [granted]: true
  readonly username: string
  readonly kubernetesCluster: string
  /** Principals the roles allow; `impersonate.ts` picks from them what the API server will see. */
  readonly kubernetesUsers: readonly string[]
  /** Includes `system:authenticated`. */
  readonly kubernetesGroups: readonly string[]
  readonly limits: SessionLimits
}
