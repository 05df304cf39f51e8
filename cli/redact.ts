/** What stands in place of a secret. */
export const MASK = "***";

/** Placeholder until the token format lands. */
const SECRET_TEXT = /[A-Za-z0-9_-]{40,}/g;

/** The text without anything that looks like one of our tokens, secrets or invites. */
export function redact(text: string): string {
  return text.replace(SECRET_TEXT, MASK);
}
