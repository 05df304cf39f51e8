/** First wait at most; a server that restarted is met at once by most. */
const FIRST_MS = 250;
/** Longest wait: a client is back within this after the server is. */
const LONGEST_MS = 15_000;

/** Full-jitter wait before attempt `attempt` (0 is the first retry), ms: spread, so that thousands do not come back at once. */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  return random() * Math.min(LONGEST_MS, FIRST_MS * 2 ** attempt);
}
