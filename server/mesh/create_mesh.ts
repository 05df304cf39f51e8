import type { ServerOptions } from "../options.ts";
import { createLookUp } from "./look_up.ts";
import { Mesh, type MeshParts } from "./mesh.ts";
import { OwnAddresses, ownPlaces } from "./own_addresses.ts";
import type { PortRange } from "./port_range.ts";

/** What making the mesh of a server needs. */
export interface CreateMeshParts extends Omit<MeshParts, "own"> {
  /** Names of the server. */
  readonly names: readonly string[];
  /** Ports of its listeners, as far as they are open. */
  readonly ports: () => readonly (number | PortRange)[];
}

/** Makes the mesh of a server, and what tells it where the server itself is. @throws {CodedError} CONFIG_INVALID */
export function createMesh(
  { mesh, address }: ServerOptions,
  parts: CreateMeshParts,
  stack: AsyncDisposableStack,
): Mesh {
  const lookUp = parts.lookUp ?? createLookUp([]);
  const own = stack.use(
    new OwnAddresses({
      ...ownPlaces(parts.names, address),
      ports: () => parts.ports().map((port) => typeof port === "number" ? { from: port, to: port } : port),
      lookUp: (name, signal) => lookUp(name, signal).catch(() => []),
    }),
  );
  return new Mesh({ ...parts, own }, mesh ?? {});
}
