import { type Network, parseAddress, parseNetwork, widthOf } from "../net/address.ts";
import { CodedError } from "../protocol/errors.ts";

/** One line of a rule's visitor firewall: `network` is an address or CIDR. */
export interface FirewallRule {
  readonly action: "allow" | "drop";
  readonly network: string;
}

/** The networks of one length: an address belongs to at most one of them. */
interface Level {
  readonly prefix: number;
  readonly shift: bigint;
  /** Whether to let in, by the leading bits. */
  readonly verdicts: Map<bigint, boolean>;
}

/**
 * Makes the function that says whether a visitor's address may come in. The most specific matching network decides, and drop
 * wins on equal ones. What matches nothing is dropped as soon as there is an allow. No rules let everybody in; with rules, an
 * address that cannot be read is dropped.
 * @throws {CodedError} NETWORK_INVALID, RULE_INVALID: there is then no function that could let somebody in
 */
export function compileFirewall(rules: readonly FirewallRule[]): (address: string) => boolean {
  if (rules.length === 0) return allowAll;
  const levels: Record<4 | 6, Level[]> = { 4: [], 6: [] };
  for (const { action, network } of rules) {
    if (action !== "allow" && action !== "drop") {
      throw new CodedError("RULE_INVALID", `"${String(action)}" is not an action`);
    }
    addNetwork(levels, parseNetwork(network), action === "allow");
  }
  for (const each of Object.values(levels)) each.sort((a, b) => b.prefix - a.prefix);
  const otherwise = rules.every((rule) => rule.action === "drop");
  return (text) => {
    const address = parseAddress(text);
    if (address === null) return false;
    for (const { shift, verdicts } of levels[address.family]) {
      const verdict = verdicts.get(address.value >> shift);
      if (verdict !== undefined) return verdict;
    }
    return otherwise;
  };
}

function allowAll(): boolean {
  return true;
}

function addNetwork(levels: Record<4 | 6, Level[]>, network: Network, allow: boolean): void {
  const { family, prefix, value } = network;
  let level = levels[family].find((each) => each.prefix === prefix);
  if (level === undefined) {
    level = { prefix, shift: BigInt(widthOf(family) - prefix), verdicts: new Map() };
    levels[family].push(level);
  }
  const key = value >> level.shift;
  level.verdicts.set(key, allow && level.verdicts.get(key) !== false);
}
