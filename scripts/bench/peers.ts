import { join } from "node:path";
import { ChildProcess } from "../child_process.ts";
import { freePort } from "../free_port.ts";
import { makeCertificates, PFX_PASSWORD } from "./certificates.ts";
import type { Entrance } from "./load.ts";
import type { Service, System } from "./systems.ts";
import type { Targets } from "./targets.ts";
import { whenListening } from "./when_listening.ts";

/** What starting a peer needs. */
interface PeerOptions {
  /** Folder of its programs. */
  readonly folder: string;
  /** Folder of certificates and configurations. */
  readonly work: string;
  readonly targets: Readonly<Partial<Record<Service, number>>>;
  readonly stack: AsyncDisposableStack;
}

const SERVICES = ["nginx", "hello", "iperf", "echo"] as const;

/** Other tunnels whose programs are in a folder, each with TLS between its two processes; those that are not there are left out. */
export async function startPeers(
  targets: Targets,
  options: { folder: string; openssl: string; stack: AsyncDisposableStack },
): Promise<System[]> {
  const { folder, openssl, stack } = options;
  const work = await makeCertificates(stack, openssl);
  const { nginx, hello, iperf, echo } = targets;
  const ports = { hello, echo, ...(nginx === undefined ? {} : { nginx }), ...(iperf === undefined ? {} : { iperf }) };
  const systems: System[] = [];
  for (const [name, programs, start] of PEERS) {
    const found = await Promise.all(programs.map((program) => exists(join(folder, program))));
    if (!found.every(Boolean)) continue;
    systems.push({ name, entrances: await start({ folder, work, targets: ports, stack }) });
  }
  return systems;
}

type Start = (options: PeerOptions) => Promise<Partial<Record<Service, Entrance>>>;

const PEERS: readonly (readonly [name: string, programs: readonly string[], start: Start])[] = [
  ["rathole", ["rathole"], startRathole],
  ["frp", ["frps", "frpc"], startFrp],
  ["chisel", ["chisel"], startChisel],
];

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(({ isFile }) => isFile, () => false);
}

/** A TCP port for each service. */
function portsFor(targets: PeerOptions["targets"]): [service: Service, visitors: number, target: number][] {
  return SERVICES.flatMap((service) => {
    const target = targets[service];
    return target === undefined ? [] : [[service, freePort(), target]];
  });
}

function entrancesOf(ports: ReturnType<typeof portsFor>): Partial<Record<Service, Entrance>> {
  return Object.fromEntries(ports.map(([service, port]) => [service, { port }]));
}

/** Starts a program and waits until it listens on the port. */
async function startListening(stack: AsyncDisposableStack, program: string, args: string[], port: number) {
  await whenListening(port, stack.use(ChildProcess.start(program, { args })));
}

async function startRathole({ folder, work, targets, stack }: PeerOptions) {
  const ports = portsFor(targets);
  const control = freePort();
  const server = ports.map(([name, visitors]) =>
    `[server.services.${name}]\ntoken = "bench"\nbind_addr = "127.0.0.1:${visitors}"\n`
  );
  const client = ports.map(([name, , target]) =>
    `[client.services.${name}]\ntoken = "bench"\nlocal_addr = "127.0.0.1:${target}"\n`
  );
  await Deno.writeTextFile(
    join(work, "server.toml"),
    `[server]\nbind_addr = "127.0.0.1:${control}"\n[server.transport]\ntype = "tls"\n[server.transport.tls]\n` +
      `pkcs12 = "${work}/identity.pfx"\npkcs12_password = "${PFX_PASSWORD}"\n${server.join("")}`,
  );
  await Deno.writeTextFile(
    join(work, "client.toml"),
    `[client]\nremote_addr = "127.0.0.1:${control}"\n[client.transport]\ntype = "tls"\n[client.transport.tls]\n` +
      `trusted_root = "${work}/ca.pem"\nhostname = "localhost"\n${client.join("")}`,
  );
  const program = join(folder, "rathole");
  await startListening(stack, program, ["--server", join(work, "server.toml")], control);
  const tunnel = stack.use(ChildProcess.start(program, { args: ["--client", join(work, "client.toml")] }));
  for (let count = 0; count < ports.length; count++) await tunnel.line(/Control channel established/);
  return entrancesOf(ports);
}

async function startFrp({ folder, work, targets, stack }: PeerOptions) {
  const [control, web] = [freePort(), freePort()];
  const isWeb = (service: Service): boolean => service === "nginx" || service === "hello";
  const ports = portsFor(targets);
  const proxies = ports.map(([name, visitors, target]) =>
    `[[proxies]]\nname = "${name}"\nlocalIP = "127.0.0.1"\nlocalPort = ${target}\n` +
    (isWeb(name)
      ? `type = "http"\ncustomDomains = ["${name}.localhost"]\n`
      : `type = "tcp"\nremotePort = ${visitors}\n`)
  );
  await Deno.writeTextFile(
    join(work, "frps.toml"),
    `bindAddr = "127.0.0.1"\nproxyBindAddr = "127.0.0.1"\nbindPort = ${control}\nvhostHTTPPort = ${web}\n`,
  );
  await Deno.writeTextFile(
    join(work, "frpc.toml"),
    `serverAddr = "127.0.0.1"\nserverPort = ${control}\n${proxies.join("")}`,
  );
  await startListening(stack, join(folder, "frps"), ["-c", join(work, "frps.toml")], control);
  const tunnel = stack.use(ChildProcess.start(join(folder, "frpc"), { args: ["-c", join(work, "frpc.toml")] }));
  for (const [name] of ports) await tunnel.line(new RegExp(`\\[${name}\\] start proxy success`));
  const webEntrances = ports.filter(([name]) => isWeb(name))
    .map(([name]) => [name, { port: web, host: `${name}.localhost` }]);
  return { ...entrancesOf(ports), ...Object.fromEntries(webEntrances) };
}

async function startChisel({ folder, work, targets, stack }: PeerOptions) {
  const ports = portsFor(targets);
  const control = freePort();
  const program = join(folder, "chisel");
  const tls = ["--tls-key", join(work, "key.pem"), "--tls-cert", join(work, "cert.pem")];
  await startListening(
    stack,
    program,
    ["server", "--host", "127.0.0.1", "--port", `${control}`, "--reverse", ...tls],
    control,
  );
  const remotes = ports.map(([, visitors, target]) => `R:127.0.0.1:${visitors}:127.0.0.1:${target}`);
  const args = ["client", "--tls-ca", join(work, "ca.pem"), `https://localhost:${control}`, ...remotes];
  await stack.use(ChildProcess.start(program, { args })).line(/Connected/);
  return entrancesOf(ports);
}
