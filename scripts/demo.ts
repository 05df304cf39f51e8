import { parseArgs } from "node:util";
import { startTcpService, startWebService } from "./demo_services.ts";
import { httpGet } from "./http_get.ts";
import { type LoopbackTunnel, startLoopbackTunnel } from "./loopback_tunnel.ts";
import { programsFromSource, programsIn } from "./programs.ts";

const USAGE = `Usage: deno task demo [--binaries FOLDER] [--check] [--quiet]

Starts a server, a client and two example services on loopback, until Ctrl-C.
  --binaries FOLDER  use the compiled programs in FOLDER
  --check            do one request through each rule, then end
  --quiet            do not show the logs of the two programs`;

/** The exchange over TCP of `--check` is done long before. */
const CHECK_TIMEOUT_MS = 10_000;
/** What browsers show in the address line; another one when it is taken. */
const HTTP_PORT = 8080;
const NPX = "npx -y deno@2.9.6 task";

async function main(args: string[]): Promise<number> {
  const { binaries, check, quiet, help } = parseArgs({
    args,
    options: {
      binaries: { type: "string" },
      check: { type: "boolean", default: false },
      quiet: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  }).values;
  if (help) {
    console.log(USAGE);
    return 0;
  }
  using stopped = stopSignal();
  await using stack = new AsyncDisposableStack();
  const web = stack.use(startWebService());
  const tcp = stack.use(startTcpService());
  console.log("Starting a server and a client...");
  const tunnel = stack.use(
    await startLoopbackTunnel({
      programs: binaries === undefined ? programsFromSource() : programsIn(binaries),
      http: { hello: `127.0.0.1:${web.port}` },
      tcp: [`127.0.0.1:${tcp.port}`],
      httpPort: HTTP_PORT,
      onLine: quiet || check ? () => {} : (program, line) => console.log(`${program.padEnd(7)} | ${line}`),
    }),
  );
  if (check) return await checkTunnel(tunnel);
  console.log(banner(tunnel, binaries));
  const ended = Promise.race([tunnel.server.ended.then(() => "server"), tunnel.client.ended.then(() => "client")]);
  const gone = await Promise.race([ended, stopped.promise]);
  if (gone !== undefined) {
    console.error(`The ${gone} has ended by itself:\n${tunnel.server.output}\n${tunnel.client.output}`);
    return 1;
  }
  console.log("\nStopping...");
  return 0;
}

/** Resolves at Ctrl-C, at a polite kill, and when the terminal is closed. */
function stopSignal(): Disposable & { promise: Promise<undefined> } {
  const names: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT", "SIGBREAK"] : ["SIGINT", "SIGTERM", "SIGHUP"];
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const onSignal = (): void => resolve(undefined);
  for (const name of names) Deno.addSignalListener(name, onSignal);
  return { promise, [Symbol.dispose]: () => names.forEach((name) => Deno.removeSignalListener(name, onSignal)) };
}

function banner(
  { httpPort, tcpPorts, clientConfig, serverConfig }: LoopbackTunnel,
  binaries: string | undefined,
): string {
  const url = `http://hello.localhost:${httpPort}/`;
  const pktriot = binaries === undefined ? `${NPX} pktriot` : `${binaries}/pktriot`;
  const spokes = binaries === undefined ? `${NPX} spokes` : `${binaries}/spokes`;
  return `
A web service and a TCP service of this machine are reachable through a spokes server.

  Web    ${url}
         $ curl ${url}
         $ curl --data "sent through the tunnel" ${url}echo

  TCP    tcp://127.0.0.1:${tcpPorts[0]}
         $ nc 127.0.0.1 ${tcpPorts[0]}

Publish something of your own, from another terminal in this folder:

         $ ${pktriot} --config ${clientConfig} http 3000
         $ ${pktriot} --config ${clientConfig} http --webroot .

Look at both sides:

         $ ${pktriot} --config ${clientConfig} info
         $ ${spokes} --config ${serverConfig} tunnel ls

Ctrl-C stops everything.
`;
}

/** One request through each rule; what came back is printed. */
async function checkTunnel({ httpPort, tcpPorts }: LoopbackTunnel): Promise<number> {
  const answer = await httpGet(httpPort, `hello.localhost:${httpPort}`);
  console.log(`HTTP: ${answer.status} ${answer.text.trim().split("\n")[0]}`);
  const shouted = await tcpShout(tcpPorts[0]!, "sent through the tunnel");
  console.log(`TCP: ${shouted}`);
  const ok = answer.status === 200 && answer.text.startsWith("Hello") && shouted === "SENT THROUGH THE TUNNEL";
  console.log(ok ? "Both services are reachable through the server" : "FAILED: this is not what the services say");
  return ok ? 0 : 1;
}

/** The answer to one line, with the end of the connection seen on both sides. */
async function tcpShout(port: number, text: string): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const timer = setTimeout(() => connection.close(), CHECK_TIMEOUT_MS);
  try {
    await connection.write(new TextEncoder().encode(`${text}\n`));
    await connection.closeWrite();
    const answer = await new Response(connection.readable).text();
    return answer.trim().split("\n").at(-1) ?? "";
  } finally {
    clearTimeout(timer);
  }
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(1);
  }
}
