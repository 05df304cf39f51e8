import { join } from "node:path";
import { parseDocument } from "yaml";
import type { ChildProcess } from "./child_process.ts";
import { freePort } from "./free_port.ts";
import { type Programs, runProgram, startProgram } from "./programs.ts";

const LOOPBACK = "127.0.0.1";
/** Browsers and curl resolve every name below it to this machine. */
const DOMAIN = "localhost";
/** From the first line of a program to its last before it works; the first run of a clone compiles and fetches. */
const READY_TIMEOUT_MS = 60_000;

/** What is to be reachable through the server. */
export interface LoopbackTunnelOptions {
  readonly programs: Programs;
  /** Web services: first label of the domain, and target. */
  readonly http: Readonly<Record<string, string>>;
  /** Further flags of `route http add`, by first label. */
  readonly httpFlags?: Readonly<Record<string, readonly string[]>>;
  /** TCP services: the targets. */
  readonly tcp: readonly string[];
  /** Taken when it is free. */
  readonly httpPort?: number;
  /** Where the client dials the server. @default "127.0.0.1" */
  readonly serverHost?: string;
  /** Limits of the server, by their keys in `spokes.yaml`. */
  readonly limits?: Readonly<Record<string, number | string>>;
  /** Folder of the server's own certificates. */
  readonly certificates?: string;
  /** What the two programs log. */
  readonly onLine?: (program: "spokes" | "pktriot", line: string) => void;
}

/** A server and a client of it on loopback, as processes of their own, in a folder that goes when they are disposed. */
export interface LoopbackTunnel extends AsyncDisposable {
  readonly server: ChildProcess;
  readonly client: ChildProcess;
  readonly httpPort: number;
  readonly adminPort: number;
  readonly tlsPort: number;
  /** The ports that lead to the TCP services, in their order. */
  readonly tcpPorts: readonly number[];
  readonly serverConfig: string;
  readonly clientConfig: string;
}

/** Sets a server and a client up with the commands a person would type, and waits until the services are reachable. */
export async function startLoopbackTunnel(options: LoopbackTunnelOptions): Promise<LoopbackTunnel> {
  await using stack = new AsyncDisposableStack();
  const { programs, onLine, serverHost = LOOPBACK } = options;
  const folder = await Deno.makeTempDir({ prefix: "spokes-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const serverConfig = join(folder, "spokes.yaml");
  const clientConfig = join(folder, "pktriot.json");
  const [httpPort, tlsPort, adminPort] = [freePort(options.httpPort), freePort(8443), freePort(9400)];

  const invite = await initServer(programs, { folder, serverHost, httpPort, tlsPort, adminPort });
  await editServerConfig(serverConfig, { ...options, httpPort, tls: `${serverHost}:${tlsPort}` });
  const server = stack.use(startProgram(programs.spokes, {
    args: ["--config", serverConfig, "start"],
    onLine: (line) => onLine?.("spokes", line),
  }));
  await server.line(/ INFO ready /, { timeoutMs: READY_TIMEOUT_MS });

  await runProgram(programs.pktriot, ["--config", clientConfig, "configure", invite, "--name", "demo"]);
  const tcpPorts = await addRules(programs, clientConfig, options);
  const client = stack.use(startProgram(programs.pktriot, {
    args: ["--config", clientConfig, "start"],
    onLine: (line) => onLine?.("pktriot", line),
  }));
  for (const label of Object.keys(options.http)) await becomesActive(client, `http/${label}.${DOMAIN}`);
  for (const port of tcpPorts) await becomesActive(client, `tcp/${port}`);
  // The last line that it prints about them: what follows is no longer of the start.
  const last = [...Object.values(options.http), ...options.tcp].at(-1) ?? "default page";
  await client.line(new RegExp(` -> ${last}$`));

  // Last in, first out: the client ends first, as it would only try to reach a server that has gone.
  const owned = stack.move();
  return {
    ...{ server, client, httpPort, adminPort, tlsPort, tcpPorts, serverConfig, clientConfig },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Writes configuration and state, and gives the invite. */
async function initServer(
  { spokes }: Programs,
  at: { folder: string; serverHost: string; httpPort: number; tlsPort: number; adminPort: number },
): Promise<string> {
  const flags = ["--domain", DOMAIN, "--dir", at.folder, "--address", `${at.serverHost}:${at.tlsPort}`, "--json"];
  const ports = ["--http-port", `${at.httpPort}`, "--tls-port", `${at.tlsPort}`, "--admin-port", `${at.adminPort}`];
  const { invite } = JSON.parse(await runProgram(spokes, ["init", ...flags, ...ports]));
  return invite;
}

/** A server is for the world; this one is not. */
async function editServerConfig(
  path: string,
  options: Pick<LoopbackTunnelOptions, "limits" | "certificates"> & { httpPort: number; tls: string },
): Promise<void> {
  const { httpPort, tls, limits = {}, certificates } = options;
  const config = parseDocument(await Deno.readTextFile(path));
  config.setIn(["http", "listen"], `${LOOPBACK}:${httpPort}`);
  config.setIn(["tls", "listen"], tls);
  config.set("tcp", { bind: LOOPBACK });
  if (Object.keys(limits).length > 0) config.set("limits", limits);
  if (certificates !== undefined) config.set("certificates", certificates);
  await Deno.writeTextFile(path, config.toString());
}

/** Adds the rules as `pktriot` commands; gives the ports that the server has given. */
async function addRules({ pktriot }: Programs, clientConfig: string, rules: LoopbackTunnelOptions): Promise<number[]> {
  for (const [label, target] of Object.entries(rules.http)) {
    const flags = ["--domain", `${label}.${DOMAIN}`, "--target", target, ...rules.httpFlags?.[label] ?? []];
    await runProgram(pktriot, ["--config", clientConfig, "route", "http", "add", ...flags]);
  }
  const ports: number[] = [];
  for (const target of rules.tcp) {
    const { port } = JSON.parse(
      await runProgram(pktriot, ["--config", clientConfig, "route", "tcp", "allocate", "--json"]),
    );
    const flags = ["--port", `${port}`, "--target", target];
    await runProgram(pktriot, ["--config", clientConfig, "route", "tcp", "forward", ...flags]);
    ports.push(port);
  }
  return ports;
}

async function becomesActive(client: ChildProcess, rule: string): Promise<void> {
  const pattern = new RegExp(` rule (active|inactive) rule=${rule.replaceAll(".", "\\.")}( .*)?$`);
  const [, state, reason = ""] = await client.line(pattern, { timeoutMs: READY_TIMEOUT_MS });
  if (state !== "active") throw new Error(`Cannot publish ${rule}:${reason}`);
}
