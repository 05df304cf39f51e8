import { EVERY_ADDRESS } from "../../net/listen.ts";
import type { MeshOptions } from "../../server/mesh/access.ts";
import { Policy } from "../../server/mesh/policy.ts";
import type { ProxyAddress } from "../../server/mesh/proxies/proxy_options.ts";
import { formatHostPort } from "../parse_listen.ts";

/** The server's own doors into the mesh; `--json` prints them as they are. */
export interface ProxyFacts {
  socks: string | "off";
  socksTls: string | "off";
  /** On the public HTTP port. */
  connect: "on" | "off";
  connectTls: string | "off";
  /** Whether the policy grants anything to those who do not say who they are. */
  anonymous: boolean;
}

/** What the proxies of a mesh are. */
export function proxyFacts({ socks, connect, connectTlsListen, policy = [] }: MeshOptions): ProxyFacts {
  return {
    socks: placeOf(socks?.listen),
    socksTls: placeOf(socks?.tlsListen),
    connect: connect === true ? "on" : "off",
    connectTls: placeOf(connectTlsListen),
    anonymous: new Policy(policy).admitsAnonymous,
  };
}

/** The lines of `check` about them. */
export function renderProxies({ socks, socksTls, connect, connectTls, anonymous }: ProxyFacts): string[] {
  const who = anonymous ? "with or without a tunnel's token" : "with a tunnel's token";
  return [
    ...socks === "off" ? [] : [`  listen on ${socks} for SOCKS5 into the mesh ${who}, in clear`],
    ...socksTls === "off" ? [] : [`  listen on ${socksTls} for SOCKS5 into the mesh ${who}, inside TLS`],
    ...connect === "off" ? [] : [`  take CONNECT on the HTTP port into the mesh ${who}, in clear`],
    ...connectTls === "off" ? [] : [`  listen on ${connectTls} for CONNECT into the mesh ${who}, inside TLS`],
  ];
}

function placeOf(address: ProxyAddress | undefined): string {
  return address === undefined ? "off" : formatHostPort({ hostname: EVERY_ADDRESS, ...address });
}
