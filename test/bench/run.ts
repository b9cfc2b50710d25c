import { downs } from './downs.ts'
import { fleet } from './fleet.ts'
import { webhook } from './webhook.ts'

const benches: Record<string, (factor: number) => Promise<void>> = { downs, fleet, webhook }

const [name = 'downs', factor = '1'] = process.argv.slice(2)
const bench = benches[name]
if (!bench || !(Number(factor) > 0)) {
  console.error(
    `Usage: npm run bench -- <${Object.keys(benches).join(' | ')}> [factor], a factor above 0, not ${factor}`,
  )
  process.exitCode = 64
} else await bench(Number(factor))
