// A Kubernetes cluster that this agent serves. Every way to its API server takes a Grant; the one exception is the
// agent's question about its own rights.

import type { Grant } from '../access/access.ts'
import { connectionProblem, messageOf } from '../errors.ts'
import type {
  Exchange,
  ForwardOutcome,
  OutgoingHead,
  UpgradeOptions,
  UpgradeOutcome,
} from '../http/exchange.ts'
import { createUpstream, type Upstream } from '../http/upstream.ts'
import { forwardedHeaders } from './headers.ts'
import { choosePrincipals, impersonationHeaders, type Principals } from './impersonate.ts'
import type { ClusterAccess } from './upstream-credentials.ts'

export type Labels = Readonly<Record<string, string>>

export interface SendOptions {
  /** The target that was authorised, without a path that only chose the cluster. */
  readonly target: string
  readonly onPrincipals?: (principals: Principals) => void
}

export class ServedCluster implements AsyncDisposable {
  readonly name: string
  readonly #access: ClusterAccess
  readonly #upstream: Upstream
  readonly #labels: () => Labels

  constructor(access: ClusterAccess, labels: () => Labels) {
    this.name = access.name
    this.#access = access
    this.#labels = labels
    this.#upstream = createUpstream(access.upstream)
  }

  labels(): Labels {
    return this.#labels()
  }

  /** Sends a client's request on as the Grant's principals. */
  async forward(grant: Grant, exchange: Exchange, options: SendOptions): Promise<ForwardOutcome> {
    return exchange.forward(this.#upstream, await this.#head(grant, exchange, options))
  }

  /** The same for a request that leaves HTTP. */
  async upgrade(
    grant: Grant,
    exchange: Exchange,
    options: SendOptions & UpgradeOptions,
  ): Promise<UpgradeOutcome> {
    const head = await this.#head(grant, exchange, options)
    return exchange.upgrade(this.#upstream, head, options.opened ? { opened: options.opened } : {})
  }

  async #head(
    grant: Grant,
    exchange: Exchange,
    { target, onPrincipals }: SendOptions,
  ): Promise<OutgoingHead> {
    if (grant.kubernetesCluster !== this.name) throw new TypeError('this grant is for another cluster')
    const { request, connection } = exchange
    const principals = choosePrincipals(grant, request.headers)
    onPrincipals?.(principals)
    const from = { client: connection.client.host, host: request.authority, path: this.#access.pathPrefix }
    return {
      method: request.method,
      target: this.#access.pathPrefix + target,
      // Ours come last, after everything of the client's that could stand in their place is gone.
      headers: [
        ...forwardedHeaders(request.headers, from),
        ...impersonationHeaders(principals),
        ...(await this.#access.authorization()),
      ],
    }
  }

  /** Whether the agent itself may do this (SelfSubjectAccessReview). */
  async mayAgent(attributes: { verb: string; resource: string; group?: string }): Promise<boolean> {
    const body = {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes: attributes },
    }
    const answer = await this.#upstream.send(
      {
        method: 'POST',
        target: `${this.#access.pathPrefix}/apis/authorization.k8s.io/v1/selfsubjectaccessreviews`,
        headers: [
          ['content-type', 'application/json'],
          ['accept', 'application/json'],
          ...(await this.#access.authorization()),
        ],
      },
      { body: Buffer.from(JSON.stringify(body)) },
    )
    const text = Buffer.from(answer.body).toString('utf8')
    if (answer.status !== 201)
      throw connectionProblem(`the API server answered ${answer.status}: ${text.slice(0, 200)}`)
    try {
      const review = JSON.parse(text) as { status?: { allowed?: boolean } }
      return review.status?.allowed === true
    } catch (cause) {
      throw connectionProblem(`the API server's answer is not JSON: ${messageOf(cause)}`, { cause })
    }
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#upstream[Symbol.asyncDispose]()
  }
}

/** What the agent needs in the cluster and does not have, e.g. `impersonate users`. */
export async function missingPermissions(cluster: Pick<ServedCluster, 'mayAgent'>): Promise<string[]> {
  const needed = [
    { verb: 'impersonate', resource: 'users' },
    { verb: 'impersonate', resource: 'groups' },
    { verb: 'impersonate', resource: 'serviceaccounts' },
    { verb: 'get', resource: 'pods' },
  ]
  const answers = await Promise.all(needed.map((one) => cluster.mayAgent(one)))
  return needed.filter((_, index) => !answers[index]).map(({ verb, resource }) => `${verb} ${resource}`)
}
