/** What the webhook tells Prometheus. Labels come from fixed lists only. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Answer } from './review.ts'

export const webhookMetrics = {
  admissions: {
    name: 'stoker_admissions_total',
    help: 'Pods that were reviewed, by outcome (injected, skipped, refused, failed) and reason.',
  },
  seconds: {
    name: 'stoker_admission_duration_seconds',
    help: 'How long a review took, from its last byte to the answer.',
  },
  expiry: {
    name: 'stoker_certificate_expiry_timestamp_seconds',
    help: 'When the webhook’s own certificate expires; it is renewed when two thirds of its life are over.',
  },
  renewals: {
    name: 'stoker_certificate_failures_total',
    help: 'Passes over the certificates that failed; each is tried again.',
  },
  events: {
    name: 'stoker_event_failures_total',
    help: 'Events that could not be written.',
  },
} as const

export interface WebhookMetrics {
  contentType: string
  reviewed(answer: Answer, seconds: number): void
  certified(untilMs: number): void
  certificateFailed(): void
  eventFailed(): void
  render(): Promise<string>
}

export function createWebhookMetrics(): WebhookMetrics {
  const registry = new Registry()
  const registers = [registry]
  const { admissions, seconds, expiry, renewals, events } = webhookMetrics
  const reviews = new Counter({ ...admissions, labelNames: ['outcome', 'reason'], registers })
  const durations = new Histogram({
    ...seconds,
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1],
    registers,
  })
  const expires = new Gauge({ ...expiry, registers })
  const failures = new Counter({ ...renewals, registers })
  const lost = new Counter({ ...events, registers })
  return {
    contentType: registry.contentType,
    reviewed({ outcome, reasons: [{ code }] }, took) {
      reviews.inc({ outcome, reason: code })
      durations.observe(took)
    },
    certified: untilMs => expires.set(untilMs / 1000),
    certificateFailed: () => failures.inc(),
    eventFailed: () => lost.inc(),
    render: () => registry.metrics(),
  }
}
