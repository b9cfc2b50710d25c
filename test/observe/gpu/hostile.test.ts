/** Goal: what a process calls itself costs nothing and changes nothing. Method: what the parser is given is counted. */
import sax from 'sax'
import t, { type Test } from 'tap'
import { smiXml } from '../../../src/simulate/nvidia-smi.ts'
import { SmiLog } from '../../../src/observe/gpu/xml.ts'
import { a100 } from './rig.ts'

const PIECE = 8_192
const xmlWith = (...names: readonly string[]) =>
  smiXml([{ ...a100, processes: names.map(name => ({ pid: 1, type: 'C', name, usedMib: 9 })) }])

/** Reads a log as it comes; tells how many characters the parser was given. */
function read(t: Test, xml: string, piece = PIECE) {
  const given = t.capture(sax.SAXParser.prototype, 'write', sax.SAXParser.prototype.write)
  const log = new SmiLog()
  for (let at = 0; at < xml.length; at += piece) log.write(xml.slice(at, at + piece))
  const parsed = given().reduce((sum, { args }) => sum + args[0].length, 0)
  given.restore()
  return { gpus: log.gpus(), parsed }
}

const hostile = {
  'nested tags': '<a>'.repeat(300_000),
  'tags that close nothing': '</b>'.repeat(300_000),
  'both in turn': '<a></b>'.repeat(200_000),
  'another log': '<nvidia_smi_log><gpu><uuid>GPU-2</uuid></gpu></nvidia_smi_log>'.repeat(1_000),
  'the start of another log': '<nvidia_smi_log><gpu>',
  'a tag without end': '<a b="',
  'a comment without end': '<!-- <![CDATA[ <?',
  'its own start': '<process_name>'.repeat(100_000),
  'all bytes': String.fromCharCode(...Array.from({ length: 255 }, (_, at) => at + 1)),
}

for (const [what, name] of Object.entries(hostile)) {
  t.test(`${what} in the name of a process`, async t => {
    const plain = read(t, xmlWith('', ''))
    t.match(plain.gpus, [{ processes: 2, fields: { uuid: a100.uuid, used: '1868 MiB' } }])
    const { gpus, parsed } = read(t, xmlWith(name, name))
    t.same(gpus, plain.gpus)
    t.equal(parsed, plain.parsed, 'the parser sees none of it')
  })
}

t.test('names are left out wherever the output is cut into pieces', async t => {
  const xml = xmlWith('<a>'.repeat(20), '', '<process_nam</process_nam')
  const whole = read(t, xml, Infinity)
  t.match(whole.gpus, [{ processes: 3 }])
  for (const piece of [1, 2, 3, 7, 13, 14, 15, 16, 17]) t.same(read(t, xml, piece), whole)
})

t.test('elements that are nested deeper than any log are read no further', async t => {
  for (const nested of ['<a>'.repeat(300_000), '<a></b>'.repeat(200_000)]) {
    const xml = smiXml([{ ...a100, product: nested }])
    const { gpus, parsed } = read(t, xml)
    t.equal(gpus, undefined)
    t.ok(parsed < 2 * PIECE, `${parsed} of ${xml.length} characters`)
  }
})

t.test('a field that is longer than any is not known', async t => {
  for (const length of [201, 70_000]) {
    const { gpus } = read(t, smiXml([{ ...a100, product: 'x'.repeat(length) }]))
    t.match(gpus, [{ fields: { uuid: a100.uuid, product: undefined } }])
  }
})

t.test('a log that was cut within a name does not count GPUs twice', async t => {
  const cards = [0, 1].map(at => ({
    ...a100,
    uuid: `GPU-${at}`,
    processes: [{ pid: 1, type: 'C', name: `/bin/python-${at}`, usedMib: 9 }],
  }))
  const xml = smiXml(cards)
  const cut = xml.slice(0, xml.indexOf('python-1'))
  t.equal(read(t, cut + xml).gpus, undefined)
})
