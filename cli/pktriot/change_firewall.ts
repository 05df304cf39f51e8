import { CodedError } from "../../protocol/errors.ts";
import { canonicalNetwork, parseNetwork } from "../../net/address.ts";
import type { FirewallEntry } from "./config.ts";

/** A change of one rule's firewall: `allow` or `drop` a network, or forget what is said of it. */
export interface FirewallChange {
  action: "allow" | "drop" | "rm";
  /** Address or CIDR as typed. */
  network: string;
  /** The person knows that taking the last allow away lets everybody in. */
  open?: boolean;
}

/**
 * The firewall after a change. A network is in one list only: `allow` of a dropped one moves it.
 * @throws {CodedError} NETWORK_INVALID, RULE_UNKNOWN (rm), FIREWALL_WOULD_OPEN
 */
export function changeFirewall(firewall: FirewallEntry | undefined, change: FirewallChange): FirewallEntry {
  const before = firewall ?? { allow: [], drop: [] };
  const isTyped = change.action === "rm" && [...before.allow, ...before.drop].includes(change.network);
  // One that is none, and so keeps the rule closed, goes by the text that stands there.
  const network = isTyped && !isNetwork(change.network) ? change.network : canonicalNetwork(change.network);
  function others(list: readonly string[]): string[] {
    return list.filter((entry) => (isNetwork(entry) ? canonicalNetwork(entry) : entry) !== network);
  }
  const after = { allow: others(before.allow), drop: others(before.drop) };
  const found = after.allow.length + after.drop.length < before.allow.length + before.drop.length;
  if (change.action === "rm" && !found) {
    throw new CodedError("RULE_UNKNOWN", `The firewall says nothing about ${network}`);
  }
  if (change.action !== "rm") {
    const list = change.action;
    // Spelled as it was, and in its place, when it is there already.
    after[list] = before[list].length > after[list].length ? [...before[list]] : [...after[list], network];
  }
  if (before.allow.length > 0 && after.allow.length === 0 && change.open !== true) {
    throw new CodedError(
      "FIREWALL_WOULD_OPEN",
      `${network} is the last network that is allowed: without it everybody may come`,
    );
  }
  return after;
}

function isNetwork(text: string): boolean {
  try {
    parseNetwork(text);
    return true;
  } catch {
    return false; // The reason is told where the rule is published.
  }
}
