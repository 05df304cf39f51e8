import { Buffer } from "node:buffer";
import { connectTcp, type Wire, WireEndedError } from "./wire.ts";

/** One HTTP/1.1 message as it was on the wire. */
export interface HttpMessage {
  /** The first line. */
  readonly line: string;
  /** The whole head, with its final empty line. */
  readonly head: string;
  /** Fields as they were spelled, in order. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** The value of a field, whatever its case; several are joined by ", ". */
  get(name: string): string | undefined;
  readonly body: Uint8Array;
  /** The body as text. */
  readonly text: string;
  readonly trailers: readonly (readonly [name: string, value: string])[];
}

/** A response with what its first line says. */
export type HttpResponse = HttpMessage & { readonly status: number };

/** A request with what its first line says. */
export type HttpRequest = HttpMessage & { readonly method: string; readonly target: string };

/** Reads one request with its body; it may come whenever it likes. */
export async function readRequest(wire: Wire): Promise<HttpRequest> {
  const begin = await wire.next();
  if (begin === null) throw new WireEndedError("Cannot read a request as the visitor has ended");
  wire.unread(begin);
  const message = await readMessage(wire, { body: "framed" });
  const [method = "", target = ""] = message.line.split(" ");
  return { ...message, method, target };
}

/** Reads one response with its body; `method` is that of its request. Interim ones (but 101) are passed over. */
export async function readResponse(wire: Wire, method: string = "GET"): Promise<HttpResponse> {
  for (;;) {
    const { line, head, fields } = readHeadOf(await wire.readUntil("\r\n\r\n"));
    const status = Number(line.split(" ")[1]);
    if (status >= 100 && status < 200 && status !== 101) continue;
    const none = method === "HEAD" || status === 101 || status === 204 || status === 304;
    return { ...await withBody(wire, { line, head, fields }, none ? "none" : "response"), status };
  }
}

/** Reads a message: `framed` has a body only when it says so, `response` also one that ends with the connection. */
export async function readMessage(
  wire: Wire,
  { body }: { body: "none" | "framed" | "response" },
): Promise<HttpMessage> {
  return await withBody(wire, readHeadOf(await wire.readUntil("\r\n\r\n")), body);
}

type Head = Pick<HttpMessage, "line" | "head" | "fields">;

function readHeadOf(head: string): Head {
  const [line = "", ...lines] = head.slice(0, -4).split("\r\n");
  return { line, head, fields: lines.map(fieldOf) };
}

function fieldOf(line: string): [string, string] {
  const colon = line.indexOf(":");
  return [line.slice(0, colon), line.slice(colon + 1).trim()];
}

async function withBody(wire: Wire, head: Head, kind: "none" | "framed" | "response"): Promise<HttpMessage> {
  function get(name: string): string | undefined {
    const values = head.fields.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
    return values.length === 0 ? undefined : values.join(", ");
  }
  const { bytes, trailers } = kind === "none" ? NOTHING : await bodyOf(wire, get, kind === "response");
  return { ...head, get, body: bytes, text: Buffer.from(bytes).toString(), trailers };
}

const NOTHING = { bytes: new Uint8Array(), trailers: [] as [string, string][] };

async function bodyOf(
  wire: Wire,
  get: (name: string) => string | undefined,
  untilEnd: boolean,
): Promise<{ bytes: Uint8Array; trailers: [string, string][] }> {
  if (get("transfer-encoding")?.toLowerCase() === "chunked") return await readChunks(wire);
  const length = get("content-length");
  if (length !== undefined) return { bytes: await wire.readExactly(Number(length)), trailers: [] };
  if (!untilEnd) return NOTHING;
  const { bytes, end } = await wire.readToEnd();
  if (end === "reset") throw new Error("Cannot read a body whose connection was reset");
  return { bytes, trailers: [] };
}

async function readChunks(wire: Wire): Promise<{ bytes: Uint8Array; trailers: [string, string][] }> {
  const pieces: Uint8Array[] = [];
  for (;;) {
    const size = parseInt(await wire.readUntil("\r\n"), 16);
    if (size === 0) break;
    pieces.push(await wire.readExactly(size));
    await wire.readUntil("\r\n");
  }
  const trailers: [string, string][] = [];
  for (;;) {
    const line = await wire.readUntil("\r\n");
    if (line === "\r\n") return { bytes: Buffer.concat(pieces), trailers };
    trailers.push(fieldOf(line.slice(0, -2)));
  }
}

/** What a visitor asks for. */
export interface RequestParts {
  host: string;
  method?: string;
  path?: string;
  fields?: Readonly<Record<string, string>>;
  /** Sent with Content-Length. */
  body?: string | Uint8Array;
}

/** A request as bytes (latin1). */
export function requestText({ host, method = "GET", path = "/", fields = {}, body }: RequestParts): string {
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const bytes = body === undefined ? undefined : Buffer.from(body as string);
  const length = bytes === undefined ? "" : `Content-Length: ${bytes.length}\r\n`;
  return `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n${lines}${length}\r\n${bytes?.toString("latin1") ?? ""}`;
}

/** One request on a connection of its own (or on `wire`), and its whole response. */
export async function request(
  port: number,
  parts: RequestParts & { wire?: Wire; from?: string; to?: string },
): Promise<HttpResponse> {
  const { wire, from, to } = parts;
  if (wire !== undefined) return await exchange(wire, parts);
  const way = { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { host: to }) };
  await using own = await connectTcp(port, way);
  return await exchange(own, parts);
}

async function exchange(wire: Wire, parts: RequestParts): Promise<HttpResponse> {
  await wire.send(requestText(parts));
  return await readResponse(wire, parts.method);
}
