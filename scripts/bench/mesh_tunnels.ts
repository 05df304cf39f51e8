import { join } from "node:path";
import { freePort } from "../free_port.ts";
import { startLoopbackTunnel } from "../loopback_tunnel.ts";
import { type CommandLine, type Programs, runProgram, startProgram } from "../programs.ts";
import { makeInvite } from "./invite.ts";
import { OPENS_PER_SECOND } from "./systems.ts";

/** Never anybody's (RFC 5737): what is sent there came through the proxy, or nowhere. The allocated port says where it goes. */
const NOWHERE = "192.0.2.1";

/** How a program gets to the service. */
export interface MeshWay {
  readonly host: string;
  readonly port: number;
  /** What its command line begins with. */
  readonly prefix: readonly string[];
}

/** The ways to one service behind client B, all at once. */
export interface MeshWays {
  /** No tunnel. */
  readonly none: MeshWay;
  /** The public port of B's TCP rule. */
  readonly rule: MeshWay;
  /** A port map of client A. */
  readonly map: MeshWay;
  /** A SOCKS5 proxy of client A; only where programs can be sent there. */
  readonly socks?: MeshWay;
  /** Server, client B, client A. */
  readonly pids: readonly number[];
}

/** Starts a server, client B with a TCP rule for the service, and client A with a port map and a proxy. */
export async function startMeshTunnels(
  stack: AsyncDisposableStack,
  { programs, service, proxychains }: { programs: Programs; service: number; proxychains?: string | undefined },
): Promise<MeshWays> {
  const { serverConfig, tcpPorts, server, client } = stack.use(
    await startLoopbackTunnel({
      ...{ programs, http: {}, tcp: [`127.0.0.1:${service}`], limits: { opens_per_second: OPENS_PER_SECOND } },
    }),
  );
  const rulePort = tcpPorts[0]!;
  const folder = await Deno.makeTempDir({ prefix: "spokes-bench-mesh-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const config = join(folder, "pktriot.json");
  const pktriot = (...args: string[]): Promise<string> => runProgram(programs.pktriot, ["--config", config, ...args]);
  const [mapPort, socksPort] = [freePort(), freePort()];
  await pktriot("configure", await makeInvite(programs, serverConfig, 1), "--name", "bench-a");
  await pktriot("ports", "map", `${mapPort}`, "--destination", NOWHERE, "--port", `${rulePort}`);
  await pktriot("proxies", "socks", "listen", `${socksPort}`);
  const near = stack.use(startProgram(programs.pktriot, { args: ["--config", config, "start"] }));
  await near.line(/ connected tunnel=/); // Doors may open before.
  for (const port of [mapPort, socksPort]) await near.line(new RegExp(` door open .*:${port}$`));
  const local = (port: number): MeshWay => ({ host: "127.0.0.1", port, prefix: [] });
  return {
    ...{ none: local(service), rule: local(rulePort), map: local(mapPort) },
    ...(proxychains === undefined ? {} : {
      socks: { host: NOWHERE, port: rulePort, prefix: await throughSocks(folder, proxychains, socksPort) },
    }),
    pids: [server.pid, client.pid, near.pid],
  };
}

/** What a command line begins with whose connections all go through a SOCKS5 proxy. */
async function throughSocks(folder: string, proxychains: string, port: number): Promise<CommandLine> {
  const config = join(folder, "proxychains.conf");
  await Deno.writeTextFile(config, `strict_chain\n[ProxyList]\nsocks5 127.0.0.1 ${port}\n`);
  return [proxychains, "-q", "-f", config];
}
