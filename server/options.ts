import type { Logger } from "../net/log.ts";
import type { ServerLimits } from "./limits.ts";

/** Where a listener binds. */
export interface ListenAddress {
  hostname: string;
  /** 0 takes a free port. */
  port: number;
}

/** A certificate chain and its key, PEM. */
export interface CertificatePair {
  certificate: string;
  key: string;
}

/** What `serve()` takes: everything resolved and validated by the caller, nothing read from the environment. */
export interface ServerOptions {
  /** Tunnels get names under it: `example.com`. */
  domain: string;
  /** The tunnel endpoint's own name in TLS. @default the domain */
  hostname?: string;
  /** What clients dial, `host:port`; it goes into invites. @default `hostname:port of the TLS listener` */
  address?: string;
  /** Folder for the store, the CA and the certificate. Without it all state is in memory and a CA is made at every start. */
  stateDir?: string;
  /** @default [::]:80, which is every address, IPv4 and IPv6 */
  http?: Partial<ListenAddress> & { publicPort?: number };
  /** Certificate of the tunnel endpoint; without it the server's own CA signs one. @default [::]:443 */
  tls?: Partial<ListenAddress> & { publicPort?: number; certificate?: CertificatePair };
  /** Where allocated ports listen. @default [::], 22000-22999 */
  tcp?: { bind?: string; from?: number; to?: number };
  /** Health and metrics; `false` switches them off. @default 127.0.0.1:9400 */
  admin?: Partial<ListenAddress> | false;
  /** Networks whose `X-Forwarded-For` is believed. @default none */
  trustedProxies?: readonly string[];
  /** How long running streams may go on after a stop was asked for. @default 30_000 */
  drainMs?: number;
  limits?: Partial<ServerLimits>;
  logger?: Logger;
}
