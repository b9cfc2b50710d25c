/**
 * What real cards said, through the real reader to /metrics. Method: recordings of `nvidia-smi -q -x` that Telegraf keeps for its own
 * tests, fetched as the Go module that they are part of and held to its checksum; a program that writes them in nvidia-smi's place.
 * The numbers they must come to are read from them in another way, by regular expressions. No machine with a card is involved.
 */
import { execFile } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { MIB, smiWatching } from '../../observe/gpu/rig.ts'
import { MissingTool } from '../missing.ts'

const MODULE = 'github.com/influxdata/telegraf@v1.37.2'
const SUM = 'h1:mYr0I/suEw9+UM4KrCFuYuzJuq/e99cINniIwqO6ykw='

t.setTimeout(300_000)

async function recordings(): Promise<string[]> {
  const go = (...words: string[]) => promisify(execFile)('go', words, { timeout: 240_000 })
  if (!(await go('env', 'GOVERSION').catch(() => undefined)))
    throw new MissingTool('go is needed to fetch the recordings: install it from https://go.dev/dl')
  const { stdout } = await go('mod', 'download', '-json', MODULE)
  const { Dir: folder, Sum } = JSON.parse(stdout) as { Dir: string; Sum: string }
  if (Sum !== SUM) throw new Error(`${MODULE} has the checksum ${Sum}, and not ${SUM}`)
  const testdata = join(folder, 'plugins/inputs/nvidia_smi/testdata')
  return readdirSync(testdata).map(file => join(testdata, file))
}

/** The first element of this name, in bytes where it is in MiB. */
function mib(xml: string, name: string): number | undefined {
  const found = new RegExp(`<${name}>(\\d+) MiB</${name}>`).exec(xml)?.[1]
  return found === undefined ? undefined : Number(found) * MIB
}

/** The text of the first element of this name that is not inside a MIG device. */
const element = (xml: string, name: string) =>
  new RegExp(`<${name}>([\\s\\S]*?)</${name}>`).exec(xml)?.[1] ?? ''

const files = await recordings()
t.ok(files.length >= 10)
for (const file of files) {
  t.test(basename(file), async t => {
    const query = readFileSync(file)
    const { metrics, settle } = await smiWatching(t, { query })
    const { gpus, notes } = await settle()
    t.same(notes, [])
    if (gpus.state !== 'fresh') return t.fail(gpus.why)
    const xml = query.toString('latin1')
    const slices = [...xml.matchAll(/<mig_device>[\s\S]*?<\/mig_device>/g)].map(([text]) => text)
    const whole = xml.replace(/<mig_devices>[\s\S]*?<\/mig_devices>/, '')
    const expected = slices.length > 0 ? slices : [whole]
    t.same(
      gpus.value.map(({ freeBytes, totalBytes, usedBytes }) => [totalBytes, usedBytes, freeBytes]),
      expected.map(text => {
        const memory = element(text, 'fb_memory_usage')
        return ['total', 'used', 'free'].map(name => mib(memory, name))
      }),
    )
    const uuid = element(whole, 'uuid')
    t.ok(gpus.value.every(({ id }) => id.startsWith(uuid) && uuid.startsWith('GPU-')))
    const page = await metrics()
    t.equal(
      page.filter(line => line.startsWith('stoker_gpu_memory_used_bytes')).length,
      expected.length,
    )
    if (slices.length > 0) t.notOk(page.some(line => line.includes('activity')))
    t.notOk(page.some(line => /nan|undefined|null/i.test(line)))
    return undefined
  })
}
