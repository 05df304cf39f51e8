import { serve, type ServerOptions, type SpokesServer } from "../../mod.ts";
import { CapturedLog } from "./captured_log.ts";

/** How a test's server differs from the usual one. */
export type ServerSetup = Partial<ServerOptions>;

/** A server in this process, on loopback. */
export interface TestServer extends AsyncDisposable {
  readonly server: SpokesServer;
  readonly domain: string;
  readonly httpPort: number;
  readonly tlsPort: number;
  readonly adminPort: number;
  readonly log: CapturedLog;
  /** An invite for one tunnel. */
  invite(options?: Parameters<SpokesServer["invite"]>[0]): Promise<string>;
  /** The address of a name: `http://name:port/path`. */
  url(host: string, path?: string): string;
  /** The value of a metric: `spokes_sessions`, or with its labels as `/metrics` prints it. */
  metric(name: string): Promise<number>;
}

/** Ports of one server: more than a test allocates. */
const PORTS = 40;
/** Below the ports that the kernel gives to connections, so that none of those is in the way. */
const FIRST_PORT = 10_000;
const LAST_PORT = 32_000;
let nextPort = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT - PORTS));

/** A range of its own for each server, so that tests of several processes rarely meet. */
export function portRange(): { from: number; to: number } {
  const from = nextPort;
  nextPort = from + 2 * PORTS > LAST_PORT ? FIRST_PORT : from + PORTS;
  return { from, to: from + PORTS - 1 };
}

/** Starts a server with its state in memory (`stateDir` keeps it), whose names are under `tunnels.localhost`. */
export async function startServer(options: ServerSetup = {}): Promise<TestServer> {
  const log = new CapturedLog();
  const server = await serve({
    domain: "tunnels.localhost",
    address: "127.0.0.1",
    http: { hostname: "127.0.0.1", port: 0 },
    tls: { hostname: "127.0.0.1", port: 0 },
    admin: { port: 0 },
    logger: log,
    ...options,
    tcp: { bind: "127.0.0.1", ...portRange(), ...options.tcp },
  });
  const { http, tls, admin } = server.addresses;
  const adminPort = admin?.port ?? 0;
  return {
    server,
    domain: options.domain ?? "tunnels.localhost",
    httpPort: http.port,
    tlsPort: tls.port,
    adminPort,
    log,
    invite: (wanted) => server.invite(wanted),
    url: (host, path = "/") => `http://${host}:${http.port}${path}`,
    async metric(name) {
      const response = await fetch(`http://127.0.0.1:${adminPort}/metrics`);
      const text = await response.text();
      const line = text.split("\n").find((each) => each.startsWith(`${name} `));
      if (line === undefined) throw new Error(`Cannot find the metric "${name}" in:\n${text}`);
      return Number(line.slice(name.length + 1));
    },
    [Symbol.asyncDispose]: () => server.stop({ graceMs: 0 }),
  };
}
