import { ByteReader } from "./byte_reader.ts";
import { MAX_CLIENT_HELLO_BYTES } from "./limits.ts";

/** What the first bytes of a TLS connection say. */
export type ClientHello =
  | { kind: "incomplete" }
  | { kind: "invalid"; reason: string }
  | { kind: "hello"; serverName: string | undefined; alpn: readonly string[] };

const RECORD_HANDSHAKE = 22;
const HANDSHAKE_CLIENT_HELLO = 1;
const EXTENSION_SERVER_NAME = 0;
const EXTENSION_ALPN = 16;
const RECORD_HEADER_BYTES = 5;
const HANDSHAKE_HEADER_BYTES = 4;

/**
 * Reads a ClientHello (RFC 8446 4.1.2; server_name RFC 6066 3; ALPN RFC 7301 3.1) that may be spread over several records.
 * Never throws: bytes that cannot become one are `invalid`.
 */
export function parseClientHello(bytes: Uint8Array): ClientHello {
  const message = joinRecords(bytes);
  if (!(message instanceof Uint8Array)) return message;
  const reader = new ByteReader(message);
  try {
    return readHello(reader);
  } catch (error) {
    if (error instanceof RangeError) return { kind: "invalid", reason: "a length does not fit the message" };
    throw error;
  }
}

/** The handshake message that the records carry, without its header. */
function joinRecords(bytes: Uint8Array): Uint8Array | ClientHello {
  const pieces: Uint8Array[] = [];
  let joined = 0;
  let need = HANDSHAKE_HEADER_BYTES;
  let at = 0;
  while (joined < need) {
    if (bytes.length > at && bytes[at] !== RECORD_HANDSHAKE) return { kind: "invalid", reason: "not a TLS handshake" };
    if (bytes.length > at + 1 && bytes[at + 1] !== 3) return { kind: "invalid", reason: "not a TLS version" };
    if (bytes.length < at + RECORD_HEADER_BYTES) return { kind: "incomplete" };
    const length = (bytes[at + 3]! << 8) | bytes[at + 4]!;
    if (length === 0 || length > MAX_CLIENT_HELLO_BYTES) {
      return { kind: "invalid", reason: "a record of no valid length" };
    }
    const piece = bytes.subarray(at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + length);
    pieces.push(piece);
    joined += piece.length;
    if (joined >= HANDSHAKE_HEADER_BYTES && need === HANDSHAKE_HEADER_BYTES) {
      const header = join(pieces, HANDSHAKE_HEADER_BYTES);
      if (header[0] !== HANDSHAKE_CLIENT_HELLO) return { kind: "invalid", reason: "not a ClientHello" };
      need += (header[1]! << 16) | (header[2]! << 8) | header[3]!;
      if (need > MAX_CLIENT_HELLO_BYTES) return { kind: "invalid", reason: "the ClientHello is too large" };
    }
    if (piece.length < length && joined < need) return { kind: "incomplete" };
    at += RECORD_HEADER_BYTES + length;
  }
  return join(pieces, need).subarray(HANDSHAKE_HEADER_BYTES);
}

function join(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    const part = piece.subarray(0, length - at);
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function readHello(reader: ByteReader): ClientHello {
  reader.take(2 + 32); // legacy_version, random
  reader.vector(1); // legacy_session_id
  reader.vector(2); // cipher_suites
  reader.vector(1); // legacy_compression_methods
  let serverName: string | undefined;
  let alpn: readonly string[] = [];
  if (reader.left > 0) {
    const extensions = new ByteReader(reader.vector(2));
    const seen = new Set<number>();
    while (extensions.left > 0) {
      const type = extensions.number(2);
      const body = new ByteReader(extensions.vector(2));
      if (seen.has(type)) return { kind: "invalid", reason: "an extension appears twice" };
      seen.add(type);
      if (type === EXTENSION_SERVER_NAME) serverName = readServerName(body);
      if (type === EXTENSION_ALPN) alpn = readAlpn(body);
    }
  }
  reader.end();
  return { kind: "hello", serverName, alpn };
}

/**
 * The one host name of the list; a name with a byte outside the grammar counts as none, so that it can match nothing. Several
 * names, or bytes behind them, are refused: whoever reads the message after us might take another one.
 */
function readServerName(body: ByteReader): string | undefined {
  const list = new ByteReader(body.vector(2));
  body.end();
  const type = list.number(1);
  const name = latin1(list.vector(2)).toLowerCase();
  list.end();
  if (type !== 0) return undefined;
  return /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(name) ? name : undefined;
}

function readAlpn(body: ByteReader): readonly string[] {
  const list = new ByteReader(body.vector(2));
  body.end();
  const names: string[] = [];
  while (list.left > 0) names.push(latin1(list.vector(1)));
  return names;
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
