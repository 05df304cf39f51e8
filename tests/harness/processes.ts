import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type ClientRule, enrol, type Enrolment, parseInvite } from "../../mod.ts";
import { CapturedLog } from "./captured_log.ts";
import { tempDir } from "./machine.ts";
import { run, spawn, type Spawned } from "./programs.ts";
import { portRange } from "./server.ts";
import { freePort } from "./tcp_target.ts";
import { within } from "./wait.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** One of our programs in a process of its own, with its log (JSON lines) read as it comes. */
export interface ProgramProcess extends AsyncDisposable {
  readonly pid: number;
  readonly log: CapturedLog;
  readonly program: Spawned;
  /** Settles with its exit code. */
  readonly ended: Promise<number>;
  /** Kills it; resolves when it is gone. */
  kill(signal?: Deno.Signal): Promise<number>;
}

/** The arguments of `deno` that run one of our programs. */
export function commandOf(name: "spokes" | "pktriot", args: readonly string[]): string[] {
  return ["run", "-A", "--no-check", "--config", join(ROOT, "deno.json"), join(ROOT, "cli", `${name}.ts`), ...args];
}

/** Runs a command of ours to its end. */
export function runProgram(
  name: "spokes" | "pktriot",
  args: readonly string[],
  options: Parameters<typeof run>[2] = {},
): ReturnType<typeof run> {
  return run(Deno.execPath(), commandOf(name, args), options);
}

/** The environment of a program whose clock is ahead. */
export async function clockAhead(days: number): Promise<Record<string, string>> {
  // Not by the program itself: it stays in front of what it starts, which then outlives it.
  const { stdout } = await run("faketime", ["-f", "+0d", "printenv", "LD_PRELOAD"]);
  return { LD_PRELOAD: stdout.trim(), FAKETIME: `+${days}d` };
}

/** Starts one of our programs. */
export function spawnProgram(
  name: "spokes" | "pktriot",
  args: readonly string[],
  { env = {} }: { env?: Record<string, string> } = {},
): ProgramProcess {
  const log = new CapturedLog();
  const program = spawn(Deno.execPath(), commandOf(name, ["--log-format", "json", ...args]), {
    env,
    onErrorLine: (line) => addLine(log, line),
    endSignal: "SIGKILL",
  });
  const ended = program.finished.then(({ code }) => code);
  return {
    ...{ pid: program.pid, log, program, ended },
    async kill(signal = "SIGKILL") {
      program.kill(signal);
      return await within(ended, `${name} to end after ${signal}`, 45_000);
    },
    async [Symbol.asyncDispose]() {
      await program[Symbol.asyncDispose]();
      await ended;
    },
  };
}

function addLine(log: CapturedLog, line: string): void {
  if (!line.startsWith("{")) return log.add({ level: "error", event: line, fields: {} });
  const { level, event, ...fields } = JSON.parse(line);
  log.add({ level, event, fields });
}

/** A server in a process of its own. */
export interface SpokesProcess extends ProgramProcess {
  readonly httpPort: number;
  readonly tlsPort: number;
  readonly adminPort: number;
  /** Its configuration file; the state is beside it. */
  readonly config: string;
  /** A new invite, made by the command of another process. */
  invite(): Promise<string>;
  /** Starts it again after its end, with the same state and ports; this handle is the new process then. */
  again(): Promise<void>;
}

/** How a server of another process differs from the usual one. */
export interface SpokesSetup {
  /** Added to its configuration. */
  yaml?: string;
  /** Added to its `tls`. */
  tls?: string;
  /** Where it listens, for those who must know before. */
  httpPort?: number;
  tlsPort?: number;
}

/** Starts `spokes` on loopback in a folder of its own, and waits until it says that it is ready. */
export async function spawnSpokes({ yaml = "", tls = "", ...ports }: SpokesSetup = {}): Promise<SpokesProcess> {
  const folder = await tempDir();
  const { httpPort = await freePort(), tlsPort = await freePort() } = ports;
  const adminPort = await freePort();
  const { from, to } = portRange();
  const config = await folder.write(
    "spokes.yaml",
    `domain: tunnels.localhost\naddress: 127.0.0.1:${tlsPort}\nstate: state\n` +
      `http: { listen: "127.0.0.1:${httpPort}" }\ntls: { listen: "127.0.0.1:${tlsPort}", ${tls} }\n` +
      `tcp: { bind: 127.0.0.1, ports: ${from}-${to} }\nadmin: { listen: "127.0.0.1:${adminPort}" }\n${yaml}`,
  );
  async function start(): Promise<ProgramProcess> {
    const started = spawnProgram("spokes", ["--config", config, "start"]);
    await readyOf(started, "ready");
    return started;
  }
  return Object.assign(await Restartable.start(start, folder), {
    ...{ httpPort, tlsPort, adminPort, config },
    async invite() {
      const { code, stdout, stderr } = await runProgram("spokes", ["--config", config, "token", "create", "--json"]);
      if (code !== 0) throw new Error(`Cannot create a token: ${stderr}`);
      return JSON.parse(stdout).invite;
    },
  });
}

/** A program of ours that can be started again on the same configuration, in a folder that goes with it. */
class Restartable implements ProgramProcess {
  readonly #start: () => Promise<ProgramProcess>;
  readonly #folder: AsyncDisposable;
  #current: ProgramProcess;

  constructor(start: () => Promise<ProgramProcess>, folder: AsyncDisposable, current: ProgramProcess) {
    this.#start = start;
    this.#folder = folder;
    this.#current = current;
  }

  static async start(start: () => Promise<ProgramProcess>, folder: AsyncDisposable): Promise<Restartable> {
    return new Restartable(start, folder, await start());
  }

  get pid(): number {
    return this.#current.pid;
  }

  get log(): CapturedLog {
    return this.#current.log;
  }

  get program(): Spawned {
    return this.#current.program;
  }

  get ended(): Promise<number> {
    return this.#current.ended;
  }

  kill(signal?: Deno.Signal): Promise<number> {
    return this.#current.kill(signal);
  }

  async again(): Promise<void> {
    await this.#current[Symbol.asyncDispose]();
    this.#current = await this.#start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#current[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
  }
}

async function readyOf(started: ProgramProcess, event: string): Promise<void> {
  const failed = started.ended.then((code) => {
    throw new Error(`Cannot use it as it ended with ${code}: ${started.program.stderr}`);
  });
  await Promise.race([started.log.waitFor(event), failed]);
}

/** What a client of another process publishes. */
export interface PktriotSetup {
  rules?: readonly Extract<ClientRule, { target: unknown }>[];
  identity?: Enrolment;
  /** Added to its environment. */
  env?: Record<string, string>;
}

/** A client in a process of its own. */
export interface PktriotProcess extends ProgramProcess {
  readonly hostname: string;
  readonly identity: Enrolment;
  /** Its configuration file. */
  readonly config: string;
  again(): Promise<void>;
}

/** Enrols, writes a configuration with these rules, starts `pktriot`, and waits until it is connected and its rules are known. */
export async function spawnPktriot(
  server: { invite(): Promise<string> },
  { rules = [], identity, env = {} }: PktriotSetup = {},
): Promise<PktriotProcess> {
  const folder = await tempDir();
  const invite = parseInvite(await server.invite());
  const enrolment = identity ?? await enrol(invite, invite.token);
  const config = await folder.write("config.json", JSON.stringify(configOf(invite.server, enrolment, rules)));
  async function start(): Promise<ProgramProcess> {
    const started = spawnProgram("pktriot", ["--config", config, "start"], { env });
    await readyOf(started, "connected");
    // The table of the rules is printed when the server has said what became of each.
    await started.program.printed(/Running|→|->/);
    return started;
  }
  return Object.assign(await Restartable.start(start, folder), {
    ...{ hostname: enrolment.hostname, identity: enrolment, config },
  });
}

function configOf(server: string, { ca, tunnel, token, hostname, name }: Enrolment, rules: readonly ClientRule[]) {
  return {
    version: 1,
    server: { address: server, ...(ca === undefined ? {} : { ca }) },
    tunnel: { id: tunnel, token, hostname, name },
    http: rules.filter((rule) => rule.kind === "http").map(({ kind: _, domain = hostname, firewall, ...rule }) => ({
      ...{ domain, ...rule },
      ...firewallOf(firewall),
    })),
    tcp: rules.filter((rule) => rule.kind === "tcp").map(({ kind: _, firewall, ...rule }) => ({
      ...rule,
      ...firewallOf(firewall),
    })),
  };
}

function firewallOf(lines: ClientRule["firewall"] = []): Record<string, unknown> {
  if (lines.length === 0) return {};
  const of = (action: string) => lines.filter((line) => line.action === action).map(({ network }) => network);
  return { firewall: { allow: of("allow"), drop: of("drop") } };
}
