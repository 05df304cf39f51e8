import { CommandError } from "../command_error.ts";
import type { RuleKey } from "./edit_rules.ts";

/** The error for a rule that is not in the configuration. */
export function noSuchRule(key: RuleKey): CommandError {
  return key.kind === "http"
    ? new CommandError("RULE_UNKNOWN", `There is no HTTP rule for ${key.domain}`, {
      fix: "List the rules with `pktriot route http ls`.",
    })
    : new CommandError("RULE_UNKNOWN", `There is no TCP rule for port ${key.port}`, {
      fix: "List the rules with `pktriot route tcp ls`.",
    });
}
