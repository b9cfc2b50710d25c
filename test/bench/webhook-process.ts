/** The servers of the bench in a process of their own: reviews, and a bare route. Tells its parent where they are. */
import Fastify from 'fastify'
import { createAuthority, signLeaf } from '../../src/inject/certificates.ts'
import { createReviewer } from '../../src/inject/review.ts'
import { createReviewServer } from '../../src/inject/server.ts'
import { options } from '../inject/golden.ts'

const HOUR_MS = 3_600_000

const authority = await createAuthority(Date.now(), HOUR_MS)
const leaf = await signLeaf(authority, ['127.0.0.1'], Date.now(), HOUR_MS)
const review = createReviewer(options, false)
const reviews = createReviewServer(leaf, { host: '127.0.0.1', port: 0 }, body => review(body)?.body)
const bare = Fastify({ http2: true, https: { allowHTTP1: true, cert: leaf.cert, key: leaf.key } })
bare.post('/inject', () => ({ response: { uid: 'u', allowed: true } }))

process.send?.({
  ca: authority.cert,
  reviews: await reviews.listen(),
  bare: await bare.listen({ host: '127.0.0.1', port: 0 }),
})
process.once('disconnect', () => process.exit())
