import type { Destination } from "../protocol/destination.ts";
import { CodedError, toCodedError } from "../protocol/errors.ts";
import { Deadline } from "./deadline.ts";
import type { Duplex, MaybePromise } from "./duplex.ts";
import { lingeringClose } from "./http/lingering_close.ts";

/** A request of a proxy is whole within this time, or its connection ends. */
const PROXY_HEAD_TIMEOUT_MS = 10_000;
/** A peer that was refused and neither reads that nor ends is not waited for any longer. */
const REFUSED_TIMEOUT_MS = 5_000;

/** How a proxy takes requests; T is what it learns of who comes. */
export interface ProxyOptions<T> {
  /**
   * Tells who has this user and password, or `null` when nobody does; what it throws is the refusal. Without it nobody is asked, and the
   * identity of every request is `undefined`.
   */
  authenticate?: (user: string, password: string) => MaybePromise<T | null>;
  /** Who comes without user and password, though `authenticate` would ask for them; `null` refuses them. @default refuses them */
  anonymous?: () => T | null;
  /** @default 10_000 */
  deadlineMs?: number;
}

/** A request of a proxy's client that waits for its answer. What came behind it is read from the connection next. */
export interface ProxyRequest<T> {
  readonly destination: Destination;
  readonly identity: T | undefined;
  /** Says that the connection is there: from here on it carries the bytes of both ends. */
  succeed(): MaybePromise<void>;
  /** Says why it is not, and ends the connection. Never rejects. */
  fail(error: CodedError): Promise<void>;
}

/**
 * Takes a request by `take`, within the deadline. When that throws, the client is told what `refusal` gives, if anything, and the
 * connection has ended.
 * @throws {CodedError} what `take` throws; REQUEST_TIMEOUT
 */
export async function negotiate<T>(
  duplex: Duplex,
  deadlineMs: number = PROXY_HEAD_TIMEOUT_MS,
  { take, refusal }: { take: () => Promise<ProxyRequest<T>>; refusal: (error: CodedError) => Uint8Array | null },
): Promise<ProxyRequest<T>> {
  let late: CodedError | undefined;
  using deadline = new Deadline(deadlineMs, () => {
    late = new CodedError("REQUEST_TIMEOUT", "The proxy's client did not send its request in time");
    duplex.reset(late);
  });
  try {
    return await take();
  } catch (error) {
    if (late !== undefined) throw late;
    deadline.replace(Infinity);
    const coded = toCodedError(error);
    const answer = refusal(coded);
    if (answer === null) duplex.reset(coded);
    else await refuseConnection(duplex, answer);
    throw coded;
  }
}

/** Sends a last answer, and ends the connection in a way that lets it arrive. Never rejects. */
export async function refuseConnection(duplex: Duplex, answer: Uint8Array): Promise<void> {
  using _deadline = new Deadline(REFUSED_TIMEOUT_MS, () => duplex.reset());
  try {
    await duplex.write(answer);
    await lingeringClose(duplex);
  } catch {
    duplex.reset(); // Nobody is there to be told.
  }
}
