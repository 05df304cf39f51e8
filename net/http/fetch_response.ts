import { concat } from "../../protocol/concat.ts";
import { CHUNK_OVERHEAD_BYTES, LAST_CHUNK, writeChunk } from "../../protocol/http/chunk_encoder.ts";
import { Fields } from "../../protocol/http/field.ts";
import type { HttpVersion } from "../../protocol/http/head.ts";
import { latin1Bytes, responseHeadText } from "../../protocol/http/serialise.ts";
import type { Duplex } from "../duplex.ts";

/** How one response is written. */
export interface FetchResponseOptions {
  readonly method: string;
  readonly version: HttpVersion;
  /** Whether the connection may be used again; the response may decide otherwise. */
  readonly keepAlive: boolean;
  /** Called before the first byte is written. */
  readonly onHead: () => Promise<void>;
  /** Called for each piece that was written. */
  readonly onProgress: () => void;
}

type Body = ReadableStreamDefaultReader<Uint8Array>;

/** Fields that the server sets by itself. */
const OURS: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

/**
 * Writes a web-standard response, its body as it comes; says whether the connection can be used again. Throws when body and
 * Content-Length differ or the body fails: then the connection must be reset, so that no answer looks complete.
 */
export async function writeFetchResponse(
  duplex: Duplex,
  response: Response,
  options: FetchResponseOptions,
): Promise<boolean> {
  const { status } = response;
  const fields = new Fields();
  for (const [name, value] of response.headers) if (!OURS.has(name)) fields.append(name, value.trim());
  if (!fields.has("date")) fields.append("date", new Date().toUTCString());
  const bodyless = options.method === "HEAD" || status === 204 || status === 304;
  const body = bodyless ? undefined : response.body?.getReader();
  if (bodyless) await response.body?.cancel();
  const framing = frameBody(fields, { ...options, status, hasBody: response.body !== null });
  const keepAlive = options.keepAlive && framing !== "close";
  if (!keepAlive) fields.append("connection", "close");
  else if (options.version === "1.0") fields.append("connection", "keep-alive");
  const head = latin1Bytes(responseHeadText({ status, reason: response.statusText, fields }));
  try {
    await writeBody(duplex, { head, body, framing, onHead: options.onHead, onProgress: options.onProgress });
  } catch (error) {
    await body?.cancel(error).catch(() => {
      // It has failed already, and the first failure is the one that counts.
    });
    throw error;
  }
  return keepAlive;
}

interface FrameOptions extends FetchResponseOptions {
  readonly status: number;
  readonly hasBody: boolean;
}

/** Leaves exactly one framing field; gives the length of the body, or how it is delimited. */
function frameBody(fields: Fields, { status, method, version, hasBody }: FrameOptions): number | "chunked" | "close" {
  const length = fields.get("content-length");
  if (status === 204) fields.delete("content-length");
  if (status === 204 || status === 304 || method === "HEAD") return 0;
  if (length !== undefined) return Number(length);
  if (!hasBody) {
    fields.append("content-length", "0");
    return 0;
  }
  if (version === "1.0") return "close";
  fields.append("transfer-encoding", "chunked");
  return "chunked";
}

interface Outgoing {
  readonly head: Uint8Array;
  readonly body: Body | undefined;
  readonly framing: number | "chunked" | "close";
  readonly onHead: () => Promise<void>;
  readonly onProgress: () => void;
}

async function writeBody(duplex: Duplex, { head, body, framing, onHead, onProgress }: Outgoing): Promise<void> {
  let unsent: Uint8Array | undefined = head;
  let left = typeof framing === "number" ? framing : Infinity;
  for (let piece = await body?.read(); piece !== undefined && !piece.done; piece = await body?.read()) {
    const data = piece.value;
    if (data.length === 0) continue;
    left -= data.length;
    if (left < 0) throw new RangeError("Cannot send a body that is longer than its Content-Length");
    const framed: Uint8Array = framing === "chunked" ? chunkOf(data) : data;
    if (unsent !== undefined) await onHead();
    // Head and first bytes leave in one packet.
    await duplex.write(unsent === undefined ? framed : concat(unsent, framed));
    unsent = undefined;
    onProgress();
  }
  if (left > 0 && left !== Infinity) throw new RangeError("Cannot send a body that is shorter than its Content-Length");
  const end = framing === "chunked" ? LAST_CHUNK : undefined;
  if (unsent !== undefined) await onHead();
  if (unsent !== undefined) await duplex.write(end === undefined ? unsent : concat(unsent, end));
  else if (end !== undefined) await duplex.write(end);
  onProgress();
}

function chunkOf(data: Uint8Array): Uint8Array {
  const chunk = new Uint8Array(data.length + CHUNK_OVERHEAD_BYTES);
  return chunk.subarray(0, writeChunk([data], chunk, 0));
}
