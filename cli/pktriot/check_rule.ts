import { CodedError } from "../../protocol/errors.ts";
import type { Rule } from "../../protocol/rule.ts";
import { CommandError } from "../command_error.ts";
import { describeError } from "../describe_error.ts";
import type { Io } from "../io.ts";
import { askServer } from "./ask_server.ts";
import type { ClientConfig } from "./config.ts";
import { privateAddress } from "./public_address.ts";

/** An edit must not hang on a server that is away: after this it is made unchecked. */
const CHECK_TIMEOUT_MS = 3_000;

/** What the server said about a rule that is about to be written. */
export type RuleVerdict = { kind: "accepted"; address: string | undefined; serving: boolean } | { kind: "unchecked" };

/**
 * Asks the server whether it would accept a rule. A server that cannot be asked is no reason against the rule: that is
 * reported, and the verdict is `unchecked`.
 * @throws {CodedError} when the server refuses the name, the port or the rule.
 */
export async function checkRule(io: Io, config: ClientConfig, rule: Rule): Promise<RuleVerdict> {
  try {
    return await askServer(config, async (tunnel): Promise<RuleVerdict> => {
      const [{ serving }, { address }] = await Promise.all([
        tunnel.request("tunnel.info", {}),
        tunnel.request("rule.check", { rule }),
        ...(rule.kind === "http" ? [tunnel.request("name.check", { domain: rule.domain })] : []),
      ]);
      const reached = rule.private === true ? privateAddress(rule) : address;
      return { kind: "accepted", address: reached, serving: serving !== undefined };
    }, { timeoutMs: CHECK_TIMEOUT_MS });
  } catch (error) {
    if (isRefusal(error)) throw await withAwaitedProof(error, config, rule);
    io.report(describeError(error, { as: "warning" }));
    io.report("The rule is written all the same; the server has not checked it.");
    return { kind: "unchecked" };
  }
}

/** Who has asked for the domain already is told which record is still awaited, not to ask again. */
async function withAwaitedProof(error: CodedError, config: ClientConfig, rule: Rule): Promise<CodedError> {
  if (error.kind !== "DOMAIN_NOT_VERIFIED" || rule.kind !== "http") return error;
  const { domains } = await askServer(config, (tunnel) => tunnel.request("domain.list", {}), {
    timeoutMs: CHECK_TIMEOUT_MS,
  }).catch(() => ({ domains: [] })); // What was refused is said all the same.
  const awaited = domains.find(({ domain, status, txt }) =>
    status === "pending" && txt !== undefined && (domain === rule.domain || rule.domain.endsWith(`.${domain}`))
  );
  if (awaited?.txt === undefined) return error;
  const { domain, txt, reason } = awaited;
  return new CommandError(error.kind, `"${rule.domain}" is not verified yet: the proof of ${domain} is awaited`, {
    cause: error,
    fix: `Set TXT ${txt.name} to ${txt.value}; \`pktriot domain verify ${domain} --wait\` waits for it.` +
      (reason === undefined ? "" : ` The server saw: ${reason}.`),
  });
}

/** E4 is about names, ports and rules; nearly everything else is about reaching the server. */
function isRefusal(error: unknown): error is CodedError {
  return error instanceof CodedError && (error.code.startsWith("E4") || error.kind === "CERTIFICATE_MISSING");
}

/** What to tell after a rule was written. */
export function describeVerdict(verdict: RuleVerdict, target: string): string[] {
  if (verdict.kind === "unchecked") return [];
  const lines = verdict.address === undefined ? [] : [`${verdict.address} -> ${target}`];
  if (!verdict.serving) lines.push("Publish it with `pktriot start`.");
  return lines;
}
