import type { ProxyOptions } from "../../../net/proxy_request.ts";
import { CodedError } from "../../../protocol/errors.ts";
import type { Authenticator } from "../../authenticator.ts";
import type { Tunnels } from "../../state/tunnels.ts";
import { type MeshIdentity, tunnelIdentity } from "../identity.ts";

/** What telling who comes to a proxy needs. */
export interface ProxyIdentityParts {
  readonly authenticator: Pick<Authenticator, "tunnel">;
  readonly tunnels: Pick<Tunnels, "exists" | "get">;
  readonly mesh: { readonly admitsAnonymous: boolean };
}

/** A tunnel's id, as it is shown and as it stands in the token. */
const TUNNEL_ID = /^[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}$/;
const WHOLE_TOKEN = "spk_tunnel_";

/**
 * The tunnel token that user and password stand for: the tunnel's id, with or without hyphens, and the token or only its last part. Whatever
 * is none of these is a text that is no token, and is checked like a wrong one (security R47).
 */
export function tokenOf(user: string, password: string): string {
  const id = user.toLowerCase();
  if (!TUNNEL_ID.test(id)) return "";
  const start = `${WHOLE_TOKEN}${id.replaceAll("-", "")}_`;
  if (password.startsWith(WHOLE_TOKEN)) return password.startsWith(start) ? password : "";
  return start + password;
}

/** How a proxy learns who is at an address: as the tunnel endpoint does, with the same price for wrong credentials. */
export function proxyIdentity(
  { authenticator, mesh }: ProxyIdentityParts,
  address: string,
): Required<Pick<ProxyOptions<MeshIdentity>, "authenticate" | "anonymous">> {
  return {
    authenticate: async (user, password) => {
      try {
        return tunnelIdentity(await authenticator.tunnel(tokenOf(user, password), address), address);
      } catch (error) {
        if (error instanceof CodedError && error.kind === "TOKEN_INVALID") return null;
        throw error;
      }
    },
    anonymous: () => mesh.admitsAnonymous ? { kind: "anonymous", address } : null,
  };
}

/**
 * The identity as it is now: since somebody said who it is, its tunnel may have been changed or removed.
 * @throws {CodedError} PROXY_UNAUTHORIZED
 */
export async function currentIdentity(identity: MeshIdentity, { tunnels }: ProxyIdentityParts): Promise<MeshIdentity> {
  if (identity.kind === "anonymous") return identity;
  const { tunnel, address } = identity;
  if (!await tunnels.exists(tunnel.id)) throw new CodedError("PROXY_UNAUTHORIZED", "The tunnel was removed");
  return tunnelIdentity(tunnels.get(tunnel.id) ?? tunnel, address);
}
