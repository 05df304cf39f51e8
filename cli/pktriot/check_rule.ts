import { CodedError } from "../../protocol/errors.ts";
import type { Welcome } from "../../protocol/message.ts";
import type { Rule } from "../../protocol/rule.ts";
import { describeError } from "../describe_error.ts";
import type { Io } from "../io.ts";
import { askServer } from "./ask_server.ts";
import type { ClientConfig } from "./config.ts";
import { privateAddress, publicHttpAddress, publicHttpsAddress, publicTcpAddress } from "./public_address.ts";

/** An edit must not hang on a server that is away: after this it is made unchecked. */
const CHECK_TIMEOUT_MS = 3_000;

/** What the server said about a rule that is about to be written. */
export type RuleVerdict = { kind: "accepted"; address: string; serving: boolean } | { kind: "unchecked" };

/**
 * Asks the server whether it would accept a rule. A server that cannot be asked is no reason against the rule: that is
 * reported, and the verdict is `unchecked`.
 * @throws {CodedError} when the server refuses the name, the port or the rule.
 */
export async function checkRule(io: Io, config: ClientConfig, rule: Rule): Promise<RuleVerdict> {
  try {
    return await askServer(config, async (tunnel): Promise<RuleVerdict> => {
      const [{ serving }] = await Promise.all([
        tunnel.request("tunnel.info", {}),
        tunnel.request("rule.check", { rule }),
        ...(rule.kind === "http" ? [tunnel.request("name.check", { domain: rule.domain })] : []),
      ]);
      const address = addressOf(rule, tunnel.server);
      return { kind: "accepted", address, serving: serving !== undefined };
    }, { timeoutMs: CHECK_TIMEOUT_MS });
  } catch (error) {
    if (isRefusal(error)) throw error;
    io.report(describeError(error, { as: "warning" }));
    io.report("The rule is written all the same; the server has not checked it.");
    return { kind: "unchecked" };
  }
}

/** Whether the server has a certificate for a rule that says nothing about TLS is seen when it is published. */
function addressOf(rule: Rule, server: Welcome["server"]): string {
  if (rule.private === true) return privateAddress(rule);
  if (rule.kind === "tcp") return publicTcpAddress(rule.port, server);
  return rule.tls === undefined ? publicHttpAddress(rule.domain, server) : publicHttpsAddress(rule.domain, server);
}

/** E4 is about names, ports and rules; nearly everything else is about reaching the server. */
function isRefusal(error: unknown): boolean {
  return error instanceof CodedError && (error.code.startsWith("E4") || error.kind === "CERTIFICATE_MISSING");
}

/** What to tell after a rule was written. */
export function describeVerdict(verdict: RuleVerdict, target: string): string[] {
  if (verdict.kind === "unchecked") return [];
  const lines = [`${verdict.address} -> ${target}`];
  if (!verdict.serving) lines.push("Publish it with `pktriot start`.");
  return lines;
}
