import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import type { CommandContext } from "../command_context.ts";
import { examples } from "../program.ts";

/** `spokes domain`: the domains that tunnels have brought. */
export function addDomainCommands(program: CommandUnknownOpts, context: () => CommandContext): void {
  const domain = program.command("domain").summary("manage domains of tunnels")
    .description("Manage the domains that tunnels have brought. Works while the server runs.");
  domain.command("ls").summary("list domains of tunnels")
    .description("List the domains that tunnels have proven to be theirs, and those that wait for their proof.")
    .option("--json", "print JSON")
    .addHelpText("after", examples("spokes domain ls", "spokes domain ls --json"))
    .action(async (options) => {
      const { domainLs } = await import("./domain_ls.ts");
      await domainLs(context(), options);
    });
  domain.command("rm").summary("take a domain from its tunnel")
    .description(
      "Take a domain from its tunnel, verified or waiting for its proof: rules that use it reach nobody. Whoever proves it next has it.",
    )
    .argument("<name>", "domain, as `ls` shows it")
    .addHelpText("after", examples("spokes domain rm blog.example.com", "spokes domain rm example.com"))
    .action(async (name) => {
      const { domainRm } = await import("./domain_rm.ts");
      await domainRm(context(), name);
    });
}
