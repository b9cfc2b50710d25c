import { parseArgs } from 'node:util'
import t from 'tap'
import { readWebhookFlags, webhookFlags } from '../../src/inject/webhook-flags.ts'

const read = (...args: string[]) =>
  readWebhookFlags(parseArgs({ args, options: webhookFlags }).values)

t.test('an authority of its own, or files', async t => {
  const own = [
    '--namespace',
    'n',
    '--secret',
    's',
    '--configuration',
    'c',
    '--dns-name',
    'a',
    '--dns-name',
    'b',
  ]
  t.match(read(...own), {
    strict: false,
    host: '0.0.0.0',
    port: 10_250,
    healthPort: 9790,
    certificates: {
      kind: 'own',
      hosts: ['a', 'b'],
      names: { namespace: 'n', secret: 's', configuration: 'c' },
    },
  })
  t.match(read('--tls-folder', '/tls', '--strict', '--host', '::', '--port', '443'), {
    strict: true,
    host: '::',
    port: 443,
    certificates: { kind: 'files', folder: '/tls' },
  })
})

t.test('all problems at once, each with its flag and value', async t => {
  t.same(read('--host', 'example.com', '--port', '70000', '--health-port', 'http'), {
    problems: [
      '--host example.com must be an IP address',
      '--port 70000 must be a whole number from 0 to 65535',
      '--health-port http must be a whole number from 0 to 65535',
      '--namespace, --secret, --configuration and at least one --dns-name must be given, or --tls-folder',
    ],
  })
})
