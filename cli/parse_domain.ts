import { domainToASCII } from "node:url";
import { isHostName } from "../protocol/host_name.ts";
import { CommandError } from "./command_error.ts";

/**
 * A domain as typed: `Blog.Example.com.` and `bücher.example.com` become what the server compares.
 * @throws {CommandError} NAME_INVALID
 */
export function parseDomain(text: string): string {
  const trimmed = text.trim().replace(/\.$/, "");
  const name = /^[^\s:/?#@[\]%\\]+$/.test(trimmed) ? domainToASCII(trimmed) : "";
  if (isHostName(name) && name.includes(".")) return name;
  const fix = /[:/]/.test(trimmed)
    ? "Write the name alone, without http:// and without a port."
    : trimmed.startsWith("*")
    ? "Write one name; a rule is for one name."
    : "Write the whole name, such as blog.example.com.";
  throw new CommandError("NAME_INVALID", `"${text}" is not a domain name`, { fix });
}
