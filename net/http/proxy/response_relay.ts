import type { Duplex, MaybePromise } from "../../duplex.ts";
import { cleanTrailers } from "../hop_by_hop.ts";
import type { HttpReader } from "../http_reader.ts";
import { bodyDecoder } from "../../../protocol/http/body.ts";
import type { BodyDecoder } from "../../../protocol/http/body_decoder.ts";
import type { KeyedField } from "../../../protocol/http/field.ts";
import type { Framing } from "../../../protocol/http/framing.ts";
import { latin1Bytes } from "../../../protocol/http/serialise.ts";
import { framedWrites } from "./framed_writes.ts";

/** What is relayed, and how. */
export interface RelayOptions {
  readonly framing: Framing;
  /** Whether the visitor gets chunks. */
  readonly chunked: boolean;
  /** The head for the visitor. */
  readonly head: string;
  readonly onProgress: () => void;
  /** Which trailers go on, of those that may. */
  readonly keepsTrailer?: ((field: KeyedField) => boolean) | undefined;
}

const NOTHING_YET: readonly Uint8Array[] = [];

/** Writes a head and the body behind it as it comes; head and first bytes are one write when they are there together. */
export function relayResponse(reader: HttpReader, visitor: Duplex, options: RelayOptions): MaybePromise<void> {
  const decoder = bodyDecoder(options.framing, "response");
  if (decoder.done) return visitor.write(latin1Bytes(options.head));
  // A head does not wait for a body that is not here yet.
  const first = reader.buffered > 0 ? reader.readBody(decoder) : NOTHING_YET;
  if (!(first instanceof Promise) && first !== null && first.length <= 1 && decoder.done && !options.chunked) {
    const writes = framedWrites({ head: options.head, pieces: first, chunked: false, end: true, trailers: undefined });
    if (writes.length === 1) return visitor.write(writes[0] as Uint8Array);
  }
  return relayBody({ reader, visitor, decoder, first }, options);
}

interface Relay {
  readonly reader: HttpReader;
  readonly visitor: Duplex;
  readonly decoder: BodyDecoder;
  readonly first: MaybePromise<readonly Uint8Array[] | null>;
}

async function relayBody({ reader, visitor, decoder, first }: Relay, options: RelayOptions): Promise<void> {
  let head: string | undefined = options.head;
  let next = first;
  for (;;) {
    const pieces = next instanceof Promise ? await next : next;
    const end = decoder.done;
    const trailers = end && options.chunked ? cleanTrailers(decoder.trailers, options.keepsTrailer) : undefined;
    for (const bytes of framedWrites({ head, pieces, chunked: options.chunked, end, trailers })) {
      const written = visitor.write(bytes);
      if (written instanceof Promise) await written;
    }
    options.onProgress();
    if (end) return;
    head = undefined;
    next = reader.readBody(decoder);
  }
}
