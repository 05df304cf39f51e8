import { Buffer } from "node:buffer";
import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { CodedError } from "../protocol/errors.ts";

/** What a password is checked against, as read from its text. */
export interface PasswordHash {
  /** Cost: log2 of scrypt's N. */
  readonly ln: number;
  /** Block size and parallelism of scrypt. */
  readonly r: number;
  readonly p: number;
  readonly salt: Uint8Array;
  readonly hash: Uint8Array;
}

type Cost = Pick<PasswordHash, "ln" | "r" | "p">;

/** 32 MiB and about 65 ms of one core for each guess. */
const COST: Cost = { ln: 15, r: 8, p: 1 };
/** Below 2^14 guessing is cheap (OWASP's floor for r=8). */
const MIN_LN = 14;
/** Whoever writes a rule chooses the work of the server that checks it: at most 64 MiB for one check. */
const MAX_LN = 16;
const MAX_R = 8;
/** The most work of one check, as N * r * p: twice ours. */
const MAX_WORK = 2 ** 16 * 8;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** Salts and hashes of other makers. */
const MIN_SALT_BYTES = 8;
const MIN_HASH_BYTES = 16;
const MAX_SALT_OR_HASH_BYTES = 64;

/** PHC string format: numbers without leading zeros, base64 without padding. */
const PHC = /^\$scrypt\$ln=([1-9][0-9]?),r=([1-9][0-9]?),p=([1-9][0-9]?)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/;

/** A new hash of a password as a PHC string: `$scrypt$ln=15,r=8,p=1$salt$hash`. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(password, { ...COST, salt, length: HASH_BYTES });
  return `$scrypt$ln=${COST.ln},r=${COST.r},p=${COST.p}$${base64(salt)}$${base64(hash)}`;
}

/** Whether the password is the one of the hash; takes about 65 ms of another thread. @throws {CodedError} RULE_INVALID when the hash is none */
export async function verifyPassword(password: string, hash: string | PasswordHash): Promise<boolean> {
  const expected = typeof hash === "string" ? parsePasswordHash(hash) : hash;
  const actual = await derive(password, { ...expected, length: expected.hash.length });
  return timingSafeEqual(actual, expected.hash);
}

/** Reads a hash, whose work must be within bounds. The reason never shows it. @throws {CodedError} RULE_INVALID */
export function parsePasswordHash(text: string): PasswordHash {
  const match = PHC.exec(text);
  if (match === null) throw invalid("it is not of the form $scrypt$ln=15,r=8,p=1$salt$hash");
  const [ln = 0, r = 0, p = 0] = match.slice(1, 4).map(Number);
  if (ln < MIN_LN || ln > MAX_LN || r > MAX_R || 2 ** ln * r * p > MAX_WORK) {
    throw invalid(`ln=${ln},r=${r},p=${p} is out of bounds`);
  }
  const [salt, hash] = match.slice(4).map(fromBase64) as [Uint8Array, Uint8Array];
  if (salt.length < MIN_SALT_BYTES || salt.length > MAX_SALT_OR_HASH_BYTES) {
    throw invalid("its salt has a wrong length");
  }
  if (hash.length < MIN_HASH_BYTES || hash.length > MAX_SALT_OR_HASH_BYTES) {
    throw invalid("its hash has a wrong length");
  }
  return { ln, r, p, salt, hash };
}

/** The same letters may come composed or not (RFC 7617 2.1). */
function derive(
  password: string,
  { ln, r, p, salt, length }: Cost & { salt: Uint8Array; length: number },
): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  // scrypt takes 128 * N * r bytes and a little more.
  const options = { N: 2 ** ln, r, p, maxmem: 2 * 128 * 2 ** ln * r };
  scrypt(password.normalize("NFC"), salt, length, options, (error, key) => {
    if (error === null) resolve(key);
    else reject(error);
  });
  return promise;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64").replaceAll("=", "");
}

function fromBase64(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "base64"));
}

function invalid(reason: string): CodedError {
  return new CodedError("RULE_INVALID", `Cannot use a password hash: ${reason}`);
}
