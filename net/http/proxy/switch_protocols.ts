import type { Duplex } from "../../duplex.ts";
import type { Hop } from "../hop_by_hop.ts";
import type { HttpReader } from "../http_reader.ts";
import { pipe } from "../../pipe.ts";
import { CodedError } from "../../../protocol/errors.ts";
import type { ResponseHead } from "../../../protocol/http/head.ts";
import { framedWrites } from "./framed_writes.ts";
import type { UpstreamStream } from "./http_context.ts";
import { outgoingResponse } from "./outgoing_heads.ts";
import type { VisitorConnection } from "./visitor_connection.ts";

/** What came from the target so far. */
export interface Answer {
  readonly head: ResponseHead;
  readonly reader: HttpReader;
  readonly stream: UpstreamStream;
}

/** Whether the connection changes its protocol with this answer: a 101, or the consent to a CONNECT. */
export function isSwitch({ status }: ResponseHead, method: string): boolean {
  return status === 101 || (method === "CONNECT" && status < 300);
}

/**
 * The protocols to which a 101 switches; nothing for a CONNECT. `offered` is what was asked for, and went on to the target.
 * @throws {CodedError} TARGET_BAD_RESPONSE when it is something else
 */
export function chosenProtocols({ status }: ResponseHead, { upgrade }: Hop, offered?: string): string | undefined {
  if (status !== 101) return undefined;
  if (isAmong(upgrade, offered)) return upgrade;
  throw new CodedError("TARGET_BAD_RESPONSE", "The target switched to a protocol that was not asked for");
}

/** Whether all protocols that were chosen had been offered. */
function isAmong(chosen: string | undefined, offered: string | undefined): boolean {
  if (chosen === undefined || offered === undefined) return false;
  const names = new Set(offered.toLowerCase().split(",").map((name) => name.trim()));
  return chosen.toLowerCase().split(",").every((name) => names.has(name.trim()));
}

/** Tells the visitor of the switch, with what the target has said behind it. */
export async function writeSwitch({ head, reader }: Answer, visitor: Duplex, upgrade?: string): Promise<void> {
  const text = outgoingResponse(head, { framing: { kind: "none" }, version: "1.1", keepAlive: true, upgrade });
  const pieces = reader.buffered > 0 ? [reader.rest()] : [];
  for (const buffer of framedWrites({ head: text, pieces, chunked: false, end: false, trailers: undefined })) {
    await visitor.write(buffer);
  }
}

/** From now on the two are a plain pipe, which never returns to a pool (security R44). Settles with its end. */
export async function pipeSwitched({ visitor, reader, context }: VisitorConnection, stream: Duplex): Promise<void> {
  // What the visitor sent too early was kept until the target had agreed.
  const early = reader.rest();
  if (early.length > 0) await stream.write(early);
  context.deadline.replace(Infinity);
  try {
    await pipe(visitor, stream, { lingerMs: context.limits.lingerMs });
  } catch {
    // Both sides were reset, which is all that the cut of a pipe means.
  }
}
