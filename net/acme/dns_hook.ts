import { resolve } from "node:path";
import type { Logger } from "../log.ts";
import { type PropagationOptions, waitForTxt } from "./dns_propagation.ts";
import type { DnsPublisher } from "./proof.ts";
import { runHook } from "./run_hook.ts";

/** How TXT records are published by an operator's program; the contract is in docs/dns-hook.md. */
export interface DnsHookOptions {
  readonly path: string;
  /** For one call, ms. @default 120_000 */
  readonly timeoutMs?: number;
  /** How it is found out that name servers have the record; `"skip"` trusts the hook to have waited. */
  readonly propagation?: PropagationOptions | "skip";
  readonly log: Logger;
}

/** What the hook is to do with a record. */
type Action = "present" | "cleanup";

/** Some providers take a minute for a change. */
const TIMEOUT_MS = 120_000;
/** What is left behind in DNS proves nothing to anybody: the end of the process does not wait long for it. */
const LAST_CLEANUP_MS = 5_000;

/** dns-01 by an executable of the operator: `HOOK present|cleanup RECORD VALUE`. */
export class DnsHook implements DnsPublisher {
  readonly #options: DnsHookOptions;

  constructor(options: DnsHookOptions) {
    this.#options = options;
  }

  async publish(record: string, value: string, signal: AbortSignal): Promise<AsyncDisposable> {
    const { timeoutMs = TIMEOUT_MS, log } = this.#options;
    await this.#run("present", { record, value, timeoutMs, signal });
    return {
      [Symbol.asyncDispose]: async () => {
        try {
          const limit = signal.aborted ? Math.min(timeoutMs, LAST_CLEANUP_MS) : timeoutMs;
          await this.#run("cleanup", { record, value, timeoutMs: limit });
        } catch (error) {
          // The certificate does not depend on it.
          log.warn("dns hook left a record", {
            record,
            reason: error instanceof Error ? error.message : String(error),
          });
        }
      },
    };
  }

  async seen(record: string, value: string, signal: AbortSignal): Promise<void> {
    const { propagation = {} } = this.#options;
    if (propagation !== "skip") await waitForTxt(record, value, { ...propagation, signal });
  }

  async #run(
    action: Action,
    { record, value, ...rest }: { record: string; value: string; timeoutMs: number; signal?: AbortSignal },
  ): Promise<void> {
    const stderr = await runHook({
      ...rest,
      path: resolve(this.#options.path),
      args: [action, record, value],
      env: { SPOKES_ACME_ACTION: action, SPOKES_ACME_RECORD: record, SPOKES_ACME_VALUE: value },
    });
    this.#options.log.debug("dns hook ran", { action, record, stderr: stderr === "" ? undefined : stderr });
  }
}
