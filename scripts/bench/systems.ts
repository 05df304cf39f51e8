import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ChildProcess } from "../child_process.ts";
import { freePort } from "../free_port.ts";
import { type LoopbackTunnel, startLoopbackTunnel } from "../loopback_tunnel.ts";
import type { Programs } from "../programs.ts";
import type { Entrance } from "./load.ts";
import type { Targets } from "./targets.ts";
import { makeCertificates } from "./certificates.ts";
import type { Tool } from "./tools.ts";
import { whenListening } from "./when_listening.ts";

/** The services that a system makes reachable; some systems do not carry all. */
export type Service = "nginx" | "hello" | "iperf" | "echo";

/** One way from the visitor to the services: what a column of the table measures. */
export interface System {
  readonly name: string;
  /** Where visitors connect. */
  readonly entrances: Partial<Record<Service, Entrance>>;
}

/** The product is measured on more than speed. */
export interface ProductSystem extends System {
  readonly tunnel: LoopbackTunnel;
}

/** The label under `localhost` of a web service. */
const HELLO_LABEL = "hello";
const NGINX_LABEL = "nginx";
/** The default (500 a second in a session) protects a client, and is not what is measured. */
export const OPENS_PER_SECOND = 1_000_000;

/** No tunnel at all. */
export function directSystem({ nginx, hello, iperf, echo }: Targets): System {
  return {
    name: "no tunnel",
    entrances: {
      ...(nginx === undefined ? {} : { nginx: { port: nginx } }),
      ...(iperf === undefined ? {} : { iperf: { port: iperf } }),
      ...{ hello: { port: hello }, echo: { port: echo } },
    },
  };
}

/** `spokes` and `pktriot`, set up as a person would. */
export async function startProduct(
  { nginx, hello, iperf, echo }: Targets,
  options: { programs: Programs; stack: AsyncDisposableStack },
): Promise<ProductSystem> {
  const { programs, stack } = options;
  const tunnel = stack.use(
    await startLoopbackTunnel({
      programs,
      http: { [HELLO_LABEL]: local(hello), ...(nginx === undefined ? {} : { [NGINX_LABEL]: local(nginx) }) },
      tcp: [local(echo), ...(iperf === undefined ? [] : [local(iperf)])],
      limits: { opens_per_second: OPENS_PER_SECOND },
    }),
  );
  const [echoPort, iperfPort] = tunnel.tcpPorts;
  const { httpPort } = tunnel;
  return {
    name: "product",
    tunnel,
    entrances: {
      hello: { port: httpPort, host: `${HELLO_LABEL}.localhost` },
      ...(nginx === undefined ? {} : { nginx: { port: httpPort, host: `${NGINX_LABEL}.localhost` } }),
      ...(echoPort === undefined ? {} : { echo: { port: echoPort } }),
      ...(iperfPort === undefined ? {} : { iperf: { port: iperfPort } }),
    },
  };
}

/** The first sketch of this data path, when it lies beside the repository: a pair of processes for each service. */
export async function startPrototype(
  targets: Targets,
  options: { openssl: string; stack: AsyncDisposableStack },
): Promise<System | undefined> {
  const folder = fileURLToPath(new URL("../../../shared/prototype", import.meta.url));
  if (!await Deno.stat(join(folder, "proto.ts")).then(({ isFile }) => isFile, () => false)) return undefined;
  const { stack } = options;
  const certificates = await makeCertificates(stack, options.openssl);
  const entrances: Partial<Record<Service, Entrance>> = {};
  for (const [service, kind] of PROTOTYPE_SERVICES) {
    const target = targets[service];
    if (target === undefined) continue;
    const env = { CERTS: certificates, ...(kind === "tcp" ? { TCP: "1" } : {}) };
    const [visitors, tunnel] = [freePort(), freePort()];
    const server = startPair(stack, folder, env, ["server", `${visitors}`, `${tunnel}`]);
    // Only this port is tried: a visitor would be passed on to the target, and iperf3 takes one at a time.
    await whenListening(tunnel, server);
    startPair(stack, folder, env, ["client", `${tunnel}`, `${target}`]);
    entrances[service] = { port: visitors };
  }
  return { name: "prototype", entrances };
}

/** It has no clean ends of TCP streams, so that new connections cannot be counted. */
const PROTOTYPE_SERVICES = [["nginx", "http"], ["hello", "http"], ["iperf", "tcp"], ["echo", "tcp"]] as const;

function startPair(
  stack: AsyncDisposableStack,
  folder: string,
  env: Record<string, string>,
  args: readonly string[],
): ChildProcess {
  return stack.use(
    ChildProcess.start(Deno.execPath(), { args: ["run", "-A", join(folder, "proto.ts"), ...args], env }),
  );
}

function local(port: number): string {
  return `127.0.0.1:${port}`;
}

/** Which programs a full run needs. */
export const TOOLS: readonly Tool[] = [
  ...["wrk", "iperf3", "nginx", "openssl", "ip", "python3", "unshare"] as const,
  ...["redis-server", "redis-benchmark", "proxychains4"] as const,
];
