import type { HttpRule, Rule, TcpRule } from "../../../protocol/rule.ts";
import { PublishedRule, type StreamOpener } from "../../published_rule.ts";
import type { MeshIdentity, MeshTunnel } from "../identity.ts";

/** A tunnel; its id, name and hostname are made of one word. */
export function fakeTunnel(
  name: string,
  { owner = "alice", tags = [] }: { owner?: string; tags?: string[] } = {},
): MeshTunnel {
  return { id: `id-${name}`, name, hostname: `${name}.example.test`, owner, tags };
}

/** Somebody with that tunnel's token. */
export function fakeIdentity(tunnel: MeshTunnel): MeshIdentity {
  return { kind: "tunnel", tunnel, address: "192.0.2.1" };
}

export const ANONYMOUS: MeshIdentity = { kind: "anonymous", address: "192.0.2.9" };

/** A TCP rule, online behind the tunnel; its streams cannot be opened unless `open` is given. */
export function tcpRule(
  tunnel: MeshTunnel,
  port: number,
  rule: Partial<TcpRule> = {},
  opener: Partial<StreamOpener> = {},
): PublishedRule {
  return published(
    tunnel,
    { kind: "tcp", transport: "tcp", port, target: "127.0.0.1:1", firewall: [], ...rule },
    opener,
  );
}

/** An HTTP rule, in the same way. */
export function httpRule(
  tunnel: MeshTunnel,
  domain: string,
  rule: Partial<HttpRule> = {},
  opener: Partial<StreamOpener> = {},
): PublishedRule {
  return published(tunnel, { kind: "http", domain, target: "127.0.0.1:1", firewall: [], ...rule }, opener);
}

function published(tunnel: MeshTunnel, rule: Rule, opener: Partial<StreamOpener>): PublishedRule {
  const session = {
    tunnel,
    draining: false,
    doubtful: false,
    open: () => Promise.reject(new Error("nobody is there")),
    ...opener,
  };
  return new PublishedRule(session as StreamOpener, rule);
}
