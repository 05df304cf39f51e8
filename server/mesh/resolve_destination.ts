import { type Destination, formatDestination, isServiceName } from "../../protocol/destination.ts";
import { CodedError } from "../../protocol/errors.ts";
import type { PublishedRule } from "../published_rule.ts";
import type { Router } from "../router.ts";
import type { AllowList } from "./allow_list.ts";
import type { Services } from "./services.ts";

/** Where a destination leads; whether somebody may go there is the policy's to say. */
export type Resolved =
  & { readonly destination: Destination }
  & (
    /** To a host that the allow-list has. */
    | { readonly kind: "external" }
    /** To one of these rules, the first if it can. */
    | { readonly kind: "rules"; readonly rules: readonly PublishedRule[] }
  );

/** Where destinations are looked up. */
export interface ResolveParts {
  readonly allow: AllowList;
  readonly services: Services;
  readonly router: Router;
}

const HTTP_PORT = 80;
export const HTTPS_PORT = 443;

/**
 * Says where a canonical destination leads, from memory. The order: what the allow-list has; the rule of an allocated port, whatever the host
 * is; a service name, whatever the port is; on 80 and 443 the HTTP rule of the host; a tunnel's hostname.
 * @throws {CodedError} DESTINATION_UNKNOWN
 */
export function resolveDestination(destination: Destination, { allow, services, router }: ResolveParts): Resolved {
  const { host, port } = destination;
  if (allow.find(host, port) !== undefined) return { kind: "external", destination };
  const ofPort = services.byPort(port);
  if (ofPort !== undefined) return { kind: "rules", destination, rules: [ofPort] };
  const named = isServiceName(host) ? services.byName(host) : [];
  if (named.length > 0) return { kind: "rules", destination, rules: named };
  const ofHost = port === HTTP_PORT || port === HTTPS_PORT ? router.find(host) : undefined;
  const rule = ofHost ?? services.byHostname(host, port);
  if (rule !== undefined) return { kind: "rules", destination, rules: [rule] };
  if (services.hasSeveralAt(host)) {
    throw new CodedError(
      "DESTINATION_UNKNOWN",
      `${host} is online with several TCP rules, and none of their targets has the port ${port}: name an allocated port`,
    );
  }
  throw new CodedError(
    "DESTINATION_UNKNOWN",
    `${formatDestination(destination)} is nothing that is online in the mesh, and no host that the server allows`,
  );
}
