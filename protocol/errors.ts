/**
 * Every failure a person can meet, with a stable code. The code appears in logs, on visitor pages, in command output and on
 * the wire; `docs/errors.md` is made from this table by `scripts/error_docs.ts`.
 *
 * Numbers: E1 visitor and edge, E2 target, E3 credentials, session and protocol, E4 names, ports and rules, E5 configuration
 * and commands, E6 server state. A code is never reused.
 */
export const ERRORS = {
  // E1: what a visitor meets at the edge.
  BAD_REQUEST: {
    code: "E1400",
    title: "The request is not valid HTTP/1.1",
    fix: "Send exactly one Host, one framing header and CRLF line ends.",
  },
  UNAUTHORIZED: {
    code: "E1401",
    title: "This service asks for a user name and password",
    fix: "Ask the owner for access.",
  },
  FORBIDDEN: {
    code: "E1403",
    title: "The firewall of this rule does not let your address in",
    fix: "Ask the owner to allow your address.",
  },
  UNKNOWN_HOST: {
    code: "E1404",
    title: "There is no service at this name",
    fix: "Check the spelling, or add a rule for the name.",
  },
  METHOD_NOT_ALLOWED: {
    code: "E1405",
    title: "This proxy answers CONNECT only",
    fix: "Use it as a proxy for HTTPS or TCP; reach plain HTTP services by their address.",
  },
  PROXY_UNAUTHORIZED: {
    code: "E1407",
    title: "This proxy asks for a user name and password",
    fix: "Give the proxy's user name and password.",
  },
  REQUEST_TIMEOUT: { code: "E1408", title: "The request head did not arrive in time", fix: "Send the request again." },
  BODY_TOO_LARGE: {
    code: "E1413",
    title: "The request body is larger than this service allows",
    fix: "Send less, or ask the owner to raise the limit.",
  },
  URI_TOO_LONG: { code: "E1414", title: "The request line is too long", fix: "Shorten the address." },
  MISDIRECTED: {
    code: "E1421",
    title: "The name asked for in TLS differs from Host",
    fix: "Open a new connection for this name.",
  },
  UNKNOWN_PATH: {
    code: "E1440",
    title: "There is no service at this path",
    fix: "Check the address.",
  },
  PROXY_HEADER_INVALID: {
    code: "E1441",
    title: "The load balancer sent no valid PROXY protocol header",
    fix: "Switch PROXY protocol on at the balancer, or take it off the list.",
  },
  SOCKS_INVALID: {
    code: "E1442",
    title: "This is not SOCKS5",
    fix: "Use SOCKS version 5; in curl --socks5 or --socks5-hostname.",
  },
  SOCKS_UNSUPPORTED: {
    code: "E1443",
    title: "Of SOCKS only CONNECT is answered: neither BIND nor UDP",
    fix: "Use a program that connects over TCP.",
  },
  SOCKS_ADDRESS_TYPE: {
    code: "E1444",
    title: "The SOCKS request has an unknown type of address",
    fix: "Use an IPv4 address, an IPv6 address or a name.",
  },
  HEADERS_TOO_LARGE: { code: "E1431", title: "The request head is too large", fix: "Send fewer or smaller headers." },
  NOT_IMPLEMENTED: {
    code: "E1501",
    title: "The request uses a method or coding that is not supported here",
    fix: "Use another method or coding.",
  },
  TUNNEL_OFFLINE: {
    code: "E1503",
    title: "The tunnel behind this name is not connected",
    fix: "Start pktriot on the machine that owns the name.",
  },
  TUNNEL_BUSY: {
    code: "E1504",
    title: "The tunnel had no free channel in time",
    fix: "Try again; look at the load of the tunnel.",
  },
  SERVER_DRAINING: { code: "E1505", title: "The server is shutting down", fix: "Try again in a moment." },
  VERSION_NOT_SUPPORTED: { code: "E1506", title: "Only HTTP/1.0 and HTTP/1.1 are spoken here", fix: "Use HTTP/1.1." },
  PASSWORDS_BUSY: {
    code: "E1507",
    title: "Too many passwords are being checked at once",
    fix: "Try again in a moment.",
  },
  TOO_MANY_CONNECTIONS: {
    code: "E1429",
    title: "Too many connections from this address",
    fix: "Close some connections.",
  },

  // E2: what happens between the client and its target.
  TARGET_REFUSED: {
    code: "E2001",
    title: "The target refused the connection",
    fix: "Start the service, or correct the target.",
  },
  TARGET_TIMEOUT: {
    code: "E2002",
    title: "The target did not answer in time",
    fix: "Check that the service is reachable and not overloaded.",
  },
  TARGET_DNS: {
    code: "E2003",
    title: "The target's name cannot be resolved",
    fix: "Correct the name in the rule or the destination.",
  },
  TARGET_SOCKET_MISSING: {
    code: "E2004",
    title: "The target's unix socket does not exist",
    fix: "Start the local service, or correct the path.",
  },
  TARGET_UNREACHABLE: {
    code: "E2005",
    title: "The target cannot be reached",
    fix: "Check the network between the client and the target.",
  },
  TARGET_TLS: {
    code: "E2006",
    title: "TLS to the target failed",
    fix: "Correct the target's certificate, or use --insecure-upstream for a host you trust.",
  },
  TARGET_CLOSED: {
    code: "E2007",
    title: "The target closed the connection without an answer",
    fix: "Look at the log of the local service.",
  },
  TARGET_BAD_RESPONSE: {
    code: "E2008",
    title: "The target's answer is not valid HTTP/1.1",
    fix: "Check that the rule points to an HTTP service.",
  },
  NO_SUCH_RULE: {
    code: "E2009",
    title: "The client has no such rule any more",
    fix: "Try again; the rule was just changed.",
  },
  TARGET_DENIED: {
    code: "E2010",
    title: "The client may not open its target",
    fix: "Check file permissions of the socket or folder.",
  },
  STREAM_RESET: { code: "E2011", title: "The stream was reset", fix: "Try again." },

  // E3: credentials, sessions, protocol.
  TOKEN_INVALID: { code: "E3001", title: "The token is not valid", fix: "Ask the operator for a new invite." },
  TOKEN_EXPIRED: { code: "E3002", title: "The token has expired", fix: "Ask the operator for a new invite." },
  TOKEN_USED: {
    code: "E3003",
    title: "The token has been used as often as it may be",
    fix: "Ask the operator for a new invite.",
  },
  PIN_MISMATCH: {
    code: "E3004",
    title: "The server's certificate authority is not the pinned one",
    fix: "Check the server address; ask the operator for a new invite.",
  },
  SERVER_UNREACHABLE: {
    code: "E3005",
    title: "The server cannot be reached",
    fix: "Check the address, the network and that the server runs.",
  },
  ALREADY_RUNNING: {
    code: "E3006",
    title: "This tunnel is already running elsewhere",
    fix: "Stop the other one, or use --takeover.",
  },
  TAKEN_OVER: {
    code: "E3007",
    title: "Another client took this tunnel over",
    fix: "Nothing to do here; start again with --takeover to take it back.",
  },
  REVOKED: {
    code: "E3008",
    title: "The operator removed this tunnel",
    fix: "Configure the client again with a new invite.",
  },
  PROTOCOL_VIOLATION: {
    code: "E3009",
    title: "The peer broke the tunnel protocol",
    fix: "Use the same version on both sides; report it if it stays.",
  },
  SESSION_UNKNOWN: {
    code: "E3010",
    title: "The session does not exist any more",
    fix: "The client reconnects by itself.",
  },
  TOO_MANY_SESSIONS: {
    code: "E3011",
    title: "This tunnel has too many sessions",
    fix: "End some of the running commands.",
  },
  TOO_MANY_ATTEMPTS: {
    code: "E3012",
    title: "Too many failed attempts from this address",
    fix: "Wait, then try again with a valid token.",
  },
  REQUEST_FAILED: {
    code: "E3013",
    title: "The request could not be carried out",
    fix: "Look at the log of the server.",
  },
  UNKNOWN_METHOD: {
    code: "E3014",
    title: "The peer does not know this request",
    fix: "Use the same version on both sides.",
  },
  SESSION_CLOSED: { code: "E3015", title: "The session has ended", fix: "The client reconnects by itself." },
  LIMIT_EXCEEDED: {
    code: "E3016",
    title: "A limit of this session was exceeded",
    fix: "Reduce the load, or ask the operator to raise the limit.",
  },
  UPGRADE_REQUIRED: {
    code: "E3017",
    title: "This address speaks the tunnel protocol only",
    fix: "Connect with pktriot.",
  },
  SERVER_TLS: {
    code: "E3018",
    title: "TLS to the server failed",
    fix: "Check the server's certificate and the clock of this machine.",
  },

  // E4: names, ports, rules.
  NAME_TAKEN: { code: "E4001", title: "The name belongs to another tunnel", fix: "Choose another name." },
  NAME_RESERVED: { code: "E4002", title: "The name is reserved", fix: "Choose another name." },
  NAME_INVALID: {
    code: "E4003",
    title: "The name is not a valid host name",
    fix: "Use letters, digits and hyphens, at most 63 in a label.",
  },
  NAME_NOT_ALLOWED: {
    code: "E4004",
    title: "This tunnel may not use the name",
    fix: "Use a name under the server's domain, or ask the operator.",
  },
  NAME_RESTING: {
    code: "E4005",
    title: "The name was released by another tunnel and is resting",
    fix: "Choose another name, or wait.",
  },
  PORT_TAKEN: { code: "E4006", title: "The port belongs to another tunnel", fix: "Allocate a port of your own." },
  PORT_NOT_ALLOCATED: {
    code: "E4007",
    title: "The port is not allocated to this tunnel",
    fix: "Run `pktriot route tcp allocate` first.",
  },
  PORT_OUT_OF_RANGE: {
    code: "E4008",
    title: "The port is outside the range of the server",
    fix: "Leave the port away to get a free one.",
  },
  PORTS_EXHAUSTED: {
    code: "E4009",
    title: "No port is free",
    fix: "Release a port, or ask the operator for a larger range.",
  },
  PORT_IN_USE: { code: "E4010", title: "Another program on the server uses the port", fix: "Allocate another port." },
  QUOTA_EXCEEDED: {
    code: "E4011",
    title: "This tunnel has used up its quota",
    fix: "Release what is not needed, or ask the operator for more.",
  },
  RULE_INVALID: { code: "E4012", title: "The rule is not valid", fix: "Correct the rule." },
  NETWORK_INVALID: {
    code: "E4013",
    title: "The network is not an address or CIDR",
    fix: "Write for example 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32.",
  },
  RULE_UNKNOWN: { code: "E4014", title: "There is no such rule", fix: "List the rules with `ls`." },
  FIREWALL_WOULD_OPEN: {
    code: "E4015",
    title: "Removing the last allow opens the rule to everybody",
    fix: "Add --open when that is meant.",
  },
  DOMAIN_NOT_VERIFIED: {
    code: "E4016",
    title: "The domain is not verified for this tunnel",
    fix: "Set the DNS record that `pktriot domain add NAME` shows; the server finds it by itself.",
  },
  OPTION_NEEDS_PLAINTEXT: {
    code: "E4017",
    title: "An HTTP option cannot be used on traffic that nobody here decrypts",
    fix: "Remove the option, or let TLS end at the client or the server.",
  },
  DESTINATION_INVALID: {
    code: "E4018",
    title: "The destination is not valid",
    fix: "Write host:port, with a name, an IPv4 address in four decimal parts, or [IPv6].",
  },
  DESTINATION_UNKNOWN: {
    code: "E4019",
    title: "Nothing of this name is online in the mesh, and the server allows no such host",
    fix: "List what you may reach with `pktriot services`; ask the operator to allow a host.",
  },
  DESTINATION_DENIED: {
    code: "E4020",
    title: "The access policy does not let you reach this destination",
    fix: "Ask the operator; `spokes policy check` explains the decision.",
  },
  DESTINATION_FORBIDDEN: {
    code: "E4021",
    title: "The destination leads to an address that the allow-list does not permit",
    fix: "Ask the operator: the log of the server says which address it is, and whether an entry can permit it.",
  },
  MESH_DISABLED: { code: "E4022", title: "This server has no mesh", fix: "Ask the operator to enable it." },
  SERVICE_TAKEN: {
    code: "E4023",
    title: "The service name belongs to another owner",
    fix: "Choose another service name, or ask the operator: `spokes service rm` makes it free.",
  },
  SERVICE_WITHDRAWN: {
    code: "E4024",
    title: "The operator has taken the service name away from its owner",
    fix: "Offer it again by the same command, or start again; or choose another service name.",
  },

  // E5: configuration and commands.
  CONFIG_MISSING: {
    code: "E5001",
    title: "There is no configuration",
    fix: "Run `pktriot configure INVITE` or `spokes init` first.",
  },
  CONFIG_UNSAFE: {
    code: "E5002",
    title: "The configuration file is not protected",
    fix: "chmod 600 the file and make yourself its owner.",
  },
  CONFIG_INVALID: { code: "E5003", title: "The configuration is not valid", fix: "Correct the line named." },
  CONFIG_LOCKED: { code: "E5004", title: "Another command is editing the configuration", fix: "Try again." },
  CONFIG_UNWRITABLE: {
    code: "E5005",
    title: "The configuration cannot be written",
    fix: "Check owner, permissions and free space.",
  },
  INVITE_INVALID: {
    code: "E5006",
    title: "The invite is not valid",
    fix: "Copy the whole line that the server printed.",
  },
  USAGE: { code: "E5007", title: "The command was not understood", fix: "Look at --help." },
  WEBROOT_UNREADABLE: { code: "E5008", title: "The folder cannot be read", fix: "Check the path and its permissions." },
  TARGET_INVALID: {
    code: "E5009",
    title: "The target is not valid",
    fix: "Write host:port, http://, https://, unix:/path or a folder.",
  },
  ALREADY_EXISTS: {
    code: "E5010",
    title: "It exists already",
    fix: "Choose another place, or remove the old one first.",
  },
  DOOR_INVALID: {
    code: "E5011",
    title: "The door is not valid",
    fix: "Give each port map and proxy a port, or a socket path, of its own.",
  },
  DOOR_UNSAFE: {
    code: "E5012",
    title: "Others on the network could use the door without a password",
    fix: "Listen on 127.0.0.1, set a password with --auth, or say --no-auth.",
  },
  INTERNAL: { code: "E5999", title: "Something unexpected happened", fix: "Report it with the log." },

  // E6: server state.
  STATE_UNAVAILABLE: {
    code: "E6001",
    title: "The state folder cannot be used",
    fix: "Check the folder's owner, permissions and free space.",
  },
  CERTIFICATE_INVALID: {
    code: "E6002",
    title: "The certificate cannot be used",
    fix: "Check the certificate and its key.",
  },
  LISTEN_FAILED: {
    code: "E6003",
    title: "A listener could not be opened",
    fix: "Stop the program that uses the port, or choose another.",
  },
  STATE_CONFLICT: {
    code: "E6004",
    title: "The state was changed by somebody else at the same time",
    fix: "Try again.",
  },
  NOT_FOUND: {
    code: "E6005",
    title: "There is no such token or tunnel",
    fix: "List them with `spokes token ls` or `spokes tunnel ls`.",
  },
  CERTIFICATE_EXPIRED: {
    code: "E6006",
    title: "The certificate has expired, or is not valid yet",
    fix: "Renew the certificate; check the clock of this machine.",
  },
  CERTIFICATE_NAME_MISMATCH: {
    code: "E6007",
    title: "The certificate is not for this name",
    fix: "Use a certificate whose subjectAltName holds the name, or a wildcard one label above it.",
  },
  CERTIFICATE_MISSING: {
    code: "E6008",
    title: "The server has no certificate for the name, and gets none",
    fix: "Let the client end TLS (--letsencrypt), or ask the operator for a certificate.",
  },
  CERTIFICATE_EXPIRING: {
    code: "E6009",
    title: "The certificate expires soon",
    fix: "Renew it; see in the log why that was not done by itself.",
  },

  // E7: certificates from a CA (ACME).
  ACME_REFUSED: {
    code: "E7001",
    title: "The CA refuses the certificate or the account",
    fix: "Read the reason it gives; correct the name or the account.",
  },
  ACME_UNREACHABLE: {
    code: "E7002",
    title: "The CA cannot be reached",
    fix: "Check the directory URL and the network; it is tried again by itself.",
  },
  ACME_RATE_LIMITED: {
    code: "E7003",
    title: "A limit of the CA is reached",
    fix: "Nothing to do here: it is tried again when the CA allows it.",
  },
  ACME_CHALLENGE_FAILED: {
    code: "E7004",
    title: "The CA could not verify the name",
    fix: "Point the name to the server and let the CA reach port 80 or 443, or use dns-01.",
  },
  DNS_HOOK_FAILED: {
    code: "E7005",
    title: "The record that proves a name could not be published",
    fix: "Run the hook by hand with the arguments shown; see docs/dns-hook.md.",
  },
} as const satisfies Record<string, { code: `E${number}`; title: string; fix: string }>;

/** The key of an error in {@link ERRORS}. */
export type ErrorName = keyof typeof ERRORS;

const NAMES_BY_CODE: ReadonlyMap<string, ErrorName> = new Map(
  (Object.keys(ERRORS) as ErrorName[]).map((name) => [ERRORS[name].code, name]),
);

/** An error with a stable code, whose message is one line for a person: what happened, where, what to do. */
export class CodedError extends Error {
  override readonly name: string = "CodedError";
  /** Key in {@link ERRORS}: what code branches on. */
  readonly kind: ErrorName;
  /** The stable code, `E2001`. */
  readonly code: string;

  constructor(kind: ErrorName, message: string = ERRORS[kind].title, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
    this.code = ERRORS[kind].code;
  }
}

/** The peer broke the protocol; its session (never anybody else's) ends. */
export class ProtocolError extends CodedError {
  override readonly name: string = "ProtocolError";
  constructor(message: string, options?: ErrorOptions) {
    super("PROTOCOL_VIOLATION", message, options);
  }
}

/** A stream ended without `fin`: what was read so far is not the whole. */
export class StreamResetError extends CodedError {
  override readonly name: string = "StreamResetError";
  constructor(message: string = ERRORS.STREAM_RESET.title, options?: ErrorOptions) {
    super("STREAM_RESET", message, options);
  }
}

/** The error for a code that came over the wire; a code of a newer version becomes `fallback`. */
export function errorFromWire(code: string, message: string, fallback: ErrorName = "REQUEST_FAILED"): CodedError {
  return codedError(NAMES_BY_CODE.get(code) ?? fallback, message);
}

/** Any thrown value as a coded error; one without a code becomes `fallback` and stays its cause. */
export function toCodedError(error: unknown, fallback: ErrorName = "INTERNAL"): CodedError {
  if (error instanceof CodedError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return codedError(fallback, message, { cause: error });
}

/** A reset is one by its class too, wherever it comes from. */
function codedError(kind: ErrorName, message: string, options?: ErrorOptions): CodedError {
  return kind === "STREAM_RESET" ? new StreamResetError(message, options) : new CodedError(kind, message, options);
}
