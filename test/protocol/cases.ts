/** All protocol cases, and how to run them on a server. */
import t from 'tap'
import { failures } from './failures.ts'
import { queueing } from './queueing.ts'
import { reading } from './reading.ts'
import { scaling } from './scaling.ts'
import type { Scene, Target } from './target.ts'

const scenes: readonly Scene[] = [...reading, scaling, queueing, failures]

/** One tap test for each scene, on a server of its own from `open`. Stops inside a scene at the first case that throws. */
export function testProtocol(open: (scene: Scene) => Promise<Target>): void {
  for (const scene of scenes) {
    void t.test(scene.name, async st => {
      const target = await open(scene)
      st.teardown(() => target.close())
      for (const each of scene.cases) await st.test(each.name, ct => each.run(ct, target))
    })
  }
}
