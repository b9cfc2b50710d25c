/** A world in a pod: TorchServe’s base is 300 MiB, a worker takes 100. */
import { Container, MIB } from './container.ts'
import { leftAlone, World } from './world.ts'

export function setUp(options: ConstructorParameters<typeof Container>[0] = {}, maxMib = 4_000) {
  const world = new World()
  const container = new Container(options)
  world.container = container
  world.memoryPolicy = { ...leftAlone, maxMemory: maxMib * MIB, inPod: true }
  return { world, container }
}

/** What the base of 300 MiB and so many workers of 100 MiB need, with a tenth more. */
export const need = (workers: number) => Math.ceil(1.1 * (300 + 100 * workers))
