// Kubeconfigs that stand alone: one cluster, one user with its certificate and key inside, for tools without us.

export interface EmbeddedKubeconfig {
  /** Of cluster, user and context alike. */
  readonly name: string
  readonly server: string
  /** PEM, what the server's certificate is checked against. */
  readonly authorities: string
  readonly certificate: string
  readonly key: string
  readonly tlsServerName?: string
}

/** The text of such a file. Written as JSON values in YAML lines, so that no name can break out of its place. */
export function embeddedKubeconfig(input: EmbeddedKubeconfig): string {
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  const quoted = JSON.stringify
  return [
    'apiVersion: v1',
    'clusters:',
    '- cluster:',
    `    certificate-authority-data: ${base64(input.authorities)}`,
    `    server: ${input.server}`,
    ...(input.tlsServerName ? [`    tls-server-name: ${input.tlsServerName}`] : []),
    `  name: ${quoted(input.name)}`,
    'contexts:',
    '- context:',
    `    cluster: ${quoted(input.name)}`,
    `    user: ${quoted(input.name)}`,
    `  name: ${quoted(input.name)}`,
    `current-context: ${quoted(input.name)}`,
    'kind: Config',
    'preferences: {}',
    'users:',
    `- name: ${quoted(input.name)}`,
    '  user:',
    `    client-certificate-data: ${base64(input.certificate)}`,
    `    client-key-data: ${base64(input.key)}`,
    '',
  ].join('\n')
}
