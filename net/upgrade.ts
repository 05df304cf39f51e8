import { createHash, randomBytes } from "node:crypto";
import { CodedError, errorFromWire } from "../protocol/errors.ts";
import { bodyDecoder } from "../protocol/http/body.ts";
import { responseFraming } from "../protocol/http/framing.ts";
import { parseResponseHead, type ResponseHead } from "../protocol/http/head.ts";
import { SUBPROTOCOL } from "../protocol/limits.ts";
import type { Duplex } from "./duplex.ts";
import type { FetchUpgrade } from "./http/fetch_server.ts";
import { HttpReader } from "./http/http_reader.ts";

/** RFC 6455 1.3. */
const ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** A refusal's body beyond this is not read: a code and a line of text fit. */
const MAX_REFUSAL_BYTES = 16 * 1024;

const ENCODER = new TextEncoder();

/** What an upgrade asks for. */
export interface UpgradeRequest {
  /** Host header. */
  host: string;
  path: string;
  /** Sent as `Authorization: Bearer`. */
  bearer: string;
}

/**
 * Client side of the WebSocket handshake (RFC 6455 4.1) on a fresh connection.
 * @returns bytes that came behind the answer
 * @throws {CodedError} the server's refusal; UPGRADE_REQUIRED when something else answered
 */
export async function requestUpgrade(duplex: Duplex, request: UpgradeRequest): Promise<Uint8Array> {
  const key = randomBytes(16).toString("base64");
  await duplex.write(ENCODER.encode(
    `GET ${request.path} HTTP/1.1\r\nHost: ${request.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Protocol: ${SUBPROTOCOL}\r\n` +
      `Authorization: Bearer ${request.bearer}\r\n\r\n`,
  ));
  const reader = new HttpReader(duplex, "response");
  const text = await reader.readHead();
  if (text === null) throw new CodedError("SERVER_UNREACHABLE", "The server closed the connection without an answer");
  const head = parseResponseHead(text);
  if (head.status !== 101) throw await readRefusal(head, reader);
  const accepted = head.fields.get("sec-websocket-accept") === acceptKey(key) &&
    head.fields.get("sec-websocket-protocol") === SUBPROTOCOL &&
    head.fields.get("upgrade")?.toLowerCase() === "websocket";
  if (!accepted) throw new CodedError("UPGRADE_REQUIRED", "What answered is not a spokes server");
  return reader.rest().slice();
}

/** The refusal in an error answer of a door. */
async function readRefusal(head: ResponseHead, reader: HttpReader): Promise<CodedError> {
  const decoder = bodyDecoder(responseFraming(head, "GET"), "response");
  const text = new TextDecoder();
  let body = "";
  for (let pieces = await reader.readBody(decoder); pieces !== null; pieces = await reader.readBody(decoder)) {
    for (const piece of pieces) body += text.decode(piece, { stream: true });
    if (body.length > MAX_REFUSAL_BYTES) break;
  }
  return parseRefusal(body) ??
    new CodedError("UPGRADE_REQUIRED", `What answered is not a spokes server (HTTP ${head.status})`);
}

/** The coded error in `{"error": {"code", "message"}}`. */
export function parseRefusal(body: string): CodedError | undefined {
  try {
    const { error } = JSON.parse(body) as { error?: { code?: unknown; message?: unknown } };
    if (typeof error?.code !== "string" || typeof error.message !== "string") return undefined;
    return errorFromWire(error.code, error.message.slice(0, 1024));
  } catch {
    return undefined; // Some other server's page.
  }
}

/**
 * Server side: checks the handshake (RFC 6455 4.2.1) and gives the 101 to send.
 * @throws {CodedError} UPGRADE_REQUIRED
 */
export function acceptUpgrade({ head, protocols }: Pick<FetchUpgrade, "head" | "protocols">): Uint8Array {
  const { fields } = head;
  const key = fields.get("sec-websocket-key");
  const valid = head.method === "GET" && head.version === "1.1" &&
    protocols.trim().toLowerCase() === "websocket" && fields.get("sec-websocket-version") === "13" &&
    hasToken(fields.get("sec-websocket-protocol"), SUBPROTOCOL) &&
    key !== undefined && /^[A-Za-z0-9+/]{22}==$/.test(key);
  if (!valid) throw new CodedError("UPGRADE_REQUIRED");
  return ENCODER.encode(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      `Sec-WebSocket-Accept: ${acceptKey(key)}\r\nSec-WebSocket-Protocol: ${SUBPROTOCOL}\r\n\r\n`,
  );
}

function acceptKey(key: string): string {
  return createHash("sha1").update(key + ACCEPT_GUID).digest("base64");
}

function hasToken(list: string | undefined, token: string): boolean {
  return list !== undefined && list.toLowerCase().split(",").some((each) => each.trim() === token);
}
