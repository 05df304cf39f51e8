import type { ErrorName } from "../../protocol/errors.ts";

/** The status line that tells a visitor of an error. */
export interface ErrorStatus {
  readonly status: number;
  readonly reason: string;
}

const INTERNAL: ErrorStatus = { status: 500, reason: "Internal Server Error" };
const BAD_GATEWAY: ErrorStatus = { status: 502, reason: "Bad Gateway" };
const UNAVAILABLE: ErrorStatus = { status: 503, reason: "Service Unavailable" };

/** Visitor-facing failures and their status (RFC 9110 15); what is not here is our own fault: 500. */
const STATUSES: ReadonlyMap<ErrorName, ErrorStatus> = new Map<ErrorName, ErrorStatus>([
  ["BAD_REQUEST", { status: 400, reason: "Bad Request" }],
  ["DESTINATION_INVALID", { status: 400, reason: "Bad Request" }],
  ["UNAUTHORIZED", { status: 401, reason: "Unauthorized" }],
  ["FORBIDDEN", { status: 403, reason: "Forbidden" }],
  ["DESTINATION_DENIED", { status: 403, reason: "Forbidden" }],
  ["DESTINATION_FORBIDDEN", { status: 403, reason: "Forbidden" }],
  ["MESH_DISABLED", { status: 403, reason: "Forbidden" }],
  ["UNKNOWN_HOST", { status: 404, reason: "Not Found" }],
  ["DESTINATION_UNKNOWN", { status: 404, reason: "Not Found" }],
  ["UNKNOWN_PATH", { status: 404, reason: "Not Found" }],
  ["METHOD_NOT_ALLOWED", { status: 405, reason: "Method Not Allowed" }],
  ["PROXY_UNAUTHORIZED", { status: 407, reason: "Proxy Authentication Required" }],
  ["REQUEST_TIMEOUT", { status: 408, reason: "Request Timeout" }],
  ["LIMIT_EXCEEDED", { status: 413, reason: "Content Too Large" }],
  ["BODY_TOO_LARGE", { status: 413, reason: "Content Too Large" }],
  ["URI_TOO_LONG", { status: 414, reason: "URI Too Long" }],
  ["MISDIRECTED", { status: 421, reason: "Misdirected Request" }],
  ["UPGRADE_REQUIRED", { status: 426, reason: "Upgrade Required" }],
  ["TOO_MANY_CONNECTIONS", { status: 429, reason: "Too Many Requests" }],
  ["TOO_MANY_ATTEMPTS", { status: 429, reason: "Too Many Requests" }],
  ["HEADERS_TOO_LARGE", { status: 431, reason: "Request Header Fields Too Large" }],
  ["NOT_IMPLEMENTED", { status: 501, reason: "Not Implemented" }],
  ["TARGET_REFUSED", BAD_GATEWAY],
  ["TARGET_DNS", BAD_GATEWAY],
  ["TARGET_SOCKET_MISSING", BAD_GATEWAY],
  ["TARGET_UNREACHABLE", BAD_GATEWAY],
  ["TARGET_TLS", BAD_GATEWAY],
  ["TARGET_CLOSED", BAD_GATEWAY],
  ["TARGET_BAD_RESPONSE", BAD_GATEWAY],
  ["TARGET_DENIED", BAD_GATEWAY],
  ["WEBROOT_UNREADABLE", BAD_GATEWAY],
  ["STREAM_RESET", BAD_GATEWAY],
  ["PASSWORDS_BUSY", UNAVAILABLE],
  ["NO_SUCH_RULE", UNAVAILABLE],
  ["TUNNEL_OFFLINE", UNAVAILABLE],
  ["TUNNEL_BUSY", UNAVAILABLE],
  ["SERVER_DRAINING", UNAVAILABLE],
  ["SESSION_CLOSED", UNAVAILABLE],
  ["TARGET_TIMEOUT", { status: 504, reason: "Gateway Timeout" }],
  ["VERSION_NOT_SUPPORTED", { status: 505, reason: "HTTP Version Not Supported" }],
]);

/** The status for a coded error. */
export function errorStatus(kind: ErrorName): ErrorStatus {
  return STATUSES.get(kind) ?? INTERNAL;
}
