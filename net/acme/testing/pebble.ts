import { join } from "node:path";
import { testCertificateFor } from "../../testing/certificate.ts";
import { freePorts } from "../../testing/free_port.ts";
import { type RunningProgram, startProgram } from "./start_program.ts";

/** The programs that {@link startPebble} runs. */
export const PEBBLE_PROGRAMS: readonly string[] = ["pebble", "pebble-challtestsrv"];

export interface PebbleOptions {
  /** Where it looks for http-01 answers, at 127.0.0.1 whatever the name. */
  readonly httpPort: number;
  /** Where it looks for tls-alpn-01 answers. */
  readonly tlsPort: number;
  /** Of what it issues. @default 157_766_400, five years */
  readonly validityPeriodSeconds?: number;
  /** Names it refuses, with all below them. */
  readonly blocklist?: readonly string[];
  /** Accounts need this external account binding. */
  readonly eab?: { readonly keyId: string; readonly hmacKey: string };
  /** How many of 100 good nonces it rejects, to see whether we try again. @default 15 */
  readonly nonceReject?: number;
  /** Its own port, for one that is started again. */
  readonly port?: number;
}

/** A CA of the test, and the DNS it believes. */
export interface Pebble extends AsyncDisposable {
  /** URL of the directory. */
  readonly directory: string;
  readonly port: number;
  /** PEM of the authority of its HTTPS server: the `ca` of a client. */
  readonly ca: string;
  /** HTTP API of `pebble-challtestsrv`: `POST /set-txt {host, value}`, `/clear-txt {host}`, `/add-a {host, addresses}`. */
  readonly dnsApi: string;
  /** The DNS server of `pebble-challtestsrv`. */
  readonly dns: { readonly ipAddr: string; readonly port: number };
  /** PEM of the root that its certificates lead to: new with every start. */
  root(): Promise<string>;
  /** What both programs printed. */
  readonly output: string;
}

/** How long the programs may take to listen. */
const START_MS = 20_000;
/** Its own certificate is good for those, too, whose clock a test has put ahead. */
const OWN_DAYS = 1_000;
/** Between looks whether they do. */
const LOOK_MS = 20;

/** Somebody else may bind a port between our look and the program's own. */
const TRIES = 3;

/** A program says that its port is another's: it lives on, and will never answer. */
class PortTakenError extends Error {}

/** Starts the ACME test server in strict mode, with a DNS where every name is 127.0.0.1. */
export async function startPebble(options: PebbleOptions): Promise<Pebble> {
  for (let tries = 1;; tries++) {
    try {
      return await startOnce(options);
    } catch (error) {
      if (!(error instanceof PortTakenError) || options.port !== undefined || tries === TRIES) throw error;
    }
  }
}

async function startOnce(options: PebbleOptions): Promise<Pebble> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.adopt(await Deno.makeTempDir({ prefix: "spokes-pebble-" }), removeFolder);
  const [api = 0, management = 0, dns = 0, dnsApi = 0] = freePorts(4);
  const port = options.port ?? api;
  const own = await testCertificateFor(["localhost"], { days: OWN_DAYS });
  const config = await writeConfig(folder, own, { ...options, port, management });
  const challtestsrv = stack.use(startProgram("pebble-challtestsrv", [
    ...["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", "", "-defaultIPv4", "127.0.0.1"],
    ...["-dns01", `127.0.0.1:${dns}`, "-management", `127.0.0.1:${dnsApi}`],
  ]));
  const pebble = stack.use(startProgram("pebble", ["-config", config, "-strict", "-dnsserver", `127.0.0.1:${dns}`], {
    PEBBLE_VA_NOSLEEP: "1",
    PEBBLE_WFE_NONCEREJECT: String(options.nonceReject ?? 15),
    // Every order is validated: a test that passes by an old authorization shows nothing.
    PEBBLE_AUTHZREUSE: "0",
  }));
  const client = stack.adopt(Deno.createHttpClient({ caCerts: [own.authority] }), (opened) => opened.close());
  const directory = `https://localhost:${port}/dir`;
  await untilAnswered(() => fetch(directory, { client }), pebble);
  await untilAnswered(() => fetch(`http://127.0.0.1:${dnsApi}/`), challtestsrv);
  const running = stack.move();
  return {
    directory,
    port,
    ca: own.authority,
    dnsApi: `http://127.0.0.1:${dnsApi}`,
    dns: { ipAddr: "127.0.0.1", port: dns },
    root: async () => await (await fetch(`https://localhost:${management}/roots/0`, { client })).text(),
    get output() {
      return pebble.output + challtestsrv.output;
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

interface ConfigOptions extends PebbleOptions {
  readonly port: number;
  readonly management: number;
}

async function writeConfig(
  folder: string,
  own: { certificate: string; key: string },
  options: ConfigOptions,
): Promise<string> {
  const [certificate, privateKey, config] = ["cert.pem", "key.pem", "pebble.json"].map((name) => join(folder, name));
  await Deno.writeTextFile(certificate!, own.certificate);
  await Deno.writeTextFile(privateKey!, own.key, { mode: 0o600 });
  const pebble = {
    listenAddress: `127.0.0.1:${options.port}`,
    managementListenAddress: `127.0.0.1:${options.management}`,
    certificate,
    privateKey,
    httpPort: options.httpPort,
    tlsPort: options.tlsPort,
    ocspResponderURL: "",
    domainBlocklist: options.blocklist ?? [],
    externalAccountBindingRequired: options.eab !== undefined,
    externalAccountMACKeys: options.eab === undefined ? {} : { [options.eab.keyId]: options.eab.hmacKey },
    ...(options.validityPeriodSeconds === undefined
      ? {}
      : { certificateValidityPeriod: options.validityPeriodSeconds }),
  };
  await Deno.writeTextFile(config!, JSON.stringify({ pebble }));
  return config!;
}

async function untilAnswered(ask: () => Promise<Response>, program: RunningProgram): Promise<void> {
  const end = Date.now() + START_MS;
  while (true) {
    try {
      await (await ask()).body?.cancel();
      return;
    } catch (cause) {
      if (program.output.includes("address already in use")) throw new PortTakenError(program.output, { cause });
      if (Date.now() > end) throw new Error(`Cannot reach the program: ${program.output}`, { cause });
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }
}

function removeFolder(folder: string): Promise<void> {
  return Deno.remove(folder, { recursive: true });
}
