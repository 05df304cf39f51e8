import type { ErrorName } from "../errors.ts";
import type { Fields } from "./field.ts";
import type { HeadKind } from "./head.ts";

/** Takes the bytes of one body as they come, and finds its end. */
export interface BodyDecoder {
  /** Reads on; gives the number of bytes that belonged to the body. Less than all only when it is done. */
  feed(bytes: Uint8Array): number;
  /** The data found by the last `feed()`: views into its argument. */
  readonly pieces: readonly Uint8Array[];
  /** Whether the whole body was seen. */
  readonly done: boolean;
  /** The trailer fields, once a chunked body is done and had some. */
  readonly trailers: Fields | undefined;
  /**
   * The connection has ended.
   * @throws {CodedError} unless the body is complete with that: `BAD_REQUEST` or `TARGET_CLOSED`.
   */
  end(): void;
}

/** The code for a body that was cut, by the direction it went. */
export const CUT = { request: "BAD_REQUEST", response: "TARGET_CLOSED" } as const satisfies Record<HeadKind, ErrorName>;
