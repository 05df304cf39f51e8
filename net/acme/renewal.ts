/** When a certificate is valid. */
export interface Lifetime {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** When the CA would like a certificate to be replaced (RFC 9773 4.2). */
export interface RenewalWindow {
  readonly start: Date;
  readonly end: Date;
}

/** Certificates that live shorter are replaced at half of it: a third would leave too little time for a CA that is down. */
const SHORT_LIFETIME_MS = 10 * 24 * 3_600_000;
/** Whatever a CA suggests, so much of the lifetime is left for trouble. */
const LAST_RESORT = 1 / 10;

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
/** Waits after failures in a row: a mistake is soon corrected, and CAs count failures by the hour. */
const LADDER_MS: readonly number[] = [
  ...[1 * MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS],
  ...[1 * HOUR_MS, 4 * HOUR_MS, 12 * HOUR_MS, 24 * HOUR_MS],
];
/** How much longer a wait may be, so that many names or machines do not come back at once. */
const JITTER = 1 / 4;

/** When to replace a certificate, ms since the epoch: with one third of its lifetime left, or half of a short one. */
export function renewalTime({ notBefore, notAfter }: Lifetime): number {
  const lifetime = notAfter.getTime() - notBefore.getTime();
  return notAfter.getTime() - (lifetime < SHORT_LIFETIME_MS ? lifetime / 2 : lifetime / 3);
}

/**
 * A moment in the CA's window, drawn once for each window (RFC 9773 4.2), ms since the epoch; what is over means now. The CA cannot
 * move it into the last tenth of the lifetime.
 */
export function suggestedTime(
  { start, end }: RenewalWindow,
  { notBefore, notAfter }: Lifetime,
  random: () => number = Math.random,
): number {
  const drawn = start.getTime() + random() * (end.getTime() - start.getTime());
  const latest = notAfter.getTime() - (notAfter.getTime() - notBefore.getTime()) * LAST_RESORT;
  return Math.min(drawn, latest);
}

/** The wait after `failures` failures in a row (at least 1), ms; never shorter than what the CA asked for. */
export function retryDelayMs(
  failures: number,
  { retryAfterMs = 0, random = Math.random }: { retryAfterMs?: number | undefined; random?: () => number } = {},
): number {
  const step = LADDER_MS[Math.min(failures, LADDER_MS.length) - 1] ?? MINUTE_MS;
  return Math.max(step, retryAfterMs) + random() * step * JITTER;
}
