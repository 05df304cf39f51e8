import { CodedError, type ErrorName } from "../protocol/errors.ts";

/** How both programs end. */
export const EXIT = {
  /** Done. */
  ok: 0,
  /** The command was understood and failed. */
  failure: 1,
  /** The command was not understood, or a value that was typed is not valid; nothing was done. */
  usage: 2,
  /** A question has no certain answer. */
  unsure: 3,
} as const;

/** One of {@link EXIT}. */
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A question was answered, on standard output, and not by yes: thrown for the exit code alone. */
export class Answered extends Error {
  override readonly name = "Answered";
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode) {
    super("The answer is not yes");
    this.exitCode = exitCode;
  }
}

/** Errors that only what was typed can cause. A wrong value in a file is `CONFIG_INVALID`, a failure. */
const USAGE_ERRORS: ReadonlySet<ErrorName> = new Set([
  "USAGE",
  "INVITE_INVALID",
  "TARGET_INVALID",
  "NETWORK_INVALID",
  "NAME_INVALID",
  "OPTION_NEEDS_PLAINTEXT",
  "DESTINATION_INVALID",
  "DOOR_UNSAFE",
]);

/** The one place where an error becomes an exit code. */
export function exitCodeOf(error: unknown): ExitCode {
  return error instanceof CodedError && USAGE_ERRORS.has(error.kind) ? EXIT.usage : EXIT.failure;
}
