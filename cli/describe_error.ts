import { ERRORS, toCodedError } from "../protocol/errors.ts";
import { CommandError } from "./command_error.ts";
import { escapeText } from "./escape_text.ts";
import { redact } from "./redact.ts";

/** One line for a person: `error E4001: what and where. What to do.` A failure that ends nothing is a `warning`. */
export function describeError(error: unknown, options: { as?: "error" | "warning" } = {}): string {
  const coded = toCodedError(error);
  const what = redact(escapeText(coded.message.trim())).replace(/\.+$/, "");
  const fix = coded instanceof CommandError && coded.fix !== undefined ? coded.fix : ERRORS[coded.kind].fix;
  // A message that came over the wire may bring the advice along.
  const advice = fix === "" || what.includes(fix.replace(/\.$/, "")) ? "" : ` ${escapeText(fix)}`;
  return `${options.as ?? "error"} ${coded.code}: ${what}.${advice}`;
}
