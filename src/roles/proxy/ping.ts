// What `/webapi/ping` and `/webapi/find` tell a client before it logs in: how to log in, and where Kubernetes
// traffic goes. Key names are those that clients of the product know.

import type { ClusterAuthPreference } from '../../resources/cluster-auth-preference.ts'
import { minimumClientVersion, version } from '../../version.ts'

/** Addresses of this proxy, `host:port`, as its configuration has them. */
export interface ProxyAddresses {
  readonly webListen: string
  readonly webPublic: string
  /** Empty when Kubernetes traffic comes to the web port only. */
  readonly kubeListen: string
  readonly kubePublic: string
  readonly kubernetesEnabled: boolean
}

export interface PingSource {
  readonly clusterName: string
  readonly addresses: ProxyAddresses
  readonly preference: ClusterAuthPreference
}

export function pingResponse({ clusterName, addresses, preference }: PingSource) {
  return {
    auth: {
      type: preference.spec.type,
      second_factor: preference.spec.second_factor,
      preferred_local_mfa: preference.spec.second_factor === 'off' ? '' : 'otp',
      allow_passwordless: false,
      allow_headless: false,
      local: { name: preference.spec.connector_name || 'local' },
      private_key_policy: 'none',
      has_motd: preference.spec.message_of_the_day !== '',
      load_all_cas: false,
      default_session_ttl: preference.spec.default_session_ttl,
    },
    ...findResponse({ clusterName, addresses }),
  }
}

export function findResponse({ clusterName, addresses }: Omit<PingSource, 'preference'>) {
  return {
    proxy: {
      kube: {
        enabled: addresses.kubernetesEnabled,
        public_addr: addresses.kubePublic,
        listen_addr: addresses.kubeListen,
      },
      ssh: {
        listen_addr: '',
        tunnel_listen_addr: addresses.webListen,
        web_listen_addr: addresses.webListen,
        public_addr: addresses.webPublic,
        ssh_public_addr: addresses.webPublic,
        ssh_tunnel_public_addr: addresses.webPublic,
      },
      tls_routing_enabled: addresses.kubeListen === '',
    },
    server_version: version,
    min_client_version: minimumClientVersion,
    cluster_name: clusterName,
    automatic_upgrades: false,
    edition: 'oss',
    fips: false,
  }
}
