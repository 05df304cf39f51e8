import { type CompiledLine, compileLine, type PolicyLine, type PolicyTarget } from "./policy_line.ts";
import type { MeshIdentity } from "./identity.ts";

/** What the policy says, and which of its lines says so. */
export interface Decision {
  readonly action: "allow" | "deny";
  /** Number (from 1) and text of the line that decides; without one no line matches. */
  readonly line?: { readonly number: number; readonly text: string };
  /** For people. */
  readonly reason: string;
}

/** Who may reach what: the first line that matches decides, or else the default. */
export class Policy {
  /** Whether there is anything that somebody without credentials could be granted: a line that allows names `anonymous`. */
  readonly admitsAnonymous: boolean;
  readonly #lines: readonly CompiledLine[];

  /** @throws {CodedError} CONFIG_INVALID */
  constructor(lines: readonly PolicyLine[]) {
    this.#lines = lines.map((line, index) => compileLine(line, index + 1));
    this.admitsAnonymous = lines.some(({ from, action }) => action === "allow" && from.includes("anonymous"));
  }

  /**
   * Decides. A line that could only be judged with the address of an external host counts as a match as long as that is not known and
   * it allows: the same is asked again when the name is resolved.
   */
  decide(identity: MeshIdentity, target: PolicyTarget): Decision {
    for (const { action, number, text, from, to } of this.#lines) {
      if (!from(identity)) continue;
      const match = to(target);
      if (match === false || (match === "unknown" && action === "deny")) continue;
      return { action, line: { number, text }, reason: `line ${number} of the policy: ${text}` };
    }
    return byDefault(identity, target);
  }
}

/** WARNING: what nobody wrote a line for. Between owners, and for those without credentials, that is no. */
function byDefault(identity: MeshIdentity, { kind, owner }: PolicyTarget): Decision {
  if (identity.kind === "anonymous") {
    return { action: "deny", reason: "those without credentials reach only what a line grants them by name" };
  }
  if (kind === "external") {
    return { action: "allow", reason: "every tunnel may reach what the allow-list has, unless a line denies it" };
  }
  return owner !== undefined && owner === identity.tunnel.owner
    ? { action: "allow", reason: `tunnels of one owner (${owner}) reach each other` }
    : { action: "deny", reason: "tunnels of different owners do not reach each other, unless a line allows it" };
}
