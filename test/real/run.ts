/**
 * `npm run test:real [suite…]`: the suites against real components, one after the other. Exit code 0 only when nothing failed;
 * the last line is `N passed, N failed`. A suite that crashes, or takes too long, counts as failed. Those that take minutes, or
 * minutes of compiling, run only by their names.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'

const SUITE_MS = 9 * 60_000
const BY_NAME: ReadonlySet<string> = new Set(['drain', 'keda', 'resize-node'])
