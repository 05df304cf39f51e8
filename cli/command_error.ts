import { CodedError, type ErrorName } from "../protocol/errors.ts";

/** What is beside the message of a {@link CommandError}. */
export interface CommandErrorOptions extends ErrorOptions {
  /** What to do, as one sentence with its period. @default the advice of the error registry */
  fix?: string;
}

/** A failure of a command, with advice that fits the place better than the registry's. */
export class CommandError extends CodedError {
  override readonly name: string = "CommandError";
  readonly fix: string | undefined;

  constructor(kind: ErrorName, message: string, options: CommandErrorOptions = {}) {
    super(kind, message, options);
    this.fix = options.fix;
  }
}

/** Something typed was wrong: exit code 2. */
export function usageError(message: string, options: CommandErrorOptions = {}): CommandError {
  return new CommandError("USAGE", message, options);
}
