import { CodedError, type ErrorName } from "../../protocol/errors.ts";

/** What else is known of a failure. */
export interface AcmeErrorOptions extends ErrorOptions {
  /** How long the CA (or its silence) asks us to wait, ms. */
  readonly retryAfterMs?: number;
  /** The CA's own word for it, `rejectedIdentifier`; its URN without the prefix. */
  readonly problem?: string;
}

/** A certificate could not be had; `message` is one sentence: who says what about which name, and what to do. */
export class AcmeError extends CodedError {
  override readonly name = "AcmeError";
  readonly retryAfterMs: number | undefined;
  readonly problem: string | undefined;

  constructor(kind: ErrorName, message: string, { retryAfterMs, problem, ...options }: AcmeErrorOptions = {}) {
    super(kind, message, options);
    this.retryAfterMs = retryAfterMs;
    this.problem = problem;
  }
}

/** A failure with the names it concerns in front; what the library threw of its own accord becomes ACME_REFUSED. */
export function forNames(names: readonly string[], error: unknown): AcmeError {
  const { kind, message, ...rest } = detailsOf(error);
  return new AcmeError(kind, `Cannot get a certificate for ${names.join(", ")}: ${message}`, { ...rest, cause: error });
}

function detailsOf(error: unknown): { kind: ErrorName; message: string; retryAfterMs?: number; problem?: string } {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof CodedError)) return { kind: "ACME_REFUSED", message: `the CA's answer is odd: ${message}` };
  if (!(error instanceof AcmeError)) return { kind: error.kind, message };
  return {
    kind: error.kind,
    message,
    ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
    ...(error.problem === undefined ? {} : { problem: error.problem }),
  };
}
