/**
 * Started in a node's network namespace by tunnel.ts, with a listening socket that was made outside: whoever connects to it there is
 * connected to ADDRESS PORT here. Ends with the process that started it.
 */
import { connect, type Server, type Socket } from 'node:net'

const [address, port] = process.argv.slice(2)

process.on('message', (_ready, server) => {
  ;(server as Server).on('connection', (outside: Socket) => {
    const inside = connect(Number(port), address)
    outside.pipe(inside).pipe(outside)
    const end = () => {
      outside.destroy()
      inside.destroy()
    }
    for (const socket of [outside, inside]) socket.on('error', end)
  })
  process.send?.('ready')
})
process.on('disconnect', () => process.exit())
