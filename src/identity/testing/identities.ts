// Identities for tests: everything empty unless the test says otherwise.

import type { HostIdentity, UserIdentity } from '../identity.ts'

export function testUser(fields: Partial<UserIdentity>): UserIdentity {
  return {
    type: 'user',
    username: 'alice',
    cluster: 'root',
    roles: ['access'],
    usage: [],
    logins: [],
    traits: {},
    routeToCluster: '',
    kubernetesCluster: '',
    kubernetesUsers: [],
    kubernetesGroups: [],
    userType: 'local',
    mfaDevice: '',
    loginIp: '',
    pinnedIp: '',
    renewable: false,
    generation: 0,
    disallowReissue: false,
    impersonator: '',
    accessRequests: [],
    allowedResourceIds: '',
    previousIdentityExpires: 0,
    botName: '',
    botInstance: '',
    privateKeyPolicy: '',
    notBefore: 0,
    notAfter: Number.MAX_SAFE_INTEGER,
    ...fields,
  }
}

export function testHost(fields: Partial<HostIdentity>): HostIdentity {
  return {
    type: 'host',
    hostId: '00000000-0000-4000-8000-000000000001',
    cluster: 'root',
    roles: ['Kube'],
    notBefore: 0,
    notAfter: Number.MAX_SAFE_INTEGER,
    ...fields,
  }
}
