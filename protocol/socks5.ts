import { type Destination, toDestination } from "./destination.ts";
import { CodedError, type ErrorName } from "./errors.ts";

/** Ways for a client to say who it is (RFC 1928 3). */
export const SOCKS_METHOD = { none: 0x00, password: 0x02, unacceptable: 0xff } as const;

/** What came of a request (RFC 1928 6). */
export const SOCKS_REPLY = {
  succeeded: 0,
  failure: 1,
  notAllowed: 2,
  networkUnreachable: 3,
  hostUnreachable: 4,
  refused: 5,
  expired: 6,
  commandUnsupported: 7,
  addressUnsupported: 8,
} as const;

/** A message at the start of some bytes, and how many of them it takes; `null` when it is not whole yet. */
export type Decoded<T> = { readonly value: T; readonly length: number } | null;

const VERSION = 5;
const CREDENTIAL_VERSION = 1;
const CONNECT = 1;
const ADDRESS_TYPE = { ipv4: 1, domain: 3, ipv6: 4 } as const;

const REPLIES: ReadonlyMap<ErrorName, number> = new Map<ErrorName, number>([
  ["DESTINATION_DENIED", SOCKS_REPLY.notAllowed],
  ["DESTINATION_FORBIDDEN", SOCKS_REPLY.notAllowed],
  ["MESH_DISABLED", SOCKS_REPLY.notAllowed],
  ["FORBIDDEN", SOCKS_REPLY.notAllowed],
  ["TARGET_DENIED", SOCKS_REPLY.notAllowed],
  ["PROXY_UNAUTHORIZED", SOCKS_REPLY.notAllowed],
  ["SERVER_UNREACHABLE", SOCKS_REPLY.networkUnreachable],
  ["SERVER_TLS", SOCKS_REPLY.networkUnreachable],
  ["SERVER_DRAINING", SOCKS_REPLY.networkUnreachable],
  ["SESSION_CLOSED", SOCKS_REPLY.networkUnreachable],
  ["SESSION_UNKNOWN", SOCKS_REPLY.networkUnreachable],
  ["DESTINATION_UNKNOWN", SOCKS_REPLY.hostUnreachable],
  ["DESTINATION_INVALID", SOCKS_REPLY.hostUnreachable],
  ["TARGET_DNS", SOCKS_REPLY.hostUnreachable],
  ["TARGET_UNREACHABLE", SOCKS_REPLY.hostUnreachable],
  ["TUNNEL_OFFLINE", SOCKS_REPLY.hostUnreachable],
  ["NO_SUCH_RULE", SOCKS_REPLY.hostUnreachable],
  ["TARGET_REFUSED", SOCKS_REPLY.refused],
  ["TARGET_SOCKET_MISSING", SOCKS_REPLY.refused],
  ["TARGET_TIMEOUT", SOCKS_REPLY.expired],
  ["SOCKS_UNSUPPORTED", SOCKS_REPLY.commandUnsupported],
  ["SOCKS_ADDRESS_TYPE", SOCKS_REPLY.addressUnsupported],
]);

/** The methods that a client offers. @throws {CodedError} SOCKS_INVALID */
export function readSocksGreeting(bytes: Uint8Array): Decoded<readonly number[]> {
  checkVersion(bytes, VERSION);
  const count = bytes[1];
  if (count === undefined) return null;
  if (count === 0) throw new CodedError("SOCKS_INVALID", "The SOCKS client offers no method");
  const length = 2 + count;
  return bytes.length < length ? null : { value: [...bytes.subarray(2, length)], length };
}

/** User and password (RFC 1929), as UTF-8. @throws {CodedError} SOCKS_INVALID */
export function readSocksCredential(bytes: Uint8Array): Decoded<{ user: string; password: string }> {
  checkVersion(bytes, CREDENTIAL_VERSION);
  const user = readField(bytes, 1);
  if (user === null) return null;
  const password = readField(bytes, user.length);
  if (password === null) return null;
  return { value: { user: utf8(user.value), password: utf8(password.value) }, length: password.length };
}

/**
 * Where a client wants to go.
 * @throws {CodedError} SOCKS_INVALID, SOCKS_UNSUPPORTED, SOCKS_ADDRESS_TYPE, DESTINATION_INVALID
 */
export function readSocksRequest(bytes: Uint8Array): Decoded<Destination> {
  checkVersion(bytes, VERSION);
  const [, command, , type] = bytes;
  if (command !== undefined && command !== CONNECT) throw new CodedError("SOCKS_UNSUPPORTED");
  if (type === undefined) return null;
  const host = readHost(bytes, type);
  if (host === null) return null;
  const [high, low] = bytes.subarray(host.length);
  if (high === undefined || low === undefined) return null;
  return { value: toDestination(host.value, high * 256 + low), length: host.length + 2 };
}

/** The method that was chosen. */
export function socksMethod(method: (typeof SOCKS_METHOD)[keyof typeof SOCKS_METHOD]): Uint8Array {
  return Uint8Array.of(VERSION, method);
}

/** Whether user and password are right. */
export function socksCredentialAnswer(isRight: boolean): Uint8Array {
  return Uint8Array.of(CREDENTIAL_VERSION, isRight ? 0 : 1);
}

/** What came of a request. The address it was connected from is that of another machine, so the unspecified one is told. */
export function socksReply(code: (typeof SOCKS_REPLY)[keyof typeof SOCKS_REPLY] | number): Uint8Array {
  return Uint8Array.of(VERSION, code, 0, ADDRESS_TYPE.ipv4, 0, 0, 0, 0, 0, 0);
}

/** The reply that fits an error best. */
export function socksReplyCode(kind: ErrorName): number {
  return REPLIES.get(kind) ?? SOCKS_REPLY.failure;
}

/** Told from the first byte: what speaks something else need not send more. */
function checkVersion(bytes: Uint8Array, version: number): void {
  const [first] = bytes;
  if (first === undefined || first === version) return;
  const isText = first >= 0x41 && first <= 0x5a;
  const what = first === 4
    ? "SOCKS version 4"
    : isText
    ? "what looks like HTTP"
    : `a message that begins with ${first}`;
  throw new CodedError("SOCKS_INVALID", `Cannot take ${what}: only SOCKS5 is spoken here`);
}

/** The host of a request as text; its length counts from the start of the message. */
function readHost(bytes: Uint8Array, type: number): Decoded<string> {
  switch (type) {
    case ADDRESS_TYPE.ipv4:
      return bytes.length < 8 ? null : { value: bytes.subarray(4, 8).join("."), length: 8 };
    case ADDRESS_TYPE.ipv6:
      return bytes.length < 20 ? null : { value: ipv6Text(bytes.subarray(4, 20)), length: 20 };
    case ADDRESS_TYPE.domain: {
      const field = readField(bytes, 4);
      return field && { value: String.fromCharCode(...field.value), length: field.length };
    }
    default:
      throw new CodedError("SOCKS_ADDRESS_TYPE");
  }
}

/** Bytes behind their count, which stands at `at`. */
function readField(bytes: Uint8Array, at: number): Decoded<Uint8Array> {
  const count = bytes[at];
  if (count === undefined) return null;
  const end = at + 1 + count;
  return bytes.length < end ? null : { value: bytes.subarray(at + 1, end), length: end };
}

function ipv6Text(bytes: Uint8Array): string {
  const groups: string[] = [];
  for (let at = 0; at < 16; at += 2) groups.push((bytes[at]! * 256 + bytes[at + 1]!).toString(16));
  return groups.join(":");
}

function utf8(bytes: Uint8Array): string {
  try {
    // The same letters may come composed or not.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes).normalize("NFC");
  } catch (cause) {
    throw new CodedError("SOCKS_INVALID", "Cannot take a user or password that is not UTF-8", { cause });
  }
}
