import { parseAddress } from "../../net/address.ts";
import type { Destination } from "../../protocol/destination.ts";
import { CodedError, toCodedError } from "../../protocol/errors.ts";
import { DEFAULT_LISTENERS } from "../../server/default_listeners.ts";
import type { MeshOptions } from "../../server/mesh/access.ts";
import { AllowList } from "../../server/mesh/allow_list.ts";
import { forbiddenReason } from "../../server/mesh/forbidden.ts";
import type { MeshIdentity } from "../../server/mesh/identity.ts";
import { createLookUp } from "../../server/mesh/look_up.ts";
import { OwnAddresses, ownPlaces } from "../../server/mesh/own_addresses.ts";
import { type Decision, Policy } from "../../server/mesh/policy.ts";
import { externalTarget } from "../../server/mesh/policy_target.ts";
import type { CommandContext } from "../command_context.ts";
import { escapeText } from "../escape_text.ts";
import { type LoadedServerConfig, loadServerConfig } from "./config_path.ts";
import { openState } from "./open_state.ts";
import { findIdentity, findNamedTunnel, findSubject } from "./policy_subjects.ts";

/** Flags of `policy check`. */
export interface PolicyCheckOptions {
  from: string;
  to: string;
  by?: string;
  json?: boolean;
}

/** The answer; `--json` prints it as it is. */
interface PolicyAnswer extends Decision {
  from: string;
  to: string;
  /** What only the running server knows. */
  unknown?: string;
}

const UNSURE =
  "service name and port of its rule are known to the running server alone, and a line about them may decide";

/** `spokes policy check`: what the configuration as it is now would decide, and why. */
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
  const subject = findSubject(options.to, { state: opened.state, allow, by, services });
  const { target, what, outside, others = [] } = subject;
  const decision = outside === undefined
    ? policy.decide(identity, target)
    : await decideOutside(outside, { identity, policy, allow, mesh, loaded });
  const isSure = others.every((other) => policy.decide(identity, other).action === decision.action);
  const unknown = subject.unknown ?? (isSure ? undefined : UNSURE);
  const answer: PolicyAnswer = {
    ...{ from: who, to: `${options.to}, ${what}`, ...decision },
    ...(unknown === undefined ? {} : { unknown }),
  };
  context.io.print(options.json === true ? JSON.stringify(answer, null, 2) : render(answer));
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
  await using own = ownAddresses(loaded);
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
      return { action: "deny", reason: `${reason}, which is never reached unless an entry names it` };
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

/** Where the server would listen. */
function ownAddresses({ config }: LoadedServerConfig): OwnAddresses {
  const { domain, hostname = domain, address, http, tls, admin, tcp, mesh } = config;
  const defaults = DEFAULT_LISTENERS;
  const httpPorts = [http?.listen?.port ?? defaults.http.port, http?.public_port];
  const tlsPorts = [tls?.listen?.port ?? defaults.tls.port, tls?.public_port];
  const adminPort = typeof admin === "object" ? admin.listen.port : defaults.admin.port;
  const { socks, connectTlsListen } = mesh || {};
  const proxies = [socks?.listen?.port, socks?.tlsListen?.port, connectTlsListen?.port];
  const ports = [...httpPorts, ...tlsPorts, ...proxies, adminPort].filter((port) => port !== undefined);
  const lookUp = createLookUp([]);
  return new OwnAddresses({
    ...ownPlaces([hostname], address),
    ports: () => [...ports.map((port) => ({ from: port, to: port })), tcp?.ports ?? defaults.tcp],
    lookUp: (name, signal) => lookUp(name, signal).catch(() => []),
  });
}

function render({ action, from, to, reason, unknown }: PolicyAnswer): string[] {
  return [
    `${action}: ${from} -> ${to}`,
    `  because ${reason}`,
    ...(unknown === undefined ? [] : [`  but ${unknown}`]),
  ].map(escapeText);
}
