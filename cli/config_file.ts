import type { z } from "zod";
import { CodedError } from "../protocol/errors.ts";
import { CommandError } from "./command_error.ts";
import type { ConfigText } from "./config_text.ts";
import { formatJson } from "./format_json.ts";
import { isJsonPath } from "./is_json_path.ts";

/** Larger than any real configuration (1,000 rules with their firewalls), small enough to read at once. */
const MAX_CONFIG_BYTES = 16 * 1024 * 1024;

/** A file as it was read, with what tells whether it has changed since. */
export interface ConfigSnapshot extends ConfigText {
  /** Changes with every edit, by whatever program. */
  stamp: string;
  mode: number | null;
  uid: number | null;
  gid: number | null;
}

/**
 * Reads and validates a configuration file.
 * @throws {CodedError} CONFIG_MISSING, CONFIG_UNSAFE or CONFIG_INVALID (with file, line and column).
 */
export async function loadConfig<T>(path: string, schema: z.ZodType<T>): Promise<{ value: T; stamp: string }> {
  const snapshot = await readConfigFile(path);
  const quick = schema.safeParse(readOwnJson(snapshot));
  if (quick.success) return { value: quick.data, stamp: snapshot.stamp };
  const { parseConfig } = await import("./config_text.ts");
  return { value: parseConfig(snapshot, schema).value, stamp: snapshot.stamp };
}

/**
 * The value of a JSON file that is exactly as our commands write it, so that it has no repeated key and nothing else that
 * only the YAML parser would find. It saves loading that parser, a quarter of the time of `pktriot route http ls`.
 */
function readOwnJson({ path, text }: ConfigText): unknown {
  if (!isJsonPath(path)) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return formatJson(value) === text ? value : undefined;
  } catch {
    // The YAML parser says where.
    return undefined;
  }
}

/** Reads a configuration file after checking, on the open file, that nobody else can have written or read it. */
export async function readConfigFile(path: string): Promise<ConfigSnapshot> {
  using file = await openConfig(path);
  const info = await file.stat();
  if (!info.isFile) throw new CodedError("CONFIG_INVALID", `Cannot read ${path}: it is not a file`);
  requireProtected(path, info);
  if (info.size > MAX_CONFIG_BYTES) {
    throw new CodedError("CONFIG_INVALID", `Cannot read ${path}: it is larger than ${MAX_CONFIG_BYTES} bytes`);
  }
  const text = await readAll(file);
  return { path, text, stamp: stampOf(info), mode: info.mode, uid: info.uid, gid: info.gid };
}

/** The bytes of an open file as text. (Through its stream it would be a millisecond slower.) */
async function readAll(file: Deno.FsFile): Promise<string> {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(64 * 1024);
  let text = "";
  for (let length = await file.read(buffer); length !== null; length = await file.read(buffer)) {
    text += decoder.decode(buffer.subarray(0, length), { stream: true });
  }
  return text + decoder.decode();
}

/** What changes with every edit of a file. */
export function stampOf(info: Deno.FileInfo): string {
  return [info.dev, info.ino, info.size, info.mtime?.getTime(), info.ctime?.getTime(), info.mode].join(":");
}

async function openConfig(path: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path, { read: true });
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound || cause instanceof Deno.errors.NotADirectory) {
      throw new CodedError("CONFIG_MISSING", `There is no configuration file at ${path}`, { cause });
    }
    const reason = cause instanceof Error ? cause.message.replace(/: open '.*'$/, "") : String(cause);
    throw new CommandError("CONFIG_UNSAFE", `Cannot read ${path}: ${reason}`, {
      cause,
      fix: "Run the command as the user who owns the file.",
    });
  }
}

const WRITABLE_BY_OTHERS = 0o022;
const READABLE_BY_WORLD = 0o004;

/** The file holds a credential and decides what is published: only root and its reader may have a say (0640 root:pktriot is right). */
function requireProtected(path: string, { mode, uid }: Deno.FileInfo): void {
  // Windows has no such bits; its folders of a user are private.
  if (mode === null || Deno.build.os === "windows") return;
  const own = Deno.uid();
  const fault = uid !== null && uid !== 0 && uid !== own
    ? `it belongs to user ${uid}, not to root or to you`
    : (mode & WRITABLE_BY_OTHERS) !== 0
    ? "others may write it"
    : (mode & READABLE_BY_WORLD) !== 0
    ? "everybody may read it"
    : undefined;
  if (fault === undefined) return;
  const octal = (mode & 0o777).toString(8).padStart(4, "0");
  throw new CommandError("CONFIG_UNSAFE", `Cannot trust ${path} (mode ${octal}): ${fault}`, {
    fix: `Run \`chmod 600 ${path}\`, and chown it to yourself if it is not yours.`,
  });
}
