import { createHash, createHmac } from "node:crypto";
import { concat, number, vector } from "./bytes.ts";

/** Length of a SHA-256 hash. */
export const HASH_BYTES = 32;

/** The keys of one direction of the handshake. */
export interface TrafficKeys {
  readonly secret: Uint8Array;
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
}

/** The server's handshake keys (RFC 8446 7.1, without a pre-shared key) after the messages so far. */
export function serverHandshakeKeys(sharedSecret: Uint8Array, transcript: Uint8Array): TrafficKeys {
  const none = new Uint8Array(HASH_BYTES);
  const early = hmac(none, none);
  const salt = expandLabel(early, { label: "derived", context: sha256(new Uint8Array()) });
  const secret = expandLabel(hmac(salt, sharedSecret), { label: "s hs traffic", context: sha256(transcript) });
  return {
    secret,
    key: expandLabel(secret, { label: "key", length: 16 }),
    iv: expandLabel(secret, { label: "iv", length: 12 }),
  };
}

/** The `verify_data` of Finished (RFC 8446 4.4.4). */
export function finishedData(secret: Uint8Array, transcript: Uint8Array): Uint8Array {
  return hmac(expandLabel(secret, { label: "finished" }), sha256(transcript));
}

/** The hash of the transcript. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}

interface Expansion {
  label: string;
  context?: Uint8Array;
  length?: number;
}

/** HKDF-Expand-Label (RFC 8446 7.1); one block of SHA-256 is enough for all lengths used here. */
function expandLabel(
  secret: Uint8Array,
  { label, context = new Uint8Array(), length = HASH_BYTES }: Expansion,
): Uint8Array {
  const name = new TextEncoder().encode(`tls13 ${label}`);
  const info = concat(number(length, 2), vector(1, name), vector(1, context));
  return hmac(secret, concat(info, Uint8Array.of(1))).subarray(0, length);
}

function hmac(key: Uint8Array, bytes: Uint8Array): Uint8Array {
  return createHmac("sha256", key).update(bytes).digest();
}
