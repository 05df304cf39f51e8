import { type Destination, isServiceName, toDestination } from "../../protocol/destination.ts";
import type { RequestResult } from "../../protocol/request.ts";
import { CommandError, usageError } from "../command_error.ts";

/** Stands for "whatever port there is": no server gives it out, and nothing listens on it (it was tcpmux). */
const ANY_PORT = 1;
/** What an HTTP rule is reached by without TLS, by its service name as by its domain. */
const HTTP_PORT = 80;

/**
 * The destination that a name without a port means: the service of this name, the only TCP rule of the tunnel with this
 * hostname, or the site of this domain.
 * `domain` is the server's, under which hostnames are.
 * @throws {CodedError} DESTINATION_INVALID, DESTINATION_UNKNOWN; USAGE when a port must be named
 */
export function destinationOfName(
  text: string,
  { services, more, domain }: RequestResult<"service.list"> & { domain: string },
): Destination {
  const anywhere = toDestination(text, ANY_PORT);
  const name = anywhere.host;
  const named = services.filter((service) => service.name === name);
  const ports = named.flatMap(({ kind, port }) => kind === "tcp" && port !== undefined ? [port] : []);
  const [port, ...others] = ports;
  if (port !== undefined && others.length === 0) return toDestination(name, port);
  // The server balances a service that several tunnels offer; the port of one of them would be that one.
  if (port !== undefined && isServiceName(name)) return anywhere;
  if (port !== undefined) throw portNeeded(name, `has several TCP rules, at ${ports.join(", ")}`, port);
  if (named.some(({ kind }) => kind === "http")) return toDestination(name, HTTP_PORT);
  const [outside] = named;
  if (outside !== undefined) throw portNeeded(name, "is a host outside", outside.port ?? 443);
  // A hostname is not listed when its rules have service names.
  if (more !== undefined || name.endsWith(`.${domain}`)) return anywhere;
  throw new CommandError("DESTINATION_UNKNOWN", `Nothing named "${name}" that you may reach is online in the mesh`, {
    fix: "List what there is with `pktriot services`.",
  });
}

function portNeeded(name: string, why: string, port: number): CommandError {
  return usageError(`"${name}" ${why}`, { fix: `Say which port is meant, such as ${name}:${port}.` });
}
