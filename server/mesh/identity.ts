import type { StreamOpen } from "../../protocol/stream_message.ts";
import type { Tunnel } from "../state/tunnels.ts";

/** What the mesh knows of a tunnel. A one-shot has owner and tags of the tunnel that asked for it, and so its rights. */
export type MeshTunnel = Pick<Tunnel, "id" | "name" | "hostname" | "owner" | "tags" | "parent">;

/** Who wants to go somewhere through the mesh, and from what address; somebody without credentials is `anonymous`. */
export type MeshIdentity =
  | { readonly kind: "tunnel"; readonly tunnel: MeshTunnel; readonly address: string }
  | { readonly kind: "anonymous"; readonly address: string };

/** The identity of whoever holds a tunnel's token. */
export function tunnelIdentity(tunnel: MeshTunnel, address: string): MeshIdentity {
  return { kind: "tunnel", tunnel, address };
}

/** Who comes, as clients are told; nothing for `anonymous`, who is a visitor from outside to them. */
export function sourceOf(identity: MeshIdentity): Pick<StreamOpen, "source"> {
  if (identity.kind === "anonymous") return {};
  return { source: { tunnel: identity.tunnel.id, owner: identity.tunnel.owner } };
}

/** What counts the streams of an identity: its tunnel, or without one its address. */
export function identityKey(identity: MeshIdentity): string {
  return identity.kind === "tunnel" ? identity.tunnel.id : `anonymous ${identity.address}`;
}

/** For logs. */
export function identityFacts(identity: MeshIdentity): { from: string; address: string } {
  return { from: identity.kind === "tunnel" ? identity.tunnel.id : "anonymous", address: identity.address };
}
