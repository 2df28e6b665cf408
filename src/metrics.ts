// The process's counters, in the names that dashboards of the product know. Counting is a plain addition;
// text is made only when `/metrics` is read. The only importer of the metrics library.

import { Counter, Gauge, Registry } from 'prom-client'
import { version } from './version.ts'

const registry = new Registry()

function counter<Label extends string = never>(
  name: string,
  help: string,
  labelNames: readonly Label[] = [],
) {
  return new Counter<Label>({ name, help, labelNames: [...labelNames], registers: [registry] })
}

function gauge<Label extends string = never>(name: string, help: string, labelNames: readonly Label[] = []) {
  return new Gauge<Label>({ name, help, labelNames: [...labelNames], registers: [registry] })
}

export const metrics = {
  processState: gauge('process_state', 'State of the process: 0 ok, 1 recovering, 2 degraded, 3 starting'),
  connectedResources: gauge('teleport_connected_resources', 'Resources connected to this process', ['type']),
  kubernetesRequests: counter(
    'teleport_kubernetes_server_api_requests_total',
    'Kubernetes requests forwarded, by status class',
    ['code'],
  ),
  kubernetesInFlight: gauge('teleport_kubernetes_server_in_flight_requests', 'Kubernetes requests in flight'),
  kubernetesSessions: counter(
    'teleport_kubernetes_server_exec_sessions_total',
    'Sessions started: exec, attach, portforward',
    ['kind'],
  ),
  userLogins: counter('user_login_total', 'Successful logins'),
  failedLogins: counter('failed_login_attempts_total', 'Failed logins'),
  certificatesIssued: counter('auth_generate_requests_total', 'Certificates issued'),
  certificateMismatches: counter('certificate_mismatch_total', 'Presented certificates that were refused'),
  auditFailures: counter('audit_failed_emit_events', 'Audit events that could not be stored'),
  clusterNotFound: counter('cluster_name_not_found_total', 'Requests for a cluster that is not registered'),
}

// The Go version of the reference is meaningless here; dashboards only need the label to exist.
gauge('teleport_build_info', 'Build of this process', ['version', 'gitref', 'goversion']).set(
  { version, gitref: '', goversion: `bun${Bun.version}` },
  1,
)

/** The Prometheus text of everything counted. */
export async function metricsText(): Promise<{ contentType: string; body: string }> {
  return { contentType: registry.contentType, body: await registry.metrics() }
}
