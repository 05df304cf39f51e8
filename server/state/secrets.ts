import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

/** What a token is for; part of its text, so that one kind is never taken for the other. */
export type TokenKind = "enrol" | "tunnel";

/** A token as the store may know it: who it claims to be, and the SHA-256 (hex) of the whole text. */
export interface PresentedToken {
  readonly id: string;
  readonly digest: string;
}

const SECRET_BYTES = 32;
/** The id is lower-case letters and digits, so that the parts stay apart although base64url knows `_`. */
const TOKEN = /^spk_(enrol|tunnel)_([a-z0-9]{8,64})_([A-Za-z0-9_-]{43})$/;
/** Compared against when there is no record: nothing hashes to it, since it is no SHA-256 anybody has a text for. */
const NO_DIGEST = "0".repeat(64);

/**
 * A new token `spk_<kind>_<id>_<256 random bits>` and the digest to store; the text itself is shown once and kept nowhere.
 * Secret scanners find it by `spk_`.
 */
export function createToken(kind: TokenKind, id: string): { readonly token: string; readonly digest: string } {
  const token = `spk_${kind}_${id}_${randomBytes(SECRET_BYTES).toString("base64url")}`;
  if (!TOKEN.test(token)) throw new TypeError(`Cannot put the id "${id}" into a token`);
  return { token, digest: digestOf(token) };
}

/** Reads a presented token; null unless it has the form of this kind. */
export function parseToken(kind: TokenKind, text: string): PresentedToken | null {
  const match = TOKEN.exec(text);
  if (match === null || match[1] !== kind) return null;
  return { id: match[2]!, digest: digestOf(text) };
}

/** Whether the presented digest is one of the stored ones, in a time that does not depend on either or on there being any. */
export function verifyDigest(presented: string | undefined, stored: readonly string[]): boolean {
  const actual = Buffer.from(presented ?? NO_DIGEST, "hex");
  let valid = false;
  for (const digest of stored.length === 0 ? [NO_DIGEST] : stored) {
    const expected = Buffer.from(digest, "hex");
    const equal = expected.length === actual.length && timingSafeEqual(actual, expected);
    valid ||= equal && presented !== undefined && stored.length > 0;
  }
  return valid;
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
