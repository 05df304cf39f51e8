import { CodedError } from "../protocol/errors.ts";
import type { RuleCheck } from "./rule_check.ts";

/** Watches over the folder of a rule: while it cannot be read, there is nothing to publish. */
export class WebRoot implements RuleCheck {
  fault: CodedError | undefined;
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async look(): Promise<void> {
    const reason = await this.#complaint();
    this.fault = reason === undefined
      ? undefined
      : new CodedError("WEBROOT_UNREADABLE", `Cannot serve the folder "${this.#path}": ${reason}`);
  }

  async #complaint(): Promise<string | undefined> {
    try {
      if (!(await Deno.stat(this.#path)).isDirectory) return "it is not a folder";
      // Whoever may look at the folder may still not be let into it.
      await Deno.stat(`${this.#path}/.`);
      return undefined;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return "it does not exist";
      if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
      return error instanceof Error ? error.message : String(error);
    }
  }
}
