import { type Document, stringify } from "yaml";
import type { z } from "zod";
import { CodedError } from "../protocol/errors.ts";
import { readConfigFile } from "./config_file.ts";
import { parseConfig } from "./config_text.ts";
import { formatJson } from "./format_json.ts";
import { isJsonPath } from "./is_json_path.ts";
import { lockFile } from "./file_lock.ts";
import { replaceFile } from "./replace_file.ts";

/** Tries when a person's editor saves the file between our reading and our writing. */
const MAX_TRIES = 3;

/** How an edit is made. */
export interface EditConfigOptions {
  /** Writes also what stays as it is: who follows the file takes it as said again. @default false */
  readonly again?: boolean;
}

/** Changes the tree of a configuration; `value` is what it says now. Throwing leaves the file as it is. */
export type ConfigChange<T> = (document: Document.Parsed, value: T) => void;

/**
 * Edits a configuration file: comments stay, the result is valid, owner and mode are kept; or nothing is written.
 * @returns the new value.
 * @throws {CodedError} of reading, CONFIG_LOCKED, CONFIG_UNWRITABLE, or whatever `change` throws.
 */
export async function editConfig<T>(
  path: string,
  schema: z.ZodType<T>,
  change: ConfigChange<T>,
  { again = false }: EditConfigOptions = {},
): Promise<T> {
  // A link stays a link; what it names is replaced.
  const real = await realPathOf(path);
  await using _lock = await lockFile(`${real}.lock`);
  for (let attempt = 1; attempt <= MAX_TRIES; attempt++) {
    const snapshot = await readConfigFile(real);
    const parsed = parseConfig(snapshot, schema);
    change(parsed.document, parsed.value);
    const text = formatDocument(real, parsed.document);
    const { value } = parseConfig({ path, text }, schema);
    if (text === snapshot.text && !again) return value;
    await using replacement = await replaceFile(real, snapshot);
    await replacement.write(text);
    if ((await readConfigFile(real)).stamp !== snapshot.stamp) continue;
    await replacement.commit();
    return value;
  }
  throw new CodedError("CONFIG_LOCKED", `Cannot edit ${path}: something else keeps changing it`);
}

/** Text of a tree in the format of its file. */
export function formatDocument(path: string, document: Document.Parsed): string {
  if (isJsonPath(path)) return formatConfig(path, document.toJS());
  return document.toString({ lineWidth: 0 });
}

/** Text of a new configuration in the format of its file. */
export function formatConfig(path: string, value: unknown): string {
  return isJsonPath(path) ? formatJson(value) : stringify(value, { lineWidth: 0 });
}

async function realPathOf(path: string): Promise<string> {
  try {
    return await Deno.realPath(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new CodedError("CONFIG_MISSING", `There is no configuration file at ${path}`, { cause: error });
    }
    throw new CodedError("CONFIG_UNWRITABLE", `Cannot follow ${path}`, { cause: error });
  }
}
