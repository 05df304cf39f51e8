import type { Logger } from "../net/log.ts";
import { toCodedError } from "../protocol/errors.ts";
import { isHostName } from "../protocol/host_name.ts";
import { type Rule, ruleId } from "../protocol/rule.ts";
import { passesOn } from "./published_rule.ts";
import type { ServerState } from "./state/server_state.ts";
import type { Tunnel } from "./state/tunnels.ts";

/** Where seals are kept. */
export interface RuleSealsParts {
  readonly state: Pick<ServerState, "names" | "sealedNames">;
  readonly log: Logger;
}

/** What the rules of one session say of their names: whether the server may end TLS for them. */
export class RuleSeals {
  readonly #session: { readonly tunnel: Tunnel };
  readonly #parts: RuleSealsParts;

  constructor(session: { readonly tunnel: Tunnel }, parts: RuleSealsParts) {
    this.#session = session;
    this.#parts = parts;
  }

  /** Before a visitor can trust in it: from now on the server shows no certificate for the name, also not while nobody is here. */
  async seal(rule: Rule): Promise<void> {
    const { tunnel } = this.#session;
    const { names, sealedNames } = this.#parts.state;
    if (rule.kind !== "http" || !passesOn({ rule })) return;
    if (!isHostName(rule.domain) || !names.mayUse(tunnel, rule.domain)) return;
    await sealedNames.seal(tunnel, rule.domain, { below: rule.domain === tunnel.hostname });
  }

  /** The rule lets the server end TLS, if it does. */
  async unseal(rule: Rule): Promise<void> {
    if (rule.kind !== "http" || passesOn({ rule })) return;
    await this.#parts.state.sealedNames.unseal(this.#session.tunnel, rule.domain);
  }

  /** Rules have been taken out, perhaps while nobody was connected. Never rejects. */
  async keepOnly(wanted: ReadonlyMap<string, Rule>): Promise<void> {
    const { state, log } = this.#parts;
    const { id } = this.#session.tunnel;
    try {
      await state.sealedNames.keepOnly(id, { has: (domain) => wanted.has(ruleId({ kind: "http", domain })) });
    } catch (error) {
      // They stay sealed, which opens nothing, until the next state comes.
      log.warn("sealed names not forgotten", { tunnel: id, reason: toCodedError(error).message });
    }
  }
}
