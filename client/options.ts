import type { Logger } from "../net/log.ts";
import type { CodedError } from "../protocol/errors.ts";
import type { RuleState, Welcome } from "../protocol/message.ts";
import type { HttpOptions } from "../protocol/http_options.ts";
import type { FirewallRule } from "../protocol/rule.ts";
import type { Door, DoorState } from "./doors/door.ts";

/** Answers HTTP requests inside this process, in place of a target. */
export type FetchHandler = (request: Request) => Response | Promise<Response>;

/** What a rule leads to: the target grammar (`127.0.0.1:8080`, `http://`, `https://`, `unix:/path`, a folder), or a handler. */
export type Target = string | FetchHandler;

/** Where the TLS of a domain's visitors ends. */
export type TlsEnd =
  /** At the server, which must have or get a certificate for the domain. */
  | { end: "server" }
  /** In this client: it gets a certificate from a certificate authority (needs `acme` of the options), or reads one from PEM files. */
  | { end: "client"; certificate: "acme" | { certificateFile: string; keyFile: string } }
  /** At this target (`host:port`), which gets the bytes untouched and is found by SNI. */
  | { end: "target"; target: string };

/** How a rule is reached through the mesh. */
export interface ServiceOptions {
  /** Name by which programs at other tunnels reach the target, whatever port they ask for. */
  service?: string;
  /** Through the mesh alone: neither a public name nor a public port. */
  private?: boolean;
}

/** A domain to publish. */
export interface ClientHttpRule extends ServiceOptions {
  kind: "http";
  /** @default the tunnel's assigned hostname */
  domain?: string;
  target: Target;
  firewall?: readonly FirewallRule[];
  /** Host sent to the target. @default the visitor's; for an `https://name` target its name */
  hostHeader?: string;
  /** Do not verify the certificate of an `https://` target. */
  insecureUpstream?: boolean;
  /** @default the server ends it if it has a certificate for the domain, and refuses HTTPS otherwise */
  tls?: TlsEnd;
  /** Answer plain HTTP by a redirect to HTTPS. */
  redirect?: boolean;
  options?: HttpOptions;
  /** Start every connection to the target with the visitor's address. */
  proxyProtocol?: "v2";
}

/** An allocated port of the server to publish. */
export interface ClientTcpRule extends ServiceOptions {
  kind: "tcp";
  port: number;
  target: string;
  firewall?: readonly FirewallRule[];
  /** Start every connection to the target with the visitor's address. */
  proxyProtocol?: "v2";
}

export type ClientRule = ClientHttpRule | ClientTcpRule;

/** Where the server is and how to trust it; from an invite. */
export interface ServerAddress {
  /** `host:port` */
  server: string;
  /** Name in TLS. @default the host, or the fixed internal name for an IP address */
  sni?: string;
  /** CA certificate (PEM) trusted in addition to the public roots. */
  ca?: string;
}

/** What happens to a running client, in order. */
export type ClientEvent =
  | { kind: "connecting"; attempt: number }
  | { kind: "connected"; welcome: Welcome }
  | { kind: "rules"; states: readonly RuleState[] }
  | { kind: "disconnected"; error: CodedError; retryInMs: number }
  /** What became of the doors; told again when something changes by itself. */
  | { kind: "doors"; states: readonly DoorState[] }
  | { kind: "notice"; level: "info" | "warn" | "error"; code: string; message: string }
  | { kind: "draining"; graceMs: number }
  /** A step on the way to a certificate for rules whose TLS ends here; the last one says until when it is good (ISO 8601). */
  | { kind: "certificate"; domain: string; step: string; notAfter?: string };

/** How certificates are got for rules whose TLS ends in this client. */
export interface ClientAcmeOptions {
  /** Where account key and certificates are kept, readable by this user alone. */
  folder: string;
  /** URL of the authority's directory. @default Let's Encrypt */
  directory?: string;
  /** Where the authority may write to. */
  email?: string;
  /** Root certificate (PEM) of a private authority's own HTTPS. */
  ca?: string;
}

/** What `connect()` takes. */
export interface ConnectOptions extends ServerAddress {
  /** The tunnel token. */
  token: string;
  /** @default "serve" */
  role?: "serve" | "use";
  /** With no rules, a default page is published at the assigned hostname. */
  rules?: readonly ClientRule[];
  /** Ways into the mesh for programs of this machine: open once the server has accepted the client, and then whether or not it is connected. */
  doors?: readonly Door[];
  /** Needed by rules whose certificate is `"acme"`. */
  acme?: ClientAcmeOptions;
  /** Replace a client that runs elsewhere with the same tunnel. */
  takeover?: boolean;
  /** Called for everything a person may want to see; must not throw. */
  onEvent?: (event: ClientEvent) => void;
  logger?: Logger;
  /** Ends the client as `close()` does. */
  signal?: AbortSignal;
  /** Fail after the first refused or failed dial instead of trying again. @default false for `serve`, true for `use` */
  once?: boolean;
}
