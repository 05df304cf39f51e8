import { join, resolve } from "node:path";
import { domainToASCII } from "node:url";
import { isHostName } from "../../protocol/host_name.ts";
import { CommandError, usageError } from "../command_error.ts";
import type { CommandContext } from "../command_context.ts";
import { createConfig } from "../config_create.ts";
import { parseConfig } from "../config_text.ts";
import { isJsonPath } from "../is_json_path.ts";
import { formatHostPort, parseHostPort } from "../parse_listen.ts";
import { parsePortRange } from "../parse_port_range.ts";
import { serverConfigSchema } from "./config.ts";
import type { LoadedServerConfig } from "./config_path.ts";
import { inviteFor } from "./invite_for.ts";
import { openState } from "./open_state.ts";
import { renderServerConfig, type ServerConfigValues } from "./render_config.ts";
import { DEFAULT_CERTIFICATES, stateFolderOf } from "./server_options.ts";

const DEFAULT_TLS_PORT = 443;

/** Flags of `init`. */
export interface InitOptions {
  domain: string;
  dir: string;
  address?: string;
  hostname?: string;
  httpPort?: number;
  tlsPort?: number;
  ports?: string;
  adminPort?: number;
  json?: boolean;
}

/** `spokes init`: everything is checked before anything is written, and nothing that exists is overwritten. */
export async function init(context: CommandContext, options: InitOptions): Promise<void> {
  const values = parseOptions(options);
  const path = resolve(context.global.config || join(options.dir, "spokes.yaml"));
  if (isJsonPath(path)) throw usageError(`${path} would have no comments`, { fix: "Name it spokes.yaml." });
  const text = renderServerConfig(values);
  const { value: config } = parseConfig({ path, text }, serverConfigSchema);
  const loaded: LoadedServerConfig = { path, folder: resolve(path, ".."), config };
  await using draft = await createConfig(path);
  const invite = await makeInvite(loaded);
  await draft.commit(text);
  await makeCertificatesFolder(loaded.folder);
  const state = stateFolderOf(loaded);
  if (options.json === true) return context.io.print(JSON.stringify({ config: path, state, invite }, null, 2));
  context.io.print([
    `Configuration: ${path}`,
    `State: ${state}`,
    "",
    ...dnsAdvice(config.domain),
    `Start: ${startCommand(path)}`,
    "Invite, for one client within 24 hours:",
    "",
    `pktriot configure ${invite}`,
  ]);
}

/** The server watches the folder from its start on, if it is there: who puts a certificate into it later is to be seen. */
async function makeCertificatesFolder(folder: string): Promise<void> {
  try {
    // Keys in it are protected by themselves; the server's user must be able to look.
    await Deno.mkdir(join(folder, DEFAULT_CERTIFICATES), { mode: 0o755 });
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
}

/** Browsers and curl resolve localhost and everything below it by themselves. */
function dnsAdvice(domain: string): string[] {
  const isLocal = domain === "localhost" || domain.endsWith(".localhost");
  return isLocal ? [] : [`DNS: point ${domain} and *.${domain} at this machine`];
}

/** `start` looks into the folder it runs in. */
function startCommand(path: string): string {
  return path === resolve("spokes.yaml") ? "spokes start" : `spokes --config ${path} start`;
}

async function makeInvite(loaded: LoadedServerConfig): Promise<string> {
  await using opened = await openState(loaded);
  const { token } = await opened.state.enrolmentTokens.create();
  return await inviteFor(loaded, token);
}

function parseOptions(options: InitOptions): ServerConfigValues {
  const domain = parseHostName(options.domain, "--domain");
  return {
    domain,
    ...(options.hostname === undefined ? {} : { hostname: parseHostName(options.hostname, "--hostname") }),
    ...(options.address === undefined ? {} : { address: parseAddress(options.address, options.tlsPort) }),
    ...(options.httpPort === undefined ? {} : { httpListen: `:${options.httpPort}` }),
    ...(options.tlsPort === undefined ? {} : { tlsListen: `:${options.tlsPort}` }),
    ...(options.ports === undefined ? {} : { tcpPorts: parseRange(options.ports) }),
    ...(options.adminPort === undefined ? {} : { adminListen: `127.0.0.1:${options.adminPort}` }),
  };
}

/** One label is enough here: `localhost` is a fine domain to try things with. */
function parseHostName(text: string, flag: string): string {
  const name = domainToASCII(text.trim().replace(/\.$/, ""));
  if (isHostName(name)) return name;
  throw new CommandError("NAME_INVALID", `"${text}" of ${flag} is not a host name`, {
    fix: "Write for example example.com, without http:// and without a port.",
  });
}

function parseAddress(text: string, tlsPort = DEFAULT_TLS_PORT): string {
  const place = parseHostPort(text) ?? parseHostPort(`${text}:${tlsPort}`) ?? parseHostPort(`[${text}]:${tlsPort}`);
  if (place !== undefined && place.hostname !== "" && place.port !== 0) return formatHostPort(place);
  throw usageError(`"${text}" of --address is not an address`, { fix: "Write host or host:port." });
}

function parseRange(text: string): string {
  if (parsePortRange(text) !== undefined) return text;
  throw usageError(`"${text}" of --ports is not a range of ports`, { fix: "Write for example 22000-22999." });
}
