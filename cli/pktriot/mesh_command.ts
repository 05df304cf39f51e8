import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import type { CommandContext } from "../command_context.ts";
import { examples } from "../program.ts";

/** `pktriot services` and `pktriot connect`: what the mesh has, and one connection into it. */
export function addMeshCommands(program: CommandUnknownOpts, context: () => CommandContext): void {
  program.command("services").summary("list what this tunnel may reach")
    .description("List the services of other tunnels, and the hosts outside, that this tunnel may reach now.")
    .option("--json", "print JSON")
    .addHelpText("after", examples("pktriot services", "pktriot services --json"))
    .action(async (options) => {
      const { services } = await import("./services.ts");
      await services(context(), options);
    });
  program.command("connect").summary("one connection on standard input and output")
    .description(
      "Connect to a service of another tunnel, or to a host that the server allows, on standard input and output, beside a running " +
        "`start`. NAME alone is the service or site of that name. Exit codes: 0 when the connection ended, 1 when it failed.",
    )
    .argument("<destination>", "host:port, [v6]:port, or the name of a service or tunnel")
    .addHelpText(
      "after",
      examples(
        "ssh -o ProxyCommand='pktriot connect %h:%p' anna@office",
        "pktriot connect redis",
        "pg_dump | pktriot connect backup:9000",
      ),
    )
    .action(async (destination) => {
      const { connectCommand } = await import("./connect.ts");
      await connectCommand(context(), destination);
    });
}
