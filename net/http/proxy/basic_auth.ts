import { createHmac, randomBytes } from "node:crypto";
import { addressGroup } from "../../address.ts";
import { parsePasswordHash, type PasswordHash, verifyPassword } from "../../password.ts";
import { CodedError, toCodedError } from "../../../protocol/errors.ts";
import { type BasicCredential, basicCredential } from "../../../protocol/http/basic_credential.ts";
import type { Fields } from "../../../protocol/http/field.ts";
import type { HttpOptions } from "../../../protocol/http_options.ts";
import { PasswordChecks } from "./password_checks.ts";

/** Right credentials that are remembered: one for each user but for coincidences, and never more. */
const MAX_VERIFIED = 64;
/** What is remembered of a credential means nothing outside this process. */
const PROCESS_KEY = randomBytes(32);
/** All rules of the process share its cores. */
const CHECKS = new PasswordChecks();

/** Who may use a rule. It remembers who proved it, and is made anew by every edit of the rule's options. */
export class BasicAuth {
  readonly #users: ReadonlyMap<string, PasswordHash>;
  /** Unknown users cost the same work as known ones (security R47). */
  readonly #decoy: PasswordHash | undefined;
  readonly #checks: PasswordChecks;
  /** HMACs of credentials that were right. */
  readonly #verified = new Set<string>();
  /** Checks under way: a browser's connections ask all at once. */
  readonly #pending = new Map<string, Promise<boolean>>();

  /** @throws {CodedError} RULE_INVALID */
  constructor(users: NonNullable<HttpOptions["basicAuth"]>, checks: PasswordChecks = CHECKS) {
    this.#users = compileUsers(users);
    const [first] = this.#users.values();
    this.#decoy = first === undefined ? undefined : { ...first, salt: randomBytes(16), hash: randomBytes(32) };
    this.#checks = checks;
  }

  /**
   * Lets a request in whose `Authorization` is right, at once when it was seen before.
   * @throws {CodedError} UNAUTHORIZED, TOO_MANY_ATTEMPTS, PASSWORDS_BUSY
   */
  check(fields: Fields, address: string): Promise<void> | undefined {
    const credential = basicCredential(fields);
    if (credential === undefined) throw new CodedError("UNAUTHORIZED");
    return this.checkCredential(credential, address);
  }

  /** The same for a credential that came in another way. */
  checkCredential(credential: BasicCredential, address: string): Promise<void> | undefined {
    if (this.#decoy === undefined) throw new CodedError("UNAUTHORIZED");
    const key = keyOf(credential);
    return this.#verified.has(key) ? undefined : this.#verify(credential, { key, address });
  }

  async #verify(credential: BasicCredential, { key, address }: { key: string; address: string }): Promise<void> {
    // The full credential and the address are in the key: nobody gets another's answer (security R45).
    const pendingKey = `${addressGroup(address)} ${key}`;
    let pending = this.#pending.get(pendingKey);
    if (pending === undefined) {
      pending = this.#checks.run(address, () => this.#isRight(credential)).finally(() =>
        this.#pending.delete(pendingKey)
      );
      this.#pending.set(pendingKey, pending);
    }
    if (!await pending) throw new CodedError("UNAUTHORIZED");
    if (this.#verified.size >= MAX_VERIFIED) this.#verified.clear();
    this.#verified.add(key);
  }

  async #isRight({ user, password }: BasicCredential): Promise<boolean> {
    const known = this.#users.get(user);
    const matches = await verifyPassword(password, known ?? this.#decoy as PasswordHash);
    return known !== undefined && matches;
  }
}

/** The secret key makes looking it up tell nothing about what is in there. A user has no colon: the text is unambiguous. */
function keyOf({ user, password }: BasicCredential): string {
  return createHmac("sha256", PROCESS_KEY).update(`${user}:${password}`).digest("base64");
}

function compileUsers(users: NonNullable<HttpOptions["basicAuth"]>): ReadonlyMap<string, PasswordHash> {
  const compiled = new Map<string, PasswordHash>();
  for (const { user, hash } of users) {
    const name = user.normalize("NFC");
    if (/[\x00-\x1f\x7f:]/.test(name)) {
      throw new CodedError("RULE_INVALID", "A user name of basicAuth has a colon or a control character");
    }
    if (compiled.has(name)) throw new CodedError("RULE_INVALID", `There are two passwords for the user "${name}"`);
    compiled.set(name, hashOf(name, hash));
  }
  return compiled;
}

/** Whoever has several users wants to know whose is broken. */
function hashOf(user: string, hash: string): PasswordHash {
  try {
    return parsePasswordHash(hash);
  } catch (cause) {
    const { kind, message } = toCodedError(cause);
    throw new CodedError(kind, `${message} (of the user "${user}")`, { cause });
  }
}
