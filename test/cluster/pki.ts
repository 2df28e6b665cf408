// The keys and certificates of one test cluster, made by openssl: independent of our own certificate code, which
// the tests on this cluster are to judge.

import { $ } from 'bun'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const extensions = `
[req]
distinguished_name = empty
[empty]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[client]
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
[server]
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
subjectAltName = IP:127.0.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:node-1
`

interface CertificateRequest {
  readonly name: string
  readonly subject: string
  readonly extensions: 'client' | 'server'
  readonly authority?: string
}

const certificates: readonly CertificateRequest[] = [
  { name: 'apiserver', subject: '/CN=kube-apiserver', extensions: 'server' },
  {
    name: 'kubelet-client',
    subject: '/O=system:masters/CN=kube-apiserver-kubelet-client',
    extensions: 'client',
  },
  { name: 'front', subject: '/CN=front-proxy-client', extensions: 'client', authority: 'front-ca' },
  { name: 'admin', subject: '/O=system:masters/CN=kubernetes-admin', extensions: 'client' },
  { name: 'controller-manager', subject: '/CN=system:kube-controller-manager', extensions: 'client' },
  { name: 'scheduler', subject: '/CN=system:kube-scheduler', extensions: 'client' },
  { name: 'node', subject: '/O=system:nodes/CN=system:node:node-1', extensions: 'client' },
  { name: 'node-serving', subject: '/O=system:nodes/CN=system:node:node-1', extensions: 'server' },
]

/** Fills `folder` with `ca`, `front-ca` and the certificates above (`.crt`, `.key`), and `sa.key`, `sa.pub`. */
export async function makePki(folder: string): Promise<void> {
  const config = join(folder, 'openssl.cnf')
  await writeFile(config, extensions)
  const openssl = new $.Shell().cwd(folder)
  const key = [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '30',
    '-config',
    config,
  ]
  for (const name of ['ca', 'front-ca']) {
    await openssl`openssl req -x509 ${key} -extensions authority -subj /CN=${name} -keyout ${name}.key -out ${name}.crt`.quiet()
  }
  for (const { name, subject, extensions, authority = 'ca' } of certificates) {
    await openssl`openssl req -x509 ${key} -extensions ${extensions} -subj ${subject} -CA ${authority}.crt -CAkey ${authority}.key -keyout ${name}.key -out ${name}.crt`.quiet()
  }
  await openssl`openssl genrsa -out sa.key 2048`.quiet()
  await openssl`openssl rsa -in sa.key -pubout -out sa.pub`.quiet()
}

/** A kubeconfig for the holder of a certificate in `pki`. */
export async function kubeconfigFor(server: string, pki: string, name: string): Promise<string> {
  const data = async (file: string) => Buffer.from(await Bun.file(join(pki, file)).bytes()).toString('base64')
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'local', cluster: { server, 'certificate-authority-data': await data('ca.crt') } }],
    users: [
      {
        name,
        user: {
          'client-certificate-data': await data(`${name}.crt`),
          'client-key-data': await data(`${name}.key`),
        },
      },
    ],
    contexts: [{ name: 'local', context: { cluster: 'local', user: name } }],
    'current-context': 'local',
  })
}
