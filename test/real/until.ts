const POLL_MS = 25

/** Waits for a condition by looking again every 25 ms; whether it held within `timeoutMs`. */
export async function until(condition: () => boolean | Promise<boolean>, timeoutMs: number) {
  const deadline = performance.now() + timeoutMs
  while (performance.now() < deadline) {
    if (await condition()) return true
    await new Promise(resolve => setTimeout(resolve, POLL_MS))
  }
  return false
}
