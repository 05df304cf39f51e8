import { type Door, doorId } from "../../client/doors/door.ts";
import type { CommandContext } from "../command_context.ts";
import { readDoorStates } from "./door_status.ts";

/**
 * Whether the program that listens at a door's port is, as far as can be known, a running `start` itself, which leaves it when the door
 * changes. Without word of a `start` that is taken for granted: a warning of oneself would be worse than none.
 */
export async function isOurs(context: CommandContext, configPath: string, before: Door): Promise<boolean> {
  const states = await readDoorStates(context, configPath);
  return states === undefined || states.get(doorId(before))?.state === "open";
}
