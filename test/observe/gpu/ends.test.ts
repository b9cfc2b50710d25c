/** Goal: however nvidia-smi ends, /metrics says so and shows no number. Method: a program of that name that ends so. */
import t from 'tap'
import { ends } from '../../clients/nvidia-smi-ends.ts'
import { a100, scene, smiWatching } from './rig.ts'

const hangs = [
  ['sleep 1000', 'NVIDIA_SMI_HANGS'],
  ['trap "" TERM INT HUP; while :; do sleep 0.1; done', 'NVIDIA_SMI_HANGS'],
] as const

for (const [script, code] of [...ends, ...hangs]) {
  t.test(`${script} is ${code}, whatever was written before`, async t => {
    const { metrics, settle } = await smiWatching(t, { ...scene(a100), after: script }, 500)
    await settle()
    t.same(await metrics(), [`stoker_notes{code="${code}"} 1`])
  })
}
