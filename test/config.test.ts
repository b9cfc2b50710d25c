import fc from 'fast-check'
import t from 'tap'
import { properties } from '../src/config/schema.ts'
import { ConfigError, configMarkdown, helpText, parseConfig, policyFor } from '../src/config.ts'

type Env = Record<string, string | undefined>

/** What parseConfig finds wrong; empty when it accepts. Any other error fails the test. */
function problemsOf(env: Env): readonly string[] {
  try {
    parseConfig(env)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

t.test('without variables everything has its default', async t => {
  const { managementUrl, metricsUrl, inferenceUrl, ...rest } = parseConfig({
    PATH: '/bin',
    STOKER: '1',
  })
  t.same([managementUrl, metricsUrl, inferenceUrl].map(String), [
    'http://127.0.0.1:8081/',
    'http://127.0.0.1:8082/',
    'http://127.0.0.1:8080/',
  ])
  t.same(rest, {
    mode: 'act',
    caFile: undefined,
    keyFile: undefined,
    listenHost: '0.0.0.0',
    deletionCost: 'leave',
    listenPort: 9790,
    drainMs: 25_000,
    tickMs: 1000,
    timeoutMs: 2000,
    logLevel: 'info',
    dcgmUrl: undefined,
    gpu: { count: undefined, memory: undefined, sharing: 'auto' },
    models: {},
    pod: undefined,
    memory: {
      maxMemory: undefined,
      minMemory: undefined,
      memoryLimit: 'follow',
      inPod: false,
    },
    defaults: {
      workerMemory: undefined,
      gpuWorkerMemory: undefined,
      gpuMemoryUnknown: 'hold',
      minWorkers: 1,
      maxWorkers: 8,
      maxWaitMs: undefined,
      waitProbability: 0.02,
      holdMs: 60_000,
      decoys: 'auto',
      scale: true,
    },
  })
})

t.test('every variable is read', async t => {
  const config = parseConfig({
    STOKER_MODE: 'advise',
    STOKER_MANAGEMENT_URL: 'https://torchserve:8444',
    STOKER_METRICS_URL: 'HTTPS://[::1]:8445/',
    STOKER_INFERENCE_URL: 'http://10.0.0.7:8080',
    STOKER_CA_FILE: '/etc/ssl/ca with blank.pem',
    STOKER_KEY_FILE: 'key_file.json',
    STOKER_LISTEN_HOST: '::1',
    STOKER_LISTEN_PORT: '0',
    STOKER_TICK_MS: '200',
    STOKER_TIMEOUT_MS: '30000',
    STOKER_LOG_LEVEL: 'debug',
    STOKER_MIN_WORKERS: '0',
    STOKER_MAX_WORKERS: '1000',
    STOKER_MAX_WAIT_MS: '0',
    STOKER_WAIT_PROBABILITY: '0.5',
    STOKER_HOLD_MS: '3600000',
    STOKER_MODELS: '{"a": {"scale": false}}',
  })
  t.equal(config.mode, 'advise')
  t.equal(config.managementUrl.href, 'https://torchserve:8444/')
  t.equal(config.metricsUrl.href, 'https://[::1]:8445/')
  t.equal(config.inferenceUrl.href, 'http://10.0.0.7:8080/')
  t.match(config, {
    caFile: '/etc/ssl/ca with blank.pem',
    keyFile: 'key_file.json',
    listenHost: '::1',
    listenPort: 0,
    tickMs: 200,
    timeoutMs: 30_000,
    logLevel: 'debug',
    models: { a: { scale: false } },
    defaults: {
      minWorkers: 0,
      maxWorkers: 1000,
      maxWaitMs: 0,
      waitProbability: 0.5,
      holdMs: 3_600_000,
    },
  })
})

t.test('a model has its own settings over those of all', async t => {
  const config = parseConfig({
    STOKER_MAX_WORKERS: '4',
    STOKER_MODELS:
      '{"resnet": {"maxWorkers": 16, "decoys": "off"}, "__proto__": {"minWorkers": 2}}',
  })
  t.match(policyFor(config, 'resnet'), {
    minWorkers: 1,
    maxWorkers: 16,
    decoys: 'off',
    scale: true,
  })
  t.match(policyFor(config, '__proto__'), { minWorkers: 2, maxWorkers: 4, decoys: 'auto' })
  for (const other of ['bert', 'constructor', 'toString']) {
    t.same(policyFor(config, other), config.defaults, other)
  }
})

t.test('an empty variable counts as not set', async t => {
  t.same(
    parseConfig({ STOKER_MODE: '', STOKER_TICK_MS: '', STOKER_MODELS: '', STOKER_FOO: '' }),
    parseConfig({}),
  )
})

const ms = (least: number, most: number) =>
  `must be a whole number of milliseconds from ${least} to ${most}`
const url = 'must be http://HOST:PORT or https://HOST:PORT, without user, path or query'
const host = 'must be an IP address or a host name, without port or brackets'
const path = 'must be the path of a file, not its contents, without white space around it'
const count = 'must be a whole number from 1 to 1000'
const probability = 'must be a number above 0 and below 1'

const mistakes: [name: string, value: string, problem: string][] = [
  ['STOKER_MODE', 'Act', 'STOKER_MODE="Act" must be act or advise'],
  ['STOKER_LOG_LEVEL', 'trace', 'STOKER_LOG_LEVEL="trace" must be debug, info, warn or error'],
  ['STOKER_TICK_MS', '5s', `STOKER_TICK_MS="5s" ${ms(200, 10_000)}`],
  ['STOKER_TICK_MS', '0x3e8', `STOKER_TICK_MS="0x3e8" ${ms(200, 10_000)}`],
  ['STOKER_TICK_MS', '1e3', `STOKER_TICK_MS="1e3" ${ms(200, 10_000)}`],
  ['STOKER_TICK_MS', ' 500', `STOKER_TICK_MS=" 500" ${ms(200, 10_000)}`],
  ['STOKER_TICK_MS', ' ', `STOKER_TICK_MS=" " ${ms(200, 10_000)}`],
  ['STOKER_TICK_MS', '1_000', `STOKER_TICK_MS="1_000" ${ms(200, 10_000)}`],
  ['STOKER_TICK_MS', '0500', `STOKER_TICK_MS="0500" ${ms(200, 10_000)}`],
  ['STOKER_TICK_MS', '500.0', `STOKER_TICK_MS="500.0" ${ms(200, 10_000)}`],
  ['STOKER_TICK_MS', '199', `STOKER_TICK_MS=199 ${ms(200, 10_000)}`],
  ['STOKER_TICK_MS', '10001', `STOKER_TICK_MS=10001 ${ms(200, 10_000)}`],
  ['STOKER_TIMEOUT_MS', '-1', `STOKER_TIMEOUT_MS="-1" ${ms(100, 30_000)}`],
  ['STOKER_HOLD_MS', 'Infinity', `STOKER_HOLD_MS="Infinity" ${ms(1000, 3_600_000)}`],
  ['STOKER_MAX_WORKERS', '1001', `STOKER_MAX_WORKERS=1001 ${count}`],
  ['STOKER_WAIT_PROBABILITY', '0', `STOKER_WAIT_PROBABILITY=0 ${probability}`],
  ['STOKER_WAIT_PROBABILITY', '1', `STOKER_WAIT_PROBABILITY=1 ${probability}`],
  ['STOKER_WAIT_PROBABILITY', '2%', `STOKER_WAIT_PROBABILITY="2%" ${probability}`],
  ['STOKER_WAIT_PROBABILITY', '.5', `STOKER_WAIT_PROBABILITY=".5" ${probability}`],
  [
    'STOKER_LISTEN_PORT',
    '65536',
    'STOKER_LISTEN_PORT=65536 must be a whole number from 0 to 65535',
  ],
  ['STOKER_LISTEN_HOST', '0.0.0.0:9790', `STOKER_LISTEN_HOST="0.0.0.0:9790" ${host}`],
  ['STOKER_LISTEN_HOST', '[::1]', `STOKER_LISTEN_HOST="[::1]" ${host}`],
  ['STOKER_METRICS_URL', '127.0.0.1:8082', `STOKER_METRICS_URL="127.0.0.1:8082" ${url}`],
  ['STOKER_METRICS_URL', 'ftp://a:1', `STOKER_METRICS_URL="ftp://a:1" ${url}`],
  ['STOKER_METRICS_URL', 'http://a:1/metrics', `STOKER_METRICS_URL="http://a:1/metrics" ${url}`],
  ['STOKER_METRICS_URL', 'http://a:1?x', `STOKER_METRICS_URL="http://a:1?x" ${url}`],
  ['STOKER_METRICS_URL', 'http://a:99999', `STOKER_METRICS_URL="http://a:99999" ${url}`],
  ['STOKER_METRICS_URL', 'http://me:secret@a:1', `STOKER_METRICS_URL="http://…@a:1" ${url}`],
  ['STOKER_METRICS_URL', 'me:sec@ret@a:1', `STOKER_METRICS_URL="…@a:1" ${url}`],
  ['STOKER_KEY_FILE', '/key_file.json\n', `STOKER_KEY_FILE ${path}`],
  ['STOKER_KEY_FILE', '{"management":{"key":"B-E5KSRM"}}', `STOKER_KEY_FILE ${path}`],
  ['STOKER_CA_FILE', '-----BEGIN CERTIFICATE-----\nMII', `STOKER_CA_FILE ${path}`],
  ['STOKER_MODELS', '[1]', 'STOKER_MODELS=[1] must be a JSON object'],
  ['STOKER_MODELS', 'null', 'STOKER_MODELS=null must be a JSON object'],
  ['STOKER_MODELS', '{"a": 5}', 'STOKER_MODELS["a"]=5 must be a JSON object'],
  ['STOKER_MODELS', '{"a": {"maxWorkers": "3"}}', `STOKER_MODELS["a"].maxWorkers="3" ${count}`],
  ['STOKER_MODELS', '{"a": {"maxWorkers": 2.5}}', `STOKER_MODELS["a"].maxWorkers=2.5 ${count}`],
  [
    'STOKER_MODELS',
    '{"a/~b": {"scale": "no"}}',
    'STOKER_MODELS["a/~b"].scale="no" must be true or false',
  ],
  [
    'STOKER_MODELS',
    '{"a": {"decoys": true}}',
    'STOKER_MODELS["a"].decoys=true must be auto, on or off',
  ],
]

t.test('a mistake is named with its place, its value and what is allowed', async t => {
  for (const [name, value, problem] of mistakes) {
    // CA files want an https URL; the others do not mind one.
    const env = { STOKER_MANAGEMENT_URL: 'https://a:1', [name]: value }
    t.same(problemsOf(env), [problem], `${name}=${value}`)
  }
})

t.test('what is not JSON is named with the position', async t => {
  const faults: [text: string, fault: RegExp][] = [
    ['resnet', /Unexpected "r" at position 0/],
    ['{"a": {}, "b": NaN}', /Unexpected "N" at position 15/],
    ['{"a": {"scale": truth}}', /Unexpected "t" at position 19/],
    ['{"a": {"minWorkers": 2,}}', /position 23/],
    ["{'a': {}}", /position 1/],
    ['{"a": ', /Unexpected end/],
  ]
  for (const [text, fault] of faults) {
    const [problem = '', ...more] = problemsOf({ STOKER_MODELS: text })
    t.match(problem, fault)
    t.ok(problem.startsWith('STOKER_MODELS="'), problem)
    t.same(more, [])
  }
})

t.test('settings that exclude each other', async t => {
  t.same(problemsOf({ STOKER_MIN_WORKERS: '9' }), [
    'STOKER_MIN_WORKERS=9 must not be above STOKER_MAX_WORKERS=8',
  ])
  const models = {
    a: { minWorkers: 4, maxWorkers: 2 },
    b: { minWorkers: 9 },
    c: { maxWorkers: 1 },
    d: { minWorkers: 9, maxWorkers: 9 },
    e: { scale: false },
  }
  t.same(problemsOf({ STOKER_MIN_WORKERS: '2', STOKER_MODELS: JSON.stringify(models) }), [
    'STOKER_MODELS["a"].minWorkers=4 must not be above STOKER_MODELS["a"].maxWorkers=2',
    'STOKER_MODELS["b"].minWorkers=9 must not be above STOKER_MAX_WORKERS=8',
    'STOKER_MIN_WORKERS=2 must not be above STOKER_MODELS["c"].maxWorkers=1',
  ])
  const [caFile, ...more] = problemsOf({ STOKER_CA_FILE: '/ca.pem' })
  t.same(more, [])
  t.equal(
    caFile,
    'STOKER_CA_FILE is set, so one of these must begin with https://: STOKER_MANAGEMENT_URL="http://127.0.0.1:8081", STOKER_METRICS_URL="http://127.0.0.1:8082", STOKER_INFERENCE_URL="http://127.0.0.1:8080"',
  )
  t.same(problemsOf({ STOKER_CA_FILE: '/ca.pem', STOKER_METRICS_URL: 'https://a:1' }), [])
})

t.test(
  'unknown names are errors, with the name that may be meant and without the value',
  async t => {
    t.same(
      problemsOf({ STOKER_MAX_WORKER: 'secret', STOKER_MODELS: '{"a": {"min_workers": 1}}' }),
      [
        'STOKER_MAX_WORKER is not a setting; did you mean STOKER_MAX_WORKERS?',
        'STOKER_MODELS["a"].min_workers is not a setting; did you mean minWorkers?',
      ],
    )
    t.match(
      problemsOf({ STOKER_ZEBRA: '1' })[0],
      /^STOKER_ZEBRA is not a setting; it must be STOKER_MODE, .* or STOKER_MODELS$/,
    )
  },
)

t.test('all errors come at once, in one error of the table', async t => {
  const error = t.throws(() =>
    parseConfig({
      STOKER_MODE: 'on',
      STOKER_TICK_MS: '5s',
      STOKER_MIN_WORKERS: '9',
      STOKER_TYPO: '1',
    }),
  )
  t.match(error, { name: 'ConfigError', code: 'CONFIG_INVALID', problems: { length: 4 } })
  t.match(error, { message: /^Errors in the configuration: 4\. Correct .*\n {2}STOKER_/ })
})

t.test('variables that Kubernetes adds for Services called stoker are passed over', async t => {
  const links = {
    STOKER_SERVICE_HOST: '10.96.0.7',
    STOKER_SERVICE_PORT: '9790',
    STOKER_SERVICE_PORT_HTTP: '9790',
    STOKER_PORT: 'tcp://10.96.0.7:9790',
    STOKER_PORT_9790_TCP: 'tcp://10.96.0.7:9790',
    STOKER_PORT_9790_TCP_PROTO: 'tcp',
    STOKER_PORT_9790_TCP_PORT: '9790',
    STOKER_PORT_9790_TCP_ADDR: '10.96.0.7',
    STOKER_WEBHOOK_SERVICE_HOST: 'fd00::7',
    STOKER_WEBHOOK_PORT: 'tcp://[fd00::7]:443',
    STOKER_LISTEN_PORT: 'tcp://10.96.0.8:80',
  }
  t.same(parseConfig(links), parseConfig({}))
  t.same(problemsOf({ STOKER_PORT: '9790' }), [
    'STOKER_PORT is not a setting; did you mean STOKER_LISTEN_PORT?',
  ])
})

t.test('whatever the variables hold, the result is a configuration or a ConfigError', async () => {
  const names = configMarkdown().match(/(?<=^## )STOKER_\w+/gm) ?? []
  const unknown = fc.string().map(text => `STOKER_${text}`)
  const own = fc.dictionary(fc.constantFrom('minWorkers', 'maxWorkers', 'x'), fc.jsonValue())
  const models = fc
    .dictionary(fc.string(), fc.oneof(own, fc.jsonValue()))
    .map(value => JSON.stringify(value))
  const value = fc.oneof(fc.string(), fc.json(), models, fc.webUrl(), fc.nat().map(String))
  const envs = fc.dictionary(fc.oneof(fc.constantFrom(...names), unknown), value)
  fc.assert(
    fc.property(envs, env => problemsOf(env).every(problem => problem.startsWith('STOKER_'))),
  )
})

t.test('any text that is not a plain number is reported with its variable', async () => {
  const numbers = fc.constantFrom(
    'STOKER_TICK_MS',
    'STOKER_HOLD_MS',
    'STOKER_MIN_WORKERS',
    'STOKER_WAIT_PROBABILITY',
  )
  const text = fc.string({ minLength: 1 }).filter(value => !/^\d+(\.\d+)?$/.test(value))
  const property = fc.property(numbers, text, (name, value) => {
    const [problem = '', ...more] = problemsOf({ [name]: value })
    return problem.startsWith(`${name}=`) && more.length === 0
  })
  fc.assert(property)
})

t.test('--help and the page name every variable, and warn about zero workers', async t => {
  for (const text of [helpText(), configMarkdown()]) {
    t.equal(text.match(/^(## | {2})STOKER_/gm)?.length, Object.keys(properties).length)
    t.match(
      text.replace(/\s+/g, ' '),
      /STOKER_MIN_WORKERS .*503: that request is lost.* STOKER_MAX_WORKERS/,
    )
  }
  t.notMatch(helpText(), /`|.{101}/)
})
