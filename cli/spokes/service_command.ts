import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import type { CommandContext } from "../command_context.ts";
import { examples } from "../program.ts";

/** `spokes service`: the service names of the mesh, and whose they are. */
export function addServiceCommands(program: CommandUnknownOpts, context: () => CommandContext): void {
  const service = program.command("service").summary("manage service names")
    .description("Manage the service names of the mesh, and whose they are. Works while the server runs.");
  service.command("ls").summary("list service names")
    .description("List the service names that belong to an owner, also those that nobody offers now.")
    .option("--json", "print JSON")
    .addHelpText("after", examples("spokes service ls", "spokes service ls --json"))
    .action(async (options) => {
      const { serviceLs } = await import("./service_ls.ts");
      await serviceLs(context(), options);
    });
  service.command("rm").summary("take a service name from its owner")
    .description("Take a service name from its owner: rules that offer it reach nobody. Whoever offers it next has it.")
    .argument("<name>", "service name")
    .addHelpText("after", examples("spokes service rm redis", "spokes service ls"))
    .action(async (name) => {
      const { serviceRm } = await import("./service_rm.ts");
      await serviceRm(context(), name);
    });
}
