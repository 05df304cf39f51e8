import { resolve } from "node:path";
import { parseTarget } from "../../client/target.ts";
import { CodedError } from "../../protocol/errors.ts";
import { CommandError, usageError } from "../command_error.ts";

const LOOPBACK = "127.0.0.1";

/** The ways to say what a rule leads to. */
export interface TargetOptions {
  /** Host, or host:port. */
  destination?: string;
  /** Port of an HTTP destination. */
  http?: number;
  /** Port of a TCP destination. */
  dstport?: number;
  webroot?: string;
  /** The whole grammar. */
  target?: string;
}

/**
 * The target that the flags describe, ready for the configuration: folders are absolute, as `start` may run elsewhere.
 * @throws {CodedError} USAGE, TARGET_INVALID, WEBROOT_UNREADABLE
 */
export async function targetFromOptions(options: TargetOptions): Promise<string> {
  const { destination, target, webroot } = options;
  const port = options.http ?? options.dstport;
  const ways = [target, webroot, destination ?? port].filter((way) => way !== undefined);
  if (ways.length === 0) {
    throw usageError("The rule leads nowhere", { fix: "Say where with --target, --destination or --webroot." });
  }
  if (ways.length > 1) {
    throw usageError("The rule leads to several places", { fix: "Give one of --target, --destination and --webroot." });
  }
  if (webroot !== undefined) return await readableFolder(webroot);
  return await settle(target === undefined ? joinDestination(destination ?? LOOPBACK, port) : withHost(target));
}

/** A port alone is one of this machine. */
function withHost(target: string): string {
  return /^[0-9]+$/.test(target) ? `${LOOPBACK}:${target}` : target;
}

function joinDestination(destination: string, port: number | undefined): string {
  if (port === undefined) return destination;
  const host = destination.includes(":") && !destination.startsWith("[") ? `[${destination}]` : destination;
  return `${host}:${port}`;
}

/** Validates a target; a folder in it becomes absolute. */
async function settle(text: string): Promise<string> {
  const parsed = parseTarget(text);
  return parsed.kind === "folder" ? await readableFolder(parsed.path) : text;
}

async function readableFolder(path: string): Promise<string> {
  const absolute = resolve(path);
  try {
    for await (const _entry of Deno.readDir(absolute)) break;
  } catch (cause) {
    const reason = cause instanceof Deno.errors.NotFound
      ? "it does not exist"
      : cause instanceof Deno.errors.NotADirectory
      ? "it is not a folder"
      : "you may not read it";
    throw new CodedError("WEBROOT_UNREADABLE", `Cannot serve ${absolute}: ${reason}`, { cause });
  }
  return absolute;
}

/**
 * A target for a TCP rule: plain `host:port` or a unix socket.
 * @throws {CodedError} TARGET_INVALID
 */
export function requireTcpTarget(text: string): string {
  const parsed = parseTarget(text);
  if (parsed.kind === "tcp" || parsed.kind === "unix") return text;
  throw new CommandError("TARGET_INVALID", `"${text}" cannot be the target of a TCP rule`, {
    fix: "Write host:port or unix:/path.",
  });
}
