/** Waits for a condition by looking again every `pollMs`; whether it held within `timeoutMs`. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  timeoutMs: number,
  pollMs = 25,
) {
  const deadline = performance.now() + timeoutMs
  while (performance.now() < deadline) {
    if (await condition()) return true
    await new Promise(resolve => setTimeout(resolve, pollMs))
  }
  return false
}
