import assert from "node:assert/strict";
import type { Door, DoorState, PortMap, ProxyDoor } from "../../mod.ts";
import { parseDestination } from "../../mod.ts";
import type { TestServer } from "./server.ts";
import { startTunnel, type TestTunnel, type TunnelSetup } from "./tunnel.ts";

const LOOPBACK = { hostname: "127.0.0.1", port: 0 } as const;

/** A port map on any free port of loopback; of one destination a client may have only one such. */
export function portMap(destination: string): PortMap {
  return { kind: "map", listen: LOOPBACK, destination: parseDestination(destination) };
}

/** A proxy on any free port of loopback, which asks nobody who they are. */
export function proxy(kind: ProxyDoor["kind"]): ProxyDoor {
  return { kind, listen: LOOPBACK };
}

/** The port on which an open door listens. */
export function portOf(state: DoorState | undefined): number {
  assert.equal(state?.state, "open", state?.message);
  return Number(state?.address.slice(state.address.lastIndexOf(":") + 1));
}

/** Opens these doors of a client and no others; gives the port of each. @throws when one is not open */
export async function openDoors({ tunnel }: TestTunnel, ...doors: Door[]): Promise<number[]> {
  return (await tunnel.setDoors(doors)).map(portOf);
}

/** Publishes these services and no others, each through the mesh alone; gives the allocated port of each. */
export async function offer({ tunnel, publish }: TestTunnel, services: Record<string, string>): Promise<number[]> {
  const rules = await Promise.all(
    Object.entries(services).map(async ([service, target]) => {
      const { port } = await tunnel.request("port.allocate", {});
      return { kind: "tcp", port, target, service, private: true } as const;
    }),
  );
  await publish(rules);
  return rules.map(({ port }) => port);
}

/** A tunnel that belongs to somebody. */
export async function tunnelOf(
  server: Pick<TestServer, "invite">,
  { owner, tags = [], ...setup }: { owner: string; tags?: string[] } & TunnelSetup,
): Promise<TestTunnel> {
  return await startTunnel(server, [], { invite: await server.invite({ owner, tags }), ...setup });
}
