import { toCodedError } from "../../protocol/errors.ts";
import type { MeshOptions } from "../../server/mesh/access.ts";
import type { SpokesServer } from "../../server/server.ts";
import { watchConfig } from "../config_watch.ts";
import type { Log } from "../log.ts";
import { type ServerConfig, serverConfigSchema } from "./config.ts";
import type { LoadedServerConfig } from "./config_path.ts";

/** What following the configuration needs. */
export interface WatchMeshOptions {
  readonly server: Pick<SpokesServer, "updateMesh">;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly pollMs?: number;
}

/**
 * Applies edits of `mesh:` to the running server, until the signal aborts; everything else counts after a restart, which is said. A fault is
 * reported with its line, and what was last valid stays in force.
 */
export async function watchMesh(
  { path, config, stamp = "" }: LoadedServerConfig,
  { server, log, ...options }: WatchMeshOptions,
): Promise<void> {
  let applied = config;
  for await (const event of watchConfig(path, { schema: serverConfigSchema, stamp, ...options })) {
    if (event.kind === "fault") {
      log.error("configuration not applied", { code: event.error.code, reason: event.error.message });
    } else {
      apply(event.value, applied, { server, log });
      applied = event.value;
    }
  }
}

function apply(
  next: ServerConfig,
  before: ServerConfig,
  { server, log }: Pick<WatchMeshOptions, "server" | "log">,
): void {
  if (
    !isSame({ ...next, mesh: undefined }, { ...before, mesh: undefined }) || !isSame(portsOf(next), portsOf(before))
  ) {
    log.warn("the configuration was edited", {
      hint: "only mesh is live, without the ports of its proxies: restart the server for the rest",
    });
  }
  if (isSame(liveOf(next), liveOf(before))) return;
  const mesh = next.mesh ?? {};
  try {
    server.updateMesh(mesh);
    log.info("mesh updated", meshFacts(mesh));
  } catch (error) {
    const { code, message } = toCodedError(error);
    log.error("configuration not applied", { code, reason: message });
  }
}

/** What is said of a mesh in one line. */
export function meshFacts(mesh: MeshOptions | false): { mesh: "on" | "off"; allowed: number; policyLines: number } {
  if (mesh === false) return { mesh: "off", allowed: 0, policyLines: 0 };
  return { mesh: "on", allowed: mesh.allow?.length ?? 0, policyLines: mesh.policy?.length ?? 0 };
}

/** What of the mesh counts when the server starts. */
function portsOf({ mesh }: ServerConfig): unknown {
  const { socks, connectTlsListen } = mesh || {};
  return { socks, connectTlsListen };
}

/** What counts at once. */
function liveOf({ mesh }: ServerConfig): unknown {
  return mesh && { ...mesh, socks: undefined, connectTlsListen: undefined };
}

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
