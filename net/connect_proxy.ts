import { type Destination, parseDestination } from "../protocol/destination.ts";
import { CodedError, type ErrorName, StreamResetError } from "../protocol/errors.ts";
import { type BasicCredential, basicCredential } from "../protocol/http/basic_credential.ts";
import { Fields } from "../protocol/http/field.ts";
import { parseRequestHead, type RequestHead } from "../protocol/http/head.ts";
import { latin1Bytes, responseHeadText } from "../protocol/http/serialise.ts";
import type { Duplex, PushbackDuplex } from "./duplex.ts";
import { type ErrorStatus, errorStatus } from "./http/error_status.ts";
import { HttpReader } from "./http/http_reader.ts";
import { negotiate, type ProxyOptions, type ProxyRequest, refuseConnection } from "./proxy_request.ts";

const FORBIDDEN: ErrorStatus = { status: 403, reason: "Forbidden" };
const BAD_GATEWAY: ErrorStatus = { status: 502, reason: "Bad Gateway" };

/** Where a proxy answers otherwise than an edge: its client asked for a destination, not for a page. */
const STATUSES: ReadonlyMap<ErrorName, ErrorStatus> = new Map<ErrorName, ErrorStatus>([
  ["DESTINATION_INVALID", { status: 400, reason: "Bad Request" }],
  ["DESTINATION_DENIED", FORBIDDEN],
  ["DESTINATION_FORBIDDEN", FORBIDDEN],
  ["MESH_DISABLED", FORBIDDEN],
  ["DESTINATION_UNKNOWN", BAD_GATEWAY],
  ["LIMIT_EXCEEDED", { status: 429, reason: "Too Many Requests" }],
  ["SERVER_UNREACHABLE", BAD_GATEWAY],
  ["SERVER_TLS", BAD_GATEWAY],
]);

const CREDENTIAL_FIELD = "proxy-authorization";

/** What a CONNECT asks for. */
export interface ConnectHead {
  readonly destination: Destination;
  /** User and password of the proxy, if they were given; `null` when what was given is none. */
  readonly credential: BasicCredential | null | undefined;
}

/** Reads a CONNECT. @throws {CodedError} METHOD_NOT_ALLOWED, DESTINATION_INVALID */
function readConnect(head: RequestHead): ConnectHead {
  if (head.method !== "CONNECT") throw new CodedError("METHOD_NOT_ALLOWED");
  const given = head.fields.get(CREDENTIAL_FIELD) !== undefined;
  return {
    destination: parseDestination(head.target),
    credential: given ? basicCredential(head.fields, CREDENTIAL_FIELD) ?? null : undefined,
  };
}

/** The answer to a CONNECT whose destination is connected. */
function connectEstablished(): Uint8Array {
  return latin1Bytes("HTTP/1.1 200 Connection established\r\n\r\n");
}

/** The answer to a CONNECT that is refused: a status, and one line with the code and the reason. */
export function connectRefusal({ kind, code, message }: CodedError): Uint8Array {
  const { status, reason } = STATUSES.get(kind) ?? errorStatus(kind);
  const body = `${code} ${message.replaceAll(/[^\x20-\x7e]/g, "?")}\n`;
  const fields = new Fields([
    { name: "Content-Type", value: "text/plain; charset=utf-8" },
    { name: "Content-Length", value: `${body.length}` },
    { name: "Connection", value: "close" },
    ...(status === 405 ? [{ name: "Allow", value: "CONNECT" }] : []),
    ...(status === 407 ? [{ name: "Proxy-Authenticate", value: 'Basic realm="proxy", charset="UTF-8"' }] : []),
  ]);
  return latin1Bytes(responseHeadText({ status, reason, fields }) + body);
}

/**
 * Takes the request of an HTTP proxy's client: CONNECT only, one for each connection, which never returns to a pool (security R44). When
 * it throws, the client was told what can be told, and the connection has ended.
 * @throws {CodedError} METHOD_NOT_ALLOWED, DESTINATION_INVALID, PROXY_UNAUTHORIZED, BAD_REQUEST and other faults of a head, STREAM_RESET,
 * what `authenticate` throws
 */
export function negotiateConnect<T>(duplex: PushbackDuplex, options: ProxyOptions<T> = {}): Promise<ProxyRequest<T>> {
  return negotiate(duplex, options.deadlineMs, {
    take: async () => {
      const reader = new HttpReader(duplex, "request");
      const text = await reader.readHead();
      if (text === null) throw new StreamResetError("The connection ended without a request");
      const request = await take(duplex, parseRequestHead(text), options);
      duplex.unread(reader.rest());
      return request;
    },
    refusal,
  });
}

/** The same for a request whose head has been read by somebody else. */
export function negotiateConnectHead<T>(
  duplex: Duplex,
  head: RequestHead,
  options: ProxyOptions<T> = {},
): Promise<ProxyRequest<T>> {
  return negotiate(duplex, options.deadlineMs, { take: () => take(duplex, head, options), refusal });
}

function refusal(error: CodedError): Uint8Array | null {
  return error.kind === "STREAM_RESET" ? null : connectRefusal(error);
}

async function take<T>(duplex: Duplex, head: RequestHead, options: ProxyOptions<T>): Promise<ProxyRequest<T>> {
  const { destination, credential } = readConnect(head);
  const identity = await identify(credential, options);
  return {
    ...{ destination, identity },
    succeed: () => duplex.write(connectEstablished()),
    fail: (error) => refuseConnection(duplex, connectRefusal(error)),
  };
}

async function identify<T>(
  credential: ConnectHead["credential"],
  { authenticate, anonymous }: ProxyOptions<T>,
): Promise<T | undefined> {
  if (authenticate === undefined) return undefined;
  const identity = credential === undefined
    ? anonymous?.() ?? null
    : credential && await authenticate(credential.user, credential.password);
  if (identity === null) throw new CodedError("PROXY_UNAUTHORIZED");
  return identity;
}
