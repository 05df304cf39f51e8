import { createHash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { CodedError, type ErrorName, ERRORS } from "../../protocol/errors.ts";
import { preparePrivateFolder, readPrivateFile, writePrivateFile } from "./private_file.ts";

/** An order that failed, as it is kept over restarts. Times are ms since the epoch. */
export interface FailedOrder {
  /** In a row, this one included. */
  readonly failures: number;
  readonly failedAt: number;
  readonly retryAt: number;
  readonly kind: ErrorName;
  readonly message: string;
  /** What it was asked with, of {@link fingerprint}: who asks with something else starts anew. */
  readonly about: string;
}

/**
 * So many failures in a row are tried again at once by a restart: who has mended the cause need not wait. An order may cost two
 * failed validations (http-01 and tls-alpn-01), and Let's Encrypt allows five for a name within an hour.
 */
const FREE_FAILURES = 1;
/** The latest are kept; a reason is cut, so that the file stays within {@link MAX_FILE_BYTES}. */
const MAX_KEPT = 500;
const MAX_REASON_CHARACTERS = 500;
const MAX_FILE_BYTES = 1024 * 1024;

/** What has failed at one CA, in a file beside its certificates, so that a crash loop does not ask the CA more often than the ladder. */
export class FailedOrders {
  /** A person may remove it, and then everything is tried at the next start. */
  readonly path: string;
  readonly #entries = new Map<string, FailedOrder>();

  constructor(folder: string) {
    this.path = join(folder, "failed.json");
  }

  /** Reads what an earlier process has left. @throws {CodedError} STATE_UNAVAILABLE; then there is nothing */
  async load(now: number): Promise<void> {
    const text = await readPrivateFile(this.path, MAX_FILE_BYTES);
    if (text === null) return;
    for (const [key, value] of Object.entries(asObject(parse(this.path, text)))) {
      const order = orderOf(value);
      if (order !== undefined) this.#entries.set(key, { ...order, retryAt: retryAfterRestart(order, now) });
    }
  }

  /** What failed of the certificate that belongs into the file `certificate`, by the same means. */
  get(certificate: string, about: string): FailedOrder | undefined {
    const entry = this.#entries.get(basename(certificate));
    return entry?.about === about ? entry : undefined;
  }

  /** Keeps a failure. @throws {CodedError} STATE_UNAVAILABLE */
  async set(certificate: string, order: FailedOrder): Promise<void> {
    const key = basename(certificate);
    this.#entries.delete(key); // The map is in the order of failures.
    this.#entries.set(key, {
      ...order,
      ...{ failedAt: Math.round(order.failedAt), retryAt: Math.round(order.retryAt) },
      // Control characters would take six bytes each.
      message: order.message.replaceAll(/\p{Cc}/gu, " ").slice(0, MAX_REASON_CHARACTERS),
    });
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > MAX_KEPT && oldest !== undefined) this.#entries.delete(oldest);
    await this.#save();
  }

  /** Forgets what has succeeded. @throws {CodedError} STATE_UNAVAILABLE */
  async delete(certificate: string): Promise<void> {
    if (this.#entries.delete(basename(certificate))) await this.#save();
  }

  async #save(): Promise<void> {
    await preparePrivateFolder(dirname(this.path));
    await writePrivateFile(this.path, `${JSON.stringify(Object.fromEntries(this.#entries), null, 1)}\n`);
  }
}

/** What is the same for two orders that a CA would answer alike; nobody can tell from it what went in. */
export function fingerprint(...parts: readonly unknown[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32);
}

/** Whether a restart is enough to try again at once: not when the CA itself asks to wait. */
export function isFree({ failures, kind }: Pick<FailedOrder, "failures" | "kind">): boolean {
  return failures <= FREE_FAILURES && kind !== "ACME_RATE_LIMITED" && kind !== "ACME_UNREACHABLE";
}

/** A failure of later than now is of a clock that was wrong: its wait is counted from now on. */
function retryAfterRestart(order: FailedOrder, now: number): number {
  if (isFree(order)) return now;
  return order.retryAt - Math.max(0, order.failedAt - now);
}

function parse(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CodedError("STATE_UNAVAILABLE", `Cannot use "${path}": it is not JSON`, { cause });
  }
}

/** Undefined for what is none, of another version for example. */
function orderOf(value: unknown): FailedOrder | undefined {
  const { failures, failedAt, retryAt, kind, message, about } = asObject(value);
  if (!isCount(failures) || !isCount(failedAt) || !isCount(retryAt)) return undefined;
  if (typeof kind !== "string" || !Object.hasOwn(ERRORS, kind)) return undefined;
  if (typeof message !== "string" || typeof about !== "string") return undefined;
  return { failures, failedAt, retryAt, kind: kind as ErrorName, message, about };
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0;
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
}
