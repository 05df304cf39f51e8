import { concat } from "../protocol/concat.ts";
import { CodedError } from "../protocol/errors.ts";
import { type Endpoint, MAX_V2_BYTES, parseProxyHeader } from "../protocol/proxy_protocol.ts";
import { Deadline } from "./deadline.ts";
import type { Duplex } from "./duplex.ts";

/** A balancer sends its header at once (security R56). */
const PROXY_HEADER_TIMEOUT_MS = 5_000;
const NOTHING: Uint8Array = new Uint8Array(0);

/** How long to wait for a header. */
export interface ProxyHeaderOptions {
  /** @default 5,000 */
  timeoutMs?: number;
  /** Ends the wait, and the connection. */
  signal?: AbortSignal;
}

/** What a load balancer says about a connection. */
export interface ProxiedConnection {
  /** For whom it connects; `undefined` when it is for itself (LOCAL, UNKNOWN): then the connection's own address counts. */
  readonly source: Endpoint | undefined;
  /** What came behind the header: the first bytes of the visitor, maybe none. */
  readonly rest: Uint8Array;
}

/**
 * Reads the PROXY protocol header, version 1 or 2, at the begin of a connection. It belongs at the front of every connection from a peer
 * that is believed, and of no other (security R21): the caller decides who is. When it fails, the connection is reset.
 * @throws {CodedError} PROXY_HEADER_INVALID, also when it does not come in time; what the connection throws
 */
export async function readProxyHeader(
  duplex: Duplex,
  { timeoutMs = PROXY_HEADER_TIMEOUT_MS, signal }: ProxyHeaderOptions = {},
): Promise<ProxiedConnection> {
  let late: CodedError | undefined;
  const cut = (): void => duplex.reset();
  using _deadline = new Deadline(timeoutMs, () => {
    late = proxyHeaderInvalid("it did not come in time");
    duplex.reset(late);
  });
  try {
    signal?.throwIfAborted();
    signal?.addEventListener("abort", cut, { once: true });
    return await readHeader(duplex);
  } catch (error) {
    duplex.reset(error);
    signal?.throwIfAborted();
    throw late ?? error;
  } finally {
    signal?.removeEventListener("abort", cut);
  }
}

async function readHeader(duplex: Duplex): Promise<ProxiedConnection> {
  let bytes = NOTHING;
  for (;;) {
    const next = await duplex.read();
    if (next === null) throw proxyHeaderInvalid("the connection has ended");
    bytes = concat(bytes, next);
    const header = parseProxyHeader(bytes);
    switch (header.kind) {
      case "invalid":
        throw proxyHeaderInvalid(header.reason);
      case "header":
        return { source: header.source, rest: bytes.subarray(header.length) };
      case "incomplete":
        // The parser knows its limits; this is what keeps us from trusting it with memory.
        if (bytes.length >= MAX_V2_BYTES) throw proxyHeaderInvalid("it is too long");
        break;
      default:
        header satisfies never;
    }
  }
}

function proxyHeaderInvalid(reason: string): CodedError {
  return new CodedError("PROXY_HEADER_INVALID", `Cannot read a PROXY protocol header: ${reason}`);
}
