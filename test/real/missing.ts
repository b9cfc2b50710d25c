/** A tool of the machine is missing; the message names it and how to get it. Tools are never installed from the tests. */
export class MissingTool extends Error {
  override readonly name = 'MissingTool'
}
