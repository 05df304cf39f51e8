import type { Logger } from "../net/log.ts";
import type { CodedError } from "../protocol/errors.ts";
import type { RuleState, Welcome } from "../protocol/message.ts";
import type { FirewallRule } from "../protocol/rule.ts";

/** Answers HTTP requests inside this process, in place of a target. */
export type FetchHandler = (request: Request) => Response | Promise<Response>;

/** What a rule leads to: the target grammar (`127.0.0.1:8080`, `http://`, `https://`, `unix:/path`, a folder), or a handler. */
export type Target = string | FetchHandler;

/** A domain to publish. */
export interface ClientHttpRule {
  kind: "http";
  /** @default the tunnel's assigned hostname */
  domain?: string;
  target: Target;
  firewall?: readonly FirewallRule[];
  /** Host sent to the target. @default the visitor's; for an `https://name` target its name */
  hostHeader?: string;
  /** Do not verify the certificate of an `https://` target. */
  insecureUpstream?: boolean;
}

/** An allocated port of the server to publish. */
export interface ClientTcpRule {
  kind: "tcp";
  port: number;
  target: string;
  firewall?: readonly FirewallRule[];
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
  | { kind: "notice"; level: "info" | "warn" | "error"; code: string; message: string }
  | { kind: "draining"; graceMs: number };

/** What `connect()` takes. */
export interface ConnectOptions extends ServerAddress {
  /** The tunnel token. */
  token: string;
  /** @default "serve" */
  role?: "serve" | "use";
  /** With no rules, a default page is published at the assigned hostname. */
  rules?: readonly ClientRule[];
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
