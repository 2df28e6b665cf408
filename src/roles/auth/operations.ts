// The operations of the auth API. Each begins with who may call it; nothing is read or written before that is decided.

import { canSeeCluster, compilePolicy, rolesNamed } from '../../access/access.ts'
import { lockedBecause } from '../../access/locks.ts'
import { allowsRule, checkRule, type ResourceVerb } from '../../access/resource-rules.ts'
import type { Caller, Operations } from '../../api/operations.ts'
import type * as schemas from '../../api/schemas.ts'
import type { Audit } from '../../audit/audit.ts'
import * as events from '../../audit/events.ts'
import { searchAudit, verifyAudit } from '../../audit/read.ts'
import {
  accessDenied,
  badParameter,
  messageOf,
  notFound,
  TeleportError,
  unauthenticated,
} from '../../errors.ts'
import { authorityPin, type Authority, loadAuthority } from '../../identity/authority.ts'
import type { SystemRole } from '../../identity/identity.ts'
import { parsePublicKey } from '../../identity/keys.ts'
import { createLogger } from '../../log.ts'
import { metrics } from '../../metrics.ts'
import { createRateLimiter } from '../../net/rate-limiter.ts'
import { type AuthorityType, authorityTypes, parseCertAuthority } from '../../resources/cert-authority.ts'
import { authPreferenceName, parseClusterAuthPreference } from '../../resources/cluster-auth-preference.ts'
import { clusterNameName, parseClusterName } from '../../resources/cluster-name.ts'
import { parseKubeServer } from '../../resources/kube-server.ts'
import { type KindEntry, parseResource, requireKind } from '../../resources/kinds.ts'
import { parseLock } from '../../resources/lock.ts'
import { parseProxy } from '../../resources/proxy.ts'
import type { Resource } from '../../resources/resource.ts'
import { parseRole, type Role } from '../../resources/role.ts'
import { parseToken } from '../../resources/token.ts'
import { parseUser, type User } from '../../resources/user.ts'
import type { Store } from '../../store/store.ts'
import { version } from '../../version.ts'
import { defaultSingleton, originLabel } from './bootstrap.ts'
import { loginLifetime, signedLifetime, signHost, signUser } from './certificates.ts'
import type { Leases } from './leases.ts'
import type { Passwords } from './passwords.ts'
import { wrongCredentials } from './passwords.ts'
import type { ResourceStore } from './resource-store.ts'
import type { Signups } from './signup.ts'
import { watchResources } from './watch.ts'

const log = createLogger('auth')

export interface OperationsOptions {
  readonly cluster: string
  readonly store: Store
  readonly resources: ResourceStore
  readonly passwords: Passwords
  readonly signups: Signups
  readonly leases: Leases
  readonly audit: Audit
  readonly auditFolder: string
  readonly clock?: () => number
}

/** Unauthenticated and login operations, per client address. */
const anonymousRate = { burst: 40, perMinute: 20 }

export function createOperations(options: OperationsOptions): Operations {
  const { cluster, resources, signups, passwords, leases, audit } = options
  const clock = options.clock ?? Date.now
  const allowAnonymous = createRateLimiter({ ...anonymousRate, clock })

  const rolesOf = async (names: readonly string[]): Promise<Role[]> => {
    const all = new Map((await resources.list('role')).map((role) => [role.metadata.name, role]))
    return rolesNamed(names, (name) => {
      const found = all.get(name)
      return found && parseRole(found)
    })
  }

  /** Who calls, with locks looked at and the roles a user has now. */
  async function known({
    identity,
  }: Caller): Promise<{ identity: Caller['identity']; roles: readonly Role[] }> {
    const locked = lockedBecause((await resources.list('lock')).map(parseLock), identity, clock())
    if (locked !== undefined) throw accessDenied(locked)
    return { identity, roles: identity.type === 'user' ? await rolesOf(identity.roles) : [] }
  }

  async function allow(caller: Caller, verb: ResourceVerb, kind: string): Promise<void> {
    checkRule(await known(caller), verb, kind)
  }

  const hasRole = ({ identity }: Caller, role: SystemRole) =>
    identity.type === 'host' && identity.roles.includes(role)

  async function requireHost(caller: Caller, ...roles: readonly SystemRole[]): Promise<void> {
    await known(caller)
    if (!roles.some((role) => hasRole(caller, role)))
      throw accessDenied('this operation is for processes of the cluster')
  }

  const actor = (caller: Caller) => events.actorOf(caller.identity, cluster, caller.address)

  async function authority(type: AuthorityType): Promise<Authority> {
    const { spec } = parseCertAuthority(await resources.get('cert_authority', type))
    const [key] = spec.active_keys.tls
    if (!key?.key) throw new TypeError(`authority ${type} has no key`)
    return authorities.get(key.key, () => loadAuthority({ certificate: key.cert, privateKey: key.key ?? '' }))
  }
  const authorities = createSmallCache<Authority>()

  const trusted = async (type: AuthorityType) =>
    parseCertAuthority(await resources.get('cert_authority', type)).spec.active_keys.tls.map(
      ({ cert }) => cert,
    )

  const preference = async () =>
    parseClusterAuthPreference(await resources.get('cluster_auth_preference', authPreferenceName))
  const needsCode = async () => (await preference()).spec.second_factor !== 'off'

  const proxies = async () => (await resources.list('proxy')).map((one) => parseProxy(one).spec.public_addr)

  function visible(entry: KindEntry, resource: Resource, withSecrets: boolean): Resource {
    return withSecrets || !entry.withoutSecrets ? resource : entry.withoutSecrets(resource)
  }

  async function changed(
    caller: Caller,
    change: 'create' | 'update' | 'delete',
    resource: { kind: string; name: string; more?: Record<string, unknown> },
  ): Promise<void> {
    const event = events.resourceChanged(actor(caller), change, resource)
    if (event) await audit.emit(event)
  }

  /** What must hold between resources before one is written. */
  async function checkReferences(caller: Caller, resource: Resource): Promise<void> {
    // Patterns and expressions that do not compile are refused here, not at the first request.
    if (resource.kind === 'role')
      compilePolicy([parseRole(resource)], { username: '', roles: [], traits: {} })
    if (resource.kind === 'user') await rolesOf(parseUser(resource).spec.roles)
    if (resource.kind === 'cert_authority' || resource.kind === 'cluster_name')
      throw accessDenied(`${resource.kind} cannot be written`)
    if (requireKind(resource.kind).announced)
      throw accessDenied(`${resource.kind} is announced by its host and cannot be written`)
    if (resource.kind === 'kube_cluster' && caller.identity.type === 'user')
      await checkLabelScope(caller, resource)
  }

  // Nobody may make or keep a cluster that they could not see themselves.
  async function checkLabelScope(caller: Caller, resource: Resource): Promise<void> {
    const { identity, roles } = await known(caller)
    if (identity.type !== 'user') return
    const policy = compilePolicy(roles, identity)
    const hasKubernetes = policy.roles.some((role) => role.allows(resource.metadata.labels ?? {}))
    if (!hasKubernetes)
      throw accessDenied(
        `access denied to Kubernetes cluster ${JSON.stringify(resource.metadata.name)}: its labels are outside of your roles' kubernetes_labels`,
      )
  }

  async function link(user: string, type: 'invite' | 'reset', ttl: string): Promise<schemas.SignupToken> {
    const { token, expires } = await signups.create(user, type, ttl)
    const proxy = (await proxies())[0] ?? '<proxyhost>:3080'
    return { token, user, type, expires, proxy, url: `https://${proxy}/web/${type}/${token}` }
  }

  async function issued(
    certificate: string,
    notAfter: number,
    username: string,
  ): Promise<schemas.IssuedCertificate> {
    metrics.certificatesIssued.inc()
    return {
      username,
      cluster,
      certificate,
      host_authorities: await trusted('host'),
      expires: new Date(notAfter).toISOString(),
    }
  }

  async function findUser(name: string): Promise<User | undefined> {
    const found = await resources.find('user', name)
    return found && parseUser(found)
  }

  return {
    async clusterInfo() {
      const name = parseClusterName(await resources.get('cluster_name', clusterNameName))
      return {
        cluster_name: name.spec.cluster_name,
        cluster_id: name.spec.cluster_id,
        server_version: version,
        ca_pins: (await trusted('host')).map(authorityPin),
        proxies: await proxies(),
      }
    },

    async listResources(caller, kind, { with_secrets = false } = {}) {
      const entry = requireKind(kind)
      await allow(caller, 'list', entry.kind)
      await allow(caller, with_secrets ? 'read' : 'readnosecrets', entry.kind)
      return (await resources.list(entry.kind)).map((resource) => visible(entry, resource, with_secrets))
    },

    async getResource(caller, kind, name, { with_secrets = false } = {}) {
      const entry = requireKind(kind)
      await allow(caller, with_secrets ? 'read' : 'readnosecrets', entry.kind)
      return visible(entry, await resources.get(entry.kind, entry.singleton ?? name), with_secrets)
    },

    async createResource(caller, value, { force = false, confirm = false } = {}) {
      const given = parseResource(value)
      const entry = requireKind(given.kind)
      await allow(caller, 'create', given.kind)
      if (force || entry.singleton) await allow(caller, 'update', given.kind)
      await checkReferences(caller, given)
      const existing = await resources.find(given.kind, entry.singleton ?? given.metadata.name)
      checkManaged(existing, confirm)
      const resource = withOrigin(given, existing)
      const written = await resources.put(resource, force || entry.singleton ? 'replace' : 'create')
      await changed(caller, written.outcome === 'created' ? 'create' : 'update', {
        kind: given.kind,
        name: given.metadata.name,
        more: auditDetails(resource),
      })
      return written
    },

    async updateResource(caller, value) {
      const given = parseResource(value)
      await allow(caller, 'update', given.kind)
      await checkReferences(caller, given)
      checkManaged(await resources.find(given.kind, given.metadata.name), false)
      const { resource } = await resources.put(given, 'update')
      await changed(caller, 'update', {
        kind: given.kind,
        name: given.metadata.name,
        more: auditDetails(given),
      })
      return resource
    },

    async deleteResource(caller, kind, name) {
      const entry = requireKind(kind)
      await allow(caller, 'delete', entry.kind)
      if (entry.kind === 'cert_authority' || entry.kind === 'cluster_name')
        throw badParameter(`deleting resources of type ${JSON.stringify(entry.kind)} is not supported`)
      if (entry.singleton) {
        checkManaged(await resources.find(entry.kind, entry.singleton), false)
        await resources.put(defaultSingleton(entry.kind, entry.singleton), 'replace')
      } else {
        if (entry.kind === 'role') await refuseRoleInUse(name)
        await resources.delete(entry.kind, name)
        if (entry.kind === 'user') await passwords.wipe(name)
      }
      await changed(caller, 'delete', { kind: entry.kind, name })
    },

    async heartbeat(caller, value) {
      const resource = parseResource(value)
      if (resource.kind === 'kube_server') {
        await requireHost(caller, 'Kube')
        // An agent speaks for itself only.
        if (
          caller.identity.type !== 'host' ||
          parseKubeServer(resource).spec.host_id !== caller.identity.hostId
        )
          throw accessDenied('an agent may only announce what it serves itself')
      } else if (resource.kind === 'proxy') {
        await requireHost(caller, 'Proxy')
        if (caller.identity.type !== 'host' || resource.metadata.name !== caller.identity.hostId)
          throw accessDenied('a proxy may only announce itself')
      } else throw badParameter(`${resource.kind} is not announced`)
      await resources.announce(resource)
    },

    async *watch(caller, request, signal) {
      const entries = request.kinds.map(requireKind)
      for (const entry of entries) await allow(caller, 'readnosecrets', entry.kind)
      const question = await known(caller)
      const withSecrets = (entry: KindEntry) =>
        allowsRule(question, 'read', entry.kind) && caller.identity.type === 'host'
      yield* watchResources(options, {
        entries,
        signal,
        show: (entry, resource) => visible(entry, resource, withSecrets(entry)),
      })
    },

    async addUser(caller, input) {
      await allow(caller, 'create', 'user')
      const user = parseUser({
        kind: 'user',
        version: 'v2',
        metadata: { name: input.name },
        spec: {
          roles: input.roles,
          traits: input.traits,
          created_by: { time: new Date(clock()).toISOString(), user: { name: actor(caller).user } },
        },
      })
      await rolesOf(user.spec.roles)
      await resources.put(user, 'create')
      await changed(caller, 'create', { kind: 'user', name: input.name, more: { roles: input.roles } })
      return link(input.name, 'invite', input.ttl ?? '1h')
    },

    async resetUser(caller, name, { ttl = '8h' } = {}) {
      await allow(caller, 'update', 'user')
      if (!(await findUser(name))) throw notFound(`user ${JSON.stringify(name)} not found`)
      const token = await link(name, 'reset', ttl)
      await passwords.wipe(name)
      await audit.emit(events.resetTokenCreated(actor(caller), { name, ttl }))
      return token
    },

    async signupPage(caller, token) {
      await requireHost(caller, 'Proxy', 'Admin')
      return signups.page(token, {
        issuer: cluster,
        proxy: (await proxies())[0] ?? cluster,
        needsCode: await needsCode(),
      })
    },

    async completeSignup(caller, input) {
      await requireHost(caller, 'Proxy', 'Admin')
      return { user: await signups.complete(input, await needsCode()) }
    },

    async changePassword(caller, { old_password, new_password, otp_code }) {
      await known(caller)
      if (caller.identity.type !== 'user') throw accessDenied('only people have passwords')
      const { username } = caller.identity
      await passwords.check(username, old_password, {
        code: otp_code,
        needsCode: (await needsCode()) ? 'if-there' : 'never',
      })
      await passwords.change(username, new_password)
    },

    async login(caller, input) {
      await requireHost(caller, 'Proxy')
      const who: events.Actor = { cluster, user: input.username, address: input.client_address }
      try {
        if (!allowAnonymous(input.client_address))
          throw new TeleportError('limit-exceeded', 'rate limit exceeded')
        return await login(input, who)
      } catch (error) {
        metrics.failedLogins.inc()
        await audit.emit(events.userLogin(who, { method: 'local', error: messageOf(error) }))
        throw error
      }
    },

    async reissueCertificate(caller, input) {
      await known(caller)
      const { identity } = caller
      if (identity.type !== 'user')
        throw accessDenied('only people and bots have their certificates reissued')
      if (identity.disallowReissue) throw accessDenied('this certificate cannot be reissued')
      if (identity.usage.length > 0) throw accessDenied('a certificate for one use cannot be reissued')
      const user = await findUser(identity.username)
      if (!user) throw accessDenied(`user ${JSON.stringify(identity.username)} not found`)
      checkRoute(input.route_to_cluster)
      if (input.kubernetes_cluster) await checkKubernetesCluster(caller, input.kubernetes_cluster)
      // The roles the certificate has are the ones it keeps: a login is what gives new ones.
      const roles = await rolesOf(identity.roles)
      const left = identity.notAfter - clock()
      const lifetimeMs = input.ttl
        ? Math.min(left, signedLifetime(roles, { asked: input.ttl, unlimited: true }))
        : left
      const { certificate, identity: next } = signUser(await authority('user'), {
        user: { ...user, spec: { ...user.spec, roles: identity.roles, traits: identity.traits } },
        roles,
        cluster,
        publicKey: input.public_key,
        lifetimeMs,
        now: clock(),
        previous: identity,
        ...(input.route_to_cluster ? { routeToCluster: input.route_to_cluster } : {}),
        ...(input.kubernetes_cluster ? { kubernetesCluster: input.kubernetes_cluster } : {}),
        ...(input.usage ? { usage: input.usage } : {}),
      })
      await audit.emit(events.certificateCreated(actor(caller), next))
      return issued(certificate, next.notAfter, next.username)
    },

    async signUserCertificate(caller, input) {
      await requireHost(caller, 'Admin')
      const user = await findUser(input.username)
      if (!user) throw notFound(`user ${JSON.stringify(input.username)} not found`)
      checkRoute(input.route_to_cluster)
      const roles = await rolesOf(user.spec.roles)
      const lifetimeMs = signedLifetime(roles, { asked: input.ttl ?? '12h', unlimited: true })
      const { certificate, identity } = signUser(await authority('user'), {
        user,
        roles,
        cluster,
        publicKey: input.public_key,
        lifetimeMs,
        now: clock(),
        ...(input.kubernetes_cluster ? { kubernetesCluster: input.kubernetes_cluster } : {}),
      })
      await audit.emit(events.certificateCreated(actor(caller), identity))
      return issued(certificate, identity.notAfter, identity.username)
    },

    async signHostCertificate(caller, input) {
      await requireHost(caller, 'Admin')
      const { certificate, identity } = signHost(await authority('host'), {
        hostId: input.host_id,
        roles: input.roles,
        cluster,
        publicKey: input.public_key,
        names: input.dns_names,
        now: clock(),
      })
      await audit.emit(events.certificateCreated(actor(caller), identity))
      return { certificate, authorities: { user: await trusted('user'), host: await trusted('host') } }
    },

    async exportAuthorities(caller, type, { keys = false } = {}) {
      const names: Readonly<Record<string, AuthorityType>> = {
        user: 'user',
        host: 'host',
        'tls-user': 'user',
        'tls-host': 'host',
        jwt: 'jwt',
      }
      const found = names[type]
      if (!found)
        throw badParameter(`authority type ${JSON.stringify(type)} is not supported`, {
          hint: `use one of ${authorityTypes.join(', ')}, tls-user, tls-host`,
        })
      await allow(caller, keys ? 'read' : 'readnosecrets', 'cert_authority')
      const { spec } = parseCertAuthority(await resources.get('cert_authority', found))
      const pems = spec.active_keys.tls.map(({ cert }) => cert)
      return [
        {
          type,
          cluster,
          pems,
          ...(keys ? { keys: spec.active_keys.tls.flatMap(({ key }) => key ?? []) } : {}),
        },
      ]
    },

    async kubernetesClusters(caller) {
      return kubernetesClusters(caller)
    },

    async acquireLease(caller, input) {
      await requireHost(caller, 'Kube')
      return leases.acquire(input)
    },

    async releaseLease(caller, input) {
      await requireHost(caller, 'Kube')
      await leases.release(input)
    },

    async emitAudit(caller, list) {
      await requireHost(caller, 'Kube', 'Proxy')
      for (const event of list)
        if (event.cluster_name !== cluster) throw badParameter('audit events must name this cluster')
      await audit.emit(...list)
    },

    async searchAudit(caller, search) {
      await allow(caller, 'list', 'event')
      return searchAudit(options.auditFolder, search)
    },

    async verifyAudit(caller) {
      await allow(caller, 'list', 'event')
      return verifyAudit(options.auditFolder)
    },
  }

  async function login(input: schemas.Login, who: events.Actor): Promise<schemas.IssuedCertificate> {
    parsePublicKey(input.public_key)
    checkRoute(input.route_to_cluster)
    const { spec } = await preference()
    if (!spec.allow_local_auth) throw accessDenied('local auth disabled')
    if (input.username === '') throw badParameter("missing parameter 'username'")
    const needs =
      spec.second_factor === 'off' ? 'never' : spec.second_factor === 'optional' ? 'if-there' : 'always'
    await passwords.check(input.username, input.password, { code: input.otp_code, needsCode: needs })
    const user = await findUser(input.username)
    if (!user) throw unauthenticated(wrongCredentials)
    const roles = await rolesOf(user.spec.roles)
    const loginIp = input.client_address.replace(/:\d+$/, '')
    const { certificate, identity } = signUser(await authority('user'), {
      user,
      roles,
      cluster,
      publicKey: input.public_key,
      lifetimeMs: loginLifetime(roles, { asked: input.ttl, preferred: spec.default_session_ttl }),
      now: clock(),
      loginIp,
      ...(input.kubernetes_cluster ? { kubernetesCluster: input.kubernetes_cluster } : {}),
    })
    const locked = lockedBecause((await resources.list('lock')).map(parseLock), identity, clock())
    if (locked !== undefined) throw accessDenied(locked)
    metrics.userLogins.inc()
    await audit.emit(
      events.userLogin({ ...who, roles: user.spec.roles }, { method: 'local' }),
      events.certificateCreated(who, identity),
    )
    return issued(certificate, identity.notAfter, identity.username)
  }

  async function kubernetesClusters(caller: Caller): Promise<schemas.VisibleKubernetesCluster[]> {
    const { identity, roles } = await known(caller)
    const policy = identity.type === 'user' ? compilePolicy(roles, identity) : undefined
    const found = new Map<string, schemas.VisibleKubernetesCluster>()
    for (const resource of await resources.list('kube_server')) {
      const { name, labels } = parseKubeServer(resource).spec.cluster.metadata
      if (!policy || canSeeCluster(policy, labels)) found.set(name, { name, labels })
    }
    return [...found.values()].sort((left, right) => (left.name < right.name ? -1 : 1))
  }

  async function checkKubernetesCluster(caller: Caller, name: string): Promise<void> {
    if ((await kubernetesClusters(caller)).some((one) => one.name === name)) return
    throw notFound(
      `Kubernetes cluster ${JSON.stringify(name)} is not registered in this Teleport cluster; you can list registered Kubernetes clusters using 'tsh kube ls'.`,
    )
  }

  function checkRoute(route: string | undefined): void {
    if (route && route !== cluster) throw notFound(`cluster ${JSON.stringify(route)} is not found`)
  }

  async function refuseRoleInUse(name: string): Promise<void> {
    const users = (await resources.list('user'))
      .map(parseUser)
      .filter((user) => user.spec.roles.includes(name))
    if (users.length === 0) return
    log.debug('a role in use was to be deleted', { role: name })
    throw badParameter(
      `failed to delete role that is still in use by a user. Users in use: ${users.map((user) => user.metadata.name).join(', ')}`,
    )
  }
}

/** Settings that the configuration file holds are not changed behind its back. */
function checkManaged(existing: Resource | undefined, confirm: boolean): void {
  if (existing?.metadata.labels?.[originLabel] !== 'config-file' || confirm || existing.kind === 'token')
    return
  throw badParameter(
    'config resource is managed by static configuration, either remove its definition from teleport.yaml and restart the server or use --confirm flag to overwrite',
  )
}

/** What an event says of a resource besides its name; never what gives access. */
function auditDetails(resource: Resource): Record<string, unknown> {
  switch (resource.kind) {
    case 'kube_cluster':
      return { kube_labels: resource.metadata.labels ?? {} }
    case 'user':
      return { roles: parseUser(resource).spec.roles }
    case 'lock':
      return { target: parseLock(resource).spec.target }
    case 'token': {
      const { roles, join_method } = parseToken(resource).spec
      return { roles, join_method, expires: resource.metadata.expires ?? '' }
    }
    default:
      return {}
  }
}

// Clusters that people register are told apart from those that are configured or found.
function withOrigin(resource: Resource, existing: Resource | undefined): Resource {
  if (resource.kind !== 'kube_cluster') return resource
  const origin = existing?.metadata.labels?.[originLabel] ?? 'dynamic'
  return {
    ...resource,
    metadata: { ...resource.metadata, labels: { ...resource.metadata.labels, [originLabel]: origin } },
  }
}

function createSmallCache<Value>(): { get(key: string, make: () => Value): Value } {
  const values = new Map<string, Value>()
  return {
    get: (key, make) => {
      const known = values.get(key)
      if (known !== undefined) return known
      if (values.size > 16) values.clear()
      const made = make()
      values.set(key, made)
      return made
    },
  }
}
