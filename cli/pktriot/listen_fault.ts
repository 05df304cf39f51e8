import { dirname } from "node:path";
import { type DoorAddress, formatDoorAddress } from "../../client/doors/door.ts";
import { CommandError } from "../command_error.ts";

/**
 * What would keep `start` from listening there, if it were this command. The door may be meant for another user, and the port may become
 * free: it is told, and not a reason to refuse.
 */
export async function listenFault(address: DoorAddress): Promise<CommandError | undefined> {
  return "unix" in address ? await pathFault(address.unix) : portFault(address);
}

function portFault(address: { hostname: string; port: number }): CommandError | undefined {
  try {
    Deno.listen({ hostname: address.hostname, port: address.port }).close();
    return undefined;
  } catch (cause) {
    const place = formatDoorAddress(address);
    if (cause instanceof Deno.errors.AddrInUse) {
      return fault(
        `Another program listens on ${place}`,
        "Stop it before `pktriot start`, or map another port.",
        cause,
      );
    }
    if (cause instanceof Deno.errors.PermissionDenied) {
      return fault(
        `You may not listen on ${place}: ports below 1024 need rights`,
        "Choose one from 1024 on, or run `pktriot start` as root or with CAP_NET_BIND_SERVICE.",
        cause,
      );
    }
    if (cause instanceof Deno.errors.AddrNotAvailable) {
      return fault(`${address.hostname} is not an address of this machine`, "Use one of its own with --bind.", cause);
    }
    return fault(`Cannot listen on ${place}: ${cause instanceof Error ? cause.message : cause}`, "", cause);
  }
}

/** A socket that is there may be one that a program left behind, which is replaced; nothing else is. */
async function pathFault(path: string): Promise<CommandError | undefined> {
  try {
    if (!(await Deno.lstat(path)).isSocket) {
      return fault(`${path} is there already, and is no socket`, "Choose another path, or remove it.");
    }
  } catch {
    // Nothing is there, as it should be, or the folder says what is wrong.
  }
  return await folderFault(path);
}

async function folderFault(path: string): Promise<CommandError | undefined> {
  const folder = dirname(path);
  try {
    const { isDirectory } = await Deno.stat(folder);
    return isDirectory ? undefined : fault(`${folder} is not a folder`, "Correct the path of the socket.");
  } catch (cause) {
    return fault(`The folder ${folder} cannot be used`, "Make it before `pktriot start`.", cause);
  }
}

function fault(message: string, fix: string, cause?: unknown): CommandError {
  return new CommandError("LISTEN_FAILED", message, { fix, cause });
}
