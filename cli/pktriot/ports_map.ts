import { formatDoorAddress } from "../../client/doors/door.ts";
import { isLoopback } from "../../net/address.ts";
import {
  type Destination,
  formatDestination,
  isServiceName,
  parseDestination,
  toDestination,
} from "../../protocol/destination.ts";
import { CommandError, usageError } from "../command_error.ts";
import type { CommandContext } from "../command_context.ts";
import { editConfig } from "../config_edit.ts";
import { loadConfig } from "../config_file.ts";
import { describeError } from "../describe_error.ts";
import { escapeText } from "../escape_text.ts";
import { assertFreePlace } from "./assert_free_place.ts";
import { checkDestination, type DestinationVerdict } from "./check_destination.ts";
import { clientConfigSchema, type PortMapEntry } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { checkBind } from "./door_schema.ts";
import { indexOfMap, type MapKey, putMap } from "./edit_doors.ts";
import { isOurs } from "./is_ours.ts";
import { listenFault } from "./listen_fault.ts";
import { formatLocalEnd, parseLocalEnd } from "./local_end.ts";
import { renderArrow } from "./render_rules.ts";
import { toPortMap } from "./to_client_doors.ts";
import { usageOf } from "./usage_of.ts";

/** Flags of `ports map`. */
export interface PortsMapOptions {
  transport: "tcp";
  destination: string;
  port?: number;
  bind?: string;
  label?: string;
  /** `false` for `--no-auth`. */
  auth?: boolean;
  offline?: boolean;
}

/** `pktriot ports map`: leads a local port to a destination in the mesh, in place of where it led before. */
export async function portsMap(context: CommandContext, place: string, options: PortsMapOptions): Promise<void> {
  const { io } = context;
  const key = parseLocalEnd(place);
  const destination = destinationOf(key, options);
  const path = await findConfig(context);
  const { value: config } = await loadConfig(path, clientConfigSchema);
  const before = config.ports[indexOfMap(config, key)];
  const entry = entryOf(key, destination, { options, before });
  const door = toPortMap(entry);
  assertFreePlace(config, door);
  const verdict: DestinationVerdict = options.offline === true
    ? { kind: "unchecked" }
    : await checkDestination(io, config, destination);
  const isKept = before !== undefined && await isOurs(context, path, toPortMap(before));
  const fault = isKept ? undefined : await listenFault(door.listen);
  await editConfig(path, clientConfigSchema, (tree, value) => putMap(tree, value, entry));
  if (fault !== undefined) io.report(describeError(fault, { as: "warning" }));
  io.print([
    before === undefined
      ? "Added port mapping"
      : `Replaced port mapping ${formatLocalEnd(key)} (it led to ${to(before)})${keptText(before, options)}`,
    renderArrow(formatDoorAddress(door.listen), shown(destination, options)),
    ...(verdict.kind === "allowed" && !verdict.serving ? ["Use it with `pktriot start`."] : []),
  ]);
}

function to({ destination, destinationPort }: PortMapEntry): string {
  return formatDestination({ host: destination, port: destinationPort });
}

function hasPort(destination: string): boolean {
  return /^(\[.*\]|[^:]+):[0-9]+$/.test(destination);
}

/** A service is found by its name, whatever the port is: one that nobody gave is not shown. */
function shown(destination: Destination, options: PortsMapOptions): string {
  const isGiven = options.port !== undefined || hasPort(options.destination);
  return isGiven || !isServiceName(destination.host) ? formatDestination(destination) : destination.host;
}

/** What a map that is led elsewhere keeps, for the sentence that says so. */
function keptText({ bind, label }: PortMapEntry, options: PortsMapOptions): string {
  const kept = [
    ...(bind === undefined || options.bind !== undefined ? [] : [`--bind ${bind}`]),
    ...(label === undefined || options.label !== undefined ? [] : [`--label "${label}"`]),
  ];
  return kept.length === 0 ? "" : escapeText(`, with ${kept.join(" and ")} as before`);
}

/** Without a port it is the same as here. @throws {CodedError} DESTINATION_INVALID, USAGE */
function destinationOf({ port: local }: MapKey, { destination, port }: PortsMapOptions): Destination {
  if (hasPort(destination)) {
    if (port === undefined) return parseDestination(destination);
    throw usageError(`The port is given twice: in "${destination}", and by --port ${port}`, {
      fix: "Leave one of them away.",
    });
  }
  const there = port ?? local;
  if (there === undefined) {
    throw usageError("A unix socket does not say which port is meant", { fix: "Give it with --port." });
  }
  return toDestination(destination, there);
}

/** What is not said stays as it was before. @throws {CommandError} USAGE, DOOR_UNSAFE */
function entryOf(
  key: MapKey,
  { host, port }: Destination,
  { options, before }: { options: PortsMapOptions; before: PortMapEntry | undefined },
): PortMapEntry {
  const { transport, bind = before?.bind, label = before?.label } = options;
  // Who may use an address was said for this one.
  const open = options.auth === false || (options.bind === undefined && before?.auth === "none");
  if (bind !== undefined) {
    if (key.unix !== undefined) throw usageError("--bind is for ports, not for a unix socket", { fix: "" });
    usageOf("--bind", () => checkBind(bind));
    if (!isLoopback(bind) && !open) {
      throw new CommandError(
        "DOOR_UNSAFE",
        `Other machines could use ${bind}:${key.port}, and nobody asks them for a password`,
        {
          fix: "Leave --bind away, or say --no-auth if that is meant.",
        },
      );
    }
  }
  if (label !== undefined && (label === "" || label.length > 64)) {
    throw usageError("A label has 1 to 64 characters", { fix: "" });
  }
  const common = { transport, destination: host, destinationPort: port, bind, label };
  return { ...key, ...common, auth: open && bind !== undefined && !isLoopback(bind) ? "none" : undefined };
}
