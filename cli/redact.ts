/** What stands in place of a secret. */
export const MASK = "***";

/** Enrolment and tunnel tokens, however they were cut. */
const TOKEN = /spk_[A-Za-z0-9_-]+/g;
/**
 * 256 random bits in base64url (43 characters) and everything that carries them, such as an invite; but not in the URL of an ACME
 * challenge, nor behind the name of its DNS record: those are public, and what a person tries out.
 */
const RANDOM = /(?<![A-Za-z0-9_-]|\/\.well-known\/acme-challenge\/|\b_acme-challenge\.[a-z0-9.-]+ )[A-Za-z0-9_-]{43,}/g;

/** The text without anything that looks like one of our tokens, session secrets or invites. Fingerprints (hexadecimal) and names stay. */
export function redact(text: string): string {
  return text.replace(TOKEN, MASK).replace(RANDOM, maskRandom);
}

function maskRandom(run: string): string {
  return /[a-z]/.test(run) && /[A-Z]/.test(run) ? MASK : run;
}
