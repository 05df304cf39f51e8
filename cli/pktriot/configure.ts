import { Buffer } from "node:buffer";
import { enrol, type Enrolment } from "../../client/enrol.ts";
import { type Invite, parseInvite } from "../../protocol/invite.ts";
import { CodedError } from "../../protocol/errors.ts";
import { askSecret } from "../ask_secret.ts";
import { CommandError, usageError } from "../command_error.ts";
import type { CommandContext } from "../command_context.ts";
import { formatConfig, formatDocument } from "../config_edit.ts";
import { createConfig } from "../config_create.ts";
import { readConfigFile } from "../config_file.ts";
import { parseConfig, type ParsedConfig } from "../config_text.ts";
import { escapeText } from "../escape_text.ts";
import { formatHostPort, parseHostPort } from "../parse_listen.ts";
import { type ClientConfig, clientConfigSchema } from "./config.ts";
import { givenConfigPath, homeConfigPath, SYSTEM_CONFIG_PATH } from "./config_path.ts";

/** An invite is a line; what is longer is something else. */
const MAX_INPUT_BYTES = 16 * 1024;
/** The whole exchange: dial, TLS, one request. */
const ENROL_TIMEOUT_MS = 30_000;
const DEFAULT_SERVER_PORT = 443;

type Identity = Pick<ClientConfig, "server" | "tunnel">;

/** Flags of `configure`. */
export interface ConfigureOptions {
  server?: string;
  token?: string;
  pin?: string;
  name?: string;
  replace?: boolean;
  system?: boolean;
}

/** `pktriot configure`: spends an invite and writes the configuration; whatever can fail before that is found out before. */
export async function configure(
  context: CommandContext,
  invite: string | undefined,
  options: ConfigureOptions,
): Promise<void> {
  const { io } = context;
  const { token, ...server } = await readInvite(context, invite, options);
  const path = await choosePlace(context, options);
  await using draft = await createConfig(path, {
    replace: options.replace === true,
    fix: "Use --replace to give it a new tunnel and keep its rules, or --config for another file.",
  });
  const before = options.replace === true ? await existing(path) : undefined;
  const enrolled = await spend(server, token, options.name ?? Deno.hostname());
  const identity: Identity = {
    server: {
      address: server.server,
      ...(server.sni === undefined ? {} : { sni: server.sni }),
      ...(enrolled.ca === undefined ? {} : { ca: enrolled.ca }),
    },
    tunnel: { id: enrolled.tunnel, token: enrolled.token, hostname: enrolled.hostname, name: enrolled.name },
  };
  await draft.commit(
    before === undefined ? formatConfig(path, { version: 1, ...identity }) : withIdentity(path, before, identity),
  );
  io.print([
    "Identified and authenticated!",
    `Hostname: ${escapeText(enrolled.hostname)}`,
    `Configuration: ${path}`,
    "",
    "Next: `pktriot http 8080` publishes a local service at once; `pktriot route http add` and `pktriot start` keep it.",
  ]);
}

async function readInvite(
  { io }: CommandContext,
  argument: string | undefined,
  options: ConfigureOptions,
): Promise<Invite> {
  if (options.server !== undefined) {
    if (argument !== undefined) {
      throw usageError("Both an invite and --server were given", { fix: "Give one of them." });
    }
    return await inviteFromFlags(io, options.server, options);
  }
  if (options.token !== undefined || options.pin !== undefined) {
    throw usageError("--token and --pin need --server", { fix: "Add --server HOST, or give an invite." });
  }
  const text = argument === "-" ? await io.readInput(MAX_INPUT_BYTES) : argument ?? io.env("PKTRIOT_INVITE");
  if (text !== undefined && text !== "") return parseInvite(text.trim());
  if (io.interactive) return parseInvite(await askSecret("Invite"));
  throw usageError("There is no invite", { fix: "Copy the line that `spokes init` or `spokes token create` printed." });
}

async function inviteFromFlags(
  io: CommandContext["io"],
  serverText: string,
  options: ConfigureOptions,
): Promise<Invite> {
  const place = parseHostPort(serverText) ?? parseHostPort(`${serverText}:${DEFAULT_SERVER_PORT}`);
  if (place === undefined || place.hostname === "" || place.port === 0) {
    throw usageError(`"${serverText}" is not a server`, { fix: "Write host or host:port." });
  }
  const given = options.token === "-" ? await io.readInput(MAX_INPUT_BYTES) : options.token ?? io.env("PKTRIOT_TOKEN");
  const token = given !== undefined && given !== "" ? given : io.interactive ? await askSecret("Token") : undefined;
  if (token === undefined) {
    throw usageError("There is no token", {
      fix: "Set PKTRIOT_TOKEN, or give --token - and the token on standard input.",
    });
  }
  return {
    server: formatHostPort(place),
    token: token.trim(),
    ...(options.pin === undefined ? {} : { pin: parsePin(options.pin) }),
  };
}

/** A pin as the invite has it (base64url), or as other programs print fingerprints (hexadecimal, with or without colons). */
function parsePin(text: string): string {
  const hex = text.replaceAll(":", "").replace(/^sha-?256[/ ]?/i, "");
  if (/^[0-9a-fA-F]{64}$/.test(hex)) return Buffer.from(hex, "hex").toString("base64url");
  if (/^[A-Za-z0-9_-]{43}$/.test(text)) return text;
  throw usageError("The pin is not a SHA-256 fingerprint", { fix: "Copy it from `spokes check`." });
}

async function choosePlace(context: CommandContext, options: ConfigureOptions): Promise<string> {
  const given = givenConfigPath(context);
  if (given !== undefined) return given;
  const home = homeConfigPath(context);
  if (options.system === true || home === undefined) return SYSTEM_CONFIG_PATH;
  if (!context.io.interactive) return home;
  const { isCancel, select } = await import("@clack/prompts");
  const place = await select({
    message: "Where shall the configuration be kept?",
    options: [
      { value: home, label: home, hint: "for you" },
      { value: SYSTEM_CONFIG_PATH, label: SYSTEM_CONFIG_PATH, hint: "for a service of this machine" },
    ],
  });
  if (isCancel(place)) throw usageError("No place was chosen", { fix: "Run the command again." });
  return place;
}

async function spend(server: Omit<Invite, "token">, token: string, name: string): Promise<Enrolment> {
  try {
    return await enrol(server, token, { name, signal: AbortSignal.timeout(ENROL_TIMEOUT_MS) });
  } catch (error) {
    if (!(error instanceof CodedError) || error.kind !== "SERVER_TLS" || server.pin !== undefined) throw error;
    throw new CommandError("SERVER_TLS", error.message, {
      cause: error,
      fix: "Use an invite, or --pin, if the server has a certificate authority of its own.",
    });
  }
}

/** The configuration that is about to get a new tunnel, if there is one. */
async function existing(path: string): Promise<ParsedConfig<ClientConfig> | undefined> {
  try {
    return parseConfig(await readConfigFile(path), clientConfigSchema);
  } catch (error) {
    if (error instanceof CodedError && error.kind === "CONFIG_MISSING") return undefined;
    throw error;
  }
}

/** The text with a new server and tunnel; rules stay, and those of the former hostname follow to the new one. */
function withIdentity(path: string, { document, value }: ParsedConfig<ClientConfig>, identity: Identity): string {
  document.set("server", document.createNode(identity.server));
  document.set("tunnel", document.createNode(identity.tunnel));
  const former = value.tunnel.hostname;
  value.http.forEach(({ domain }, index) => {
    if (domain !== former && !domain.endsWith(`.${former}`)) return;
    document.setIn(["http", index, "domain"], domain.slice(0, -former.length) + identity.tunnel.hostname);
  });
  return formatDocument(path, document);
}
