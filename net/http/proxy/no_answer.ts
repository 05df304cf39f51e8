import type { HttpReader } from "../http_reader.ts";
import { CodedError, StreamResetError } from "../../../protocol/errors.ts";
import type { UpstreamStream } from "./http_context.ts";
import type { RequestPump } from "./request_pump.ts";

/** The target ended the stream before it had said anything: the one failure after which a request may be sent again. */
export class NoAnswerError extends CodedError {
  override readonly name: string = "NoAnswerError";
  constructor(options?: ErrorOptions) {
    super("TARGET_CLOSED", undefined, options);
  }
}

/** The text of the first answer of an exchange. @throws {NoAnswerError} when there is not a single byte of one */
export async function readFirstHead(reader: HttpReader): Promise<string> {
  try {
    const next = reader.readHead();
    const text = next instanceof Promise ? await next : next;
    if (text !== null) return text;
  } catch (error) {
    if (!(error instanceof StreamResetError) || reader.buffered > 0) throw error;
    throw new NoAnswerError({ cause: error });
  }
  throw new NoAnswerError();
}

/** What is known when a request got no answer. */
export interface Unanswered {
  readonly stream: UpstreamStream;
  /** `sent` of the stream before this request. */
  readonly sentBefore: number;
  readonly method: string;
  /** `undefined` for a request without a body. */
  readonly pump: RequestPump | undefined;
}

/** Repeating these has no effect beyond the first (RFC 9110 9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"]);

/**
 * Whether a request without an answer may be sent again on a fresh stream: when its target has just closed a connection that earlier
 * requests had used, and we hold what is to be sent again. If the target was given no byte of it, whatever its method; else only an
 * idempotent one that is held as a whole.
 */
export function maySendAgain({ stream, sentBefore, method, pump }: Unanswered): boolean {
  if (!stream.reused || (pump !== undefined && !pump.holds)) return false;
  if (stream.finWritten !== undefined && stream.finWritten <= sentBefore) return true;
  return IDEMPOTENT.has(method) && (pump === undefined || pump.complete);
}
