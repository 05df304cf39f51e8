import { CodedError } from "../../protocol/errors.ts";
import { usageError } from "../command_error.ts";

/** Runs a check of what was typed behind a flag; what it finds becomes a usage error that names the flag. @throws {CodedError} USAGE, or what the check throws with a code */
export function usageOf(flag: string, check: () => unknown): void {
  try {
    check();
  } catch (cause) {
    if (cause instanceof CodedError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw usageError(`${flag}: ${reason}`, { cause, fix: "" });
  }
}
