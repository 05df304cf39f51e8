import { type Document, isMap, isScalar, LineCounter, type Node, parseDocument } from "yaml";
import type { z } from "zod";
import { CodedError } from "../protocol/errors.ts";
import { isJsonPath } from "./is_json_path.ts";

/** A configuration file as it was read: its text, and where it is in messages. */
export interface ConfigText {
  path: string;
  text: string;
}

/** A configuration that parsed and fits its schema. */
export interface ParsedConfig<T> {
  value: T;
  /** The tree with its comments, for edits. */
  document: Document.Parsed;
}

/**
 * Reads JSON and YAML with the YAML parser, so that every complaint has a line and a column.
 * @throws {CodedError} CONFIG_INVALID, `FILE:LINE:COLUMN: reason`.
 */
export function parseConfig<T>({ path, text }: ConfigText, schema: z.ZodType<T>): ParsedConfig<T> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const [fault] = document.errors;
  if (fault !== undefined) throw invalid(path, lines, fault.pos[0], fault.message);
  if (isJsonPath(path)) requireJson(path, text);
  const parsed = schema.safeParse(toPlain(document, path));
  if (parsed.success) return { value: parsed.data, document };
  const [issue] = parsed.error.issues;
  if (issue === undefined) throw new CodedError("CONFIG_INVALID", `${path}: it does not fit its schema`);
  const place = placeOf(document, issue);
  throw invalid(path, lines, place.offset, `${place.name}${describe(issue)}`);
}

function toPlain(document: Document.Parsed, path: string): unknown {
  try {
    return document.toJS();
  } catch (cause) {
    // Unresolved or exploding aliases are found here only.
    throw new CodedError("CONFIG_INVALID", `${path}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

/** What YAML accepts and JSON does not (comments, bare words) would be lost by the next edit, so it is refused at once. */
function requireJson(path: string, text: string): void {
  try {
    JSON.parse(text);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    const at = message.match(/ \(line (\d+) column (\d+)\)/);
    const where = at === null ? path : `${path}:${at[1]}:${at[2]}`;
    const reason = message.replace(/ in JSON at position.*$/s, "").replace(/, (?:\.\.\.)?".*$/s, "");
    throw new CodedError("CONFIG_INVALID", `${where}: it is not JSON: ${reason}`, { cause });
  }
}

function invalid(path: string, lines: LineCounter, offset: number, reason: string): CodedError {
  const { line, col } = lines.linePos(offset);
  return new CodedError("CONFIG_INVALID", `${path}:${Math.max(line, 1)}:${Math.max(col, 1)}: ${reason}`);
}

interface Place {
  offset: number;
  /** `http.0.target: `, or empty at the root. */
  name: string;
}

/** Where in the text the complaint belongs: the value, the unknown key itself, or the nearest parent of what is missing. */
function placeOf(document: Document.Parsed, issue: z.core.$ZodIssue): Place {
  const path = issue.path.filter((part) => typeof part !== "symbol");
  const unknownKey = issue.code === "unrecognized_keys" ? issue.keys[0] : undefined;
  const name = unknownKey === undefined ? path : [...path, unknownKey];
  return {
    offset: offsetOf(document, path, unknownKey),
    name: name.length === 0 ? "" : `${name.join(".")}: `,
  };
}

function offsetOf(document: Document.Parsed, path: readonly (string | number)[], key: string | undefined): number {
  for (let depth = path.length; depth >= 0; depth--) {
    const node: unknown = depth === 0 ? document.contents : document.getIn(path.slice(0, depth), true);
    const start = key !== undefined && depth === path.length ? keyOffset(node, key) ?? startOf(node) : startOf(node);
    if (start !== undefined) return start;
  }
  return 0;
}

function startOf(node: unknown): number | undefined {
  return (node as Partial<Node> | undefined | null)?.range?.[0];
}

function keyOffset(node: unknown, key: string): number | undefined {
  if (!isMap(node)) return undefined;
  const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === key);
  return startOf(pair?.key);
}

function describe(issue: z.core.$ZodIssue): string {
  if (issue.code === "unrecognized_keys") return "there is no such key";
  return issue.message.replace(/^Invalid input: /, "").replace("received undefined", "it is missing");
}
