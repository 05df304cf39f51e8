import type { GivenCertificate } from "./certificates/given_certificate.ts";
import type { Logger } from "../net/log.ts";
import type { ServerLimits } from "./limits.ts";
import type { MeshOptions } from "./mesh/access.ts";

/** Where a listener binds. */
export interface ListenAddress {
  hostname: string;
  /** 0 takes a free port. */
  port: number;
}

/** How the server gets certificates from a certificate authority: for its own name, and those of its tunnels whose TLS ends here. */
export interface ServerAcmeOptions {
  /** URL of the authority's directory. @default Let's Encrypt */
  directory?: string;
  /** Where the authority may write to. */
  email?: string;
  /** Root certificate (PEM) of a private authority's own HTTPS. */
  ca?: string;
  /** External account binding, where the authority demands one. */
  eab?: { keyId: string; hmacKey: string };
  /** Program that sets DNS records; with it the server gets a certificate for every name below its domain. */
  dnsHook?: string;
  /**
   * Name servers, `address` or `address:port`, that must have a record of the hook before the authority is told to look; `false` trusts
   * the hook to have waited. @default those of the record's zone
   */
  dnsCheck?: false | readonly string[];
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
  /** Certificate of the tunnel endpoint, as text or in files, which are watched; without it the server's own CA signs one. @default [::]:443 */
  tls?: Partial<ListenAddress> & { publicPort?: number; certificate?: GivenCertificate };
  /** Where allocated ports listen. @default [::], 22000-22999 */
  tcp?: { bind?: string; from?: number; to?: number };
  /** Certificates from an authority; needs `stateDir`. */
  acme?: ServerAcmeOptions;
  /** Folder with certificates of the operator's own, for any names; watched. */
  certificatesDir?: string;
  /** Load balancers that begin every connection with PROXY protocol, v1 or v2; nobody else may. @default none */
  proxyProtocol?: { from: readonly string[] };
  /** Health and metrics; `false` switches them off. @default 127.0.0.1:9400 */
  admin?: Partial<ListenAddress> | false;
  /** How tunnels prove that domains of their own are theirs. */
  domains?: {
    /** Resolvers that are asked, `address` or `address:port`. @default what the system uses */
    resolvers?: readonly string[];
    /** Domains below which any tunnel may take a name without proof. @default none */
    withoutProof?: readonly string[];
  };
  /** What tunnels may reach of each other, and outside; `false` switches it off. @default each owner's tunnels reach each other */
  mesh?: MeshOptions | false;
  /** Networks whose `X-Forwarded-For` is believed. @default none */
  trustedProxies?: readonly string[];
  /** How long running streams may go on after a stop was asked for. @default 30_000 */
  drainMs?: number;
  limits?: Partial<ServerLimits>;
  logger?: Logger;
}
