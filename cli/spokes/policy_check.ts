import { parseAddress } from "../../net/address.ts";
import type { Destination } from "../../protocol/destination.ts";
import { CodedError, toCodedError } from "../../protocol/errors.ts";
import type { MeshOptions } from "../../server/mesh/access.ts";
import { AllowList } from "../../server/mesh/allow_list.ts";
import { forbiddenReason } from "../../server/mesh/forbidden.ts";
import type { MeshIdentity } from "../../server/mesh/identity.ts";
import { createLookUp } from "../../server/mesh/look_up.ts";
import { type Decision, Policy } from "../../server/mesh/policy.ts";
import { externalTarget } from "../../server/mesh/policy_target.ts";
import type { CommandContext } from "../command_context.ts";
import { escapeText } from "../escape_text.ts";
import { Answered, EXIT } from "../exit_code.ts";
import { type LoadedServerConfig, loadServerConfig } from "./config_path.ts";
import { openState } from "./open_state.ts";
import { ownAddressesOf } from "./own_addresses_of.ts";
import { findIdentity, findNamedTunnel, findSubject } from "./policy_subjects.ts";

/** Flags of `policy check`. */
export interface PolicyCheckOptions {
  from: string;
  to: string;
  by?: string;
  json?: boolean;
}

/** What is decided; when that depends on what only the running server knows, the reason says on what. */
type Verdict = Decision | {
  readonly action: "depends";
  readonly reason: string;
  /** One decision of each kind. */
  readonly possible: readonly Decision[];
};

/** The answer; `--json` prints it as it is. */
type PolicyAnswer = Verdict & { readonly from: string; readonly to: string };

const EXIT_CODES = { allow: EXIT.ok, deny: EXIT.failure, depends: EXIT.unsure } as const;

/** `spokes policy check`: what the configuration as it is now would decide, and why. @throws {Answered} unless it allows */
export async function policyCheck(context: CommandContext, options: PolicyCheckOptions): Promise<void> {
  const loaded = await loadServerConfig(context);
  const { mesh = {} } = loaded.config;
  if (mesh === false) throw new CodedError("MESH_DISABLED");
  await using opened = await openState(loaded);
  const tunnels = opened.state.tunnels.list();
  const by = options.by === undefined ? undefined : findNamedTunnel(options.by, tunnels);
  const allow = new AllowList(mesh.allow ?? []);
  const policy = new Policy(mesh.policy ?? []);
  const { identity, who } = findIdentity(options.from, tunnels);
  const services = servicesOf(mesh);
  const { outside, targets, on, what } = findSubject(options.to, { state: opened.state, allow, by, services });
  const verdict = outside === undefined
    ? verdictOf(targets.map((target) => policy.decide(identity, target)), on)
    : await decideOutside(outside, { identity, policy, allow, mesh, loaded });
  const answer: PolicyAnswer = { from: who, to: `${options.to}, ${what}`, ...verdict };
  context.io.print(options.json === true ? JSON.stringify(answer, null, 2) : render(answer));
  if (answer.action !== "allow") throw new Answered(EXIT_CODES[answer.action]);
}

/** One decision, unless it is allowed in one case and denied in another. */
function verdictOf(decisions: readonly Decision[], on: string): Verdict {
  const possible = (["allow", "deny"] as const).flatMap((action) =>
    decisions.filter((decision) => decision.action === action).slice(0, 1)
  );
  const [only, ...others] = possible;
  if (only !== undefined && others.length === 0) return only;
  return { action: "depends", reason: on, possible };
}

/** The services that lines of the policy are about. */
function servicesOf({ policy = [] }: MeshOptions): string[] {
  return policy.flatMap(({ to }) => to).filter((what) => what.startsWith("service:")).map((what) => what.slice(8));
}

interface OutsideParts {
  identity: MeshIdentity;
  policy: Policy;
  allow: AllowList;
  mesh: MeshOptions;
  loaded: LoadedServerConfig;
}

/** The name is looked up as the server would, since every one of its addresses counts. */
async function decideOutside(
  destination: Destination,
  { identity, policy, allow, mesh, loaded }: OutsideParts,
): Promise<Decision> {
  const first = policy.decide(identity, externalTarget(destination));
  if (first.action === "deny") return first;
  const { host, port } = destination;
  const literal = parseAddress(host);
  const found = literal === null ? await addressesOf(host, mesh) : [literal.text];
  if ("action" in found) return found;
  await using own = ownAddressesOf(loaded.config);
  await own.refresh();
  let last = first;
  for (const text of found) {
    last = policy.decide(identity, externalTarget(destination, text));
    if (last.action === "deny") return last;
    const address = parseAddress(text);
    const reason = address === null
      ? `${text} is no address`
      : forbiddenReason(address, port, { allow, own, byName: literal === null });
    if (reason !== undefined) {
      return { action: "deny", reason };
    }
  }
  return last;
}

async function addressesOf(host: string, mesh: MeshOptions): Promise<readonly string[] | Decision> {
  try {
    const found = await createLookUp(mesh.resolvers ?? [])(host, new AbortController().signal);
    return found.length > 0 ? found : { action: "deny", reason: `${host} has no address` };
  } catch (error) {
    return { action: "deny", reason: `${host} cannot be resolved: ${toCodedError(error).message}` };
  }
}

function render(answer: PolicyAnswer): string[] {
  const { action, from, to, reason } = answer;
  const lines = answer.action !== "depends" ? [`  because ${reason}`] : [
    `  on what the running server alone knows: ${reason}`,
    ...answer.possible.map((decision) => `  ${decision.action} is possible because ${decision.reason}`),
  ];
  return [`${action}: ${from} -> ${to}`, ...lines].map(escapeText);
}
