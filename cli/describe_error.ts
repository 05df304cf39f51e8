import { type CodedError, ERRORS, toCodedError } from "../protocol/errors.ts";
import { CommandError } from "./command_error.ts";
import { escapeText } from "./escape_text.ts";
import { redact } from "./redact.ts";

/** How to describe an error. */
export interface DescribeErrorOptions {
  /** @default "error" */
  as?: "error" | "warning";
  /** The program that is run. */
  program?: string;
}

/** How each program comes to a configuration. */
const BEGIN: ReadonlyMap<string | undefined, string> = new Map([
  ["pktriot", "Run `pktriot configure INVITE` first, or correct --config."],
  ["spokes", "Run `spokes init --domain D` first, or correct --config."],
]);

/** One line for a person: `error E4001: what and where. What to do.` A failure that ends nothing is a `warning`. */
export function describeError(error: unknown, options: DescribeErrorOptions = {}): string {
  const coded = toCodedError(error);
  const what = redact(escapeText(coded.message.trim())).replace(/\.+$/, "");
  const fix = coded instanceof CommandError && coded.fix !== undefined ? coded.fix : adviceFor(coded, options.program);
  // A message that came over the wire may bring the advice along.
  const advice = fix === "" || what.includes(fix.replace(/\.$/, "")) ? "" : ` ${escapeText(fix)}`;
  return `${options.as ?? "error"} ${coded.code}: ${what}.${advice}`;
}

/** The registry speaks to both programs. */
function adviceFor({ kind }: CodedError, program: string | undefined): string {
  return (kind === "CONFIG_MISSING" ? BEGIN.get(program) : undefined) ?? ERRORS[kind].fix;
}
