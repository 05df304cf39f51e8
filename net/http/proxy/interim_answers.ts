import type { Duplex } from "../../duplex.ts";
import { stripResponse } from "../hop_by_hop.ts";
import type { HttpReader } from "../http_reader.ts";
import { CodedError } from "../../../protocol/errors.ts";
import { type HttpVersion, parseResponseHead, type ResponseHead } from "../../../protocol/http/head.ts";
import { latin1Bytes } from "../../../protocol/http/serialise.ts";
import { outgoingResponse } from "./outgoing_heads.ts";

/** Interim answers of one exchange: nobody has use for more. */
const MAX_INTERIM_ANSWERS = 16;

/** Whether another answer follows this one (RFC 9110 15.2). */
export function isInterim({ status }: ResponseHead): boolean {
  return status < 200 && status !== 101;
}

/** Between whom interim answers go. */
export interface InterimOptions {
  readonly reader: HttpReader;
  readonly visitor: Duplex;
  /** What the visitor speaks. */
  readonly version: HttpVersion;
  readonly onProgress: () => void;
}

/**
 * The answer behind interim ones, of which `first` has come. Early hints are for the visitor; a target's 100 is not, as we send our own.
 * @throws {CodedError} TARGET_CLOSED, TARGET_BAD_RESPONSE
 */
export async function finalHead(
  first: ResponseHead,
  { reader, visitor, version, onProgress }: InterimOptions,
): Promise<ResponseHead> {
  let head = first;
  for (let count = 1; isInterim(head); count++) {
    if (head.status === 103 && version === "1.1") await visitor.write(hintsBytes(head));
    const text = await reader.readHead();
    if (text === null) throw new CodedError("TARGET_CLOSED");
    if (count >= MAX_INTERIM_ANSWERS) {
      throw new CodedError("TARGET_BAD_RESPONSE", `There are more than ${MAX_INTERIM_ANSWERS} interim answers`);
    }
    onProgress();
    head = parseResponseHead(text);
  }
  return head;
}

function hintsBytes(head: ResponseHead): Uint8Array {
  stripResponse(head);
  const options = { framing: { kind: "none" }, version: "1.1", keepAlive: true, upgrade: undefined } as const;
  return latin1Bytes(outgoingResponse(head, options));
}
