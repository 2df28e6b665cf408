// How tctl says what it did to a resource. The words differ from kind to kind, and scripts match on them.

type Outcome = 'created' | 'updated' | 'deleted'

const singletons: Readonly<Record<string, string>> = {
  cluster_auth_preference: 'cluster auth preference',
  cluster_networking_config: 'cluster networking configuration',
  session_recording_config: 'session recording configuration',
}

const quotedNouns: Readonly<Record<string, string>> = {
  kube_cluster: 'kubernetes cluster',
  kube_server: 'Kubernetes server',
  trusted_cluster: 'trusted cluster',
  remote_cluster: 'remote cluster',
  cert_authority: 'certificate authority',
}

/** One line, newline included. */
export function outcomeLine(kind: string, name: string, outcome: Outcome): string {
  const singleton = singletons[kind]
  if (singleton) return `${singleton} has been ${outcome === 'deleted' ? 'reset to defaults' : outcome}\n`
  // A token is called by its old name when it is made, and by its kind when it goes.
  if (kind === 'token' && outcome !== 'deleted') return `provision_token "${name}" has been ${outcome}\n`
  return `${quotedNouns[kind] ?? kind} "${name}" has been ${outcome}\n`
}
