import { CommandError } from "../command_error.ts";
import type { CommandContext } from "../command_context.ts";
import { editConfig } from "../config_edit.ts";
import { clientConfigSchema } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { removeMap } from "./edit_doors.ts";
import { formatLocalEnd, parseLocalEnd } from "./local_end.ts";

/** `pktriot ports rm`. */
export async function portsRm(context: CommandContext, place: string): Promise<void> {
  const key = parseLocalEnd(place);
  await editConfig(await findConfig(context), clientConfigSchema, (tree, value) => {
    if (removeMap(tree, value, key)) return;
    throw new CommandError("RULE_UNKNOWN", `There is no port map at ${formatLocalEnd(key)}`, {
      fix: "List them with `pktriot ports ls`.",
    });
  });
  context.io.print("Removed port mapping");
}
