import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import type { CommandContext } from "../command_context.ts";
import { examples } from "../program.ts";

/** `spokes policy`: who may reach what through the mesh. */
export function addPolicyCommands(program: CommandUnknownOpts, context: () => CommandContext): void {
  const policy = program.command("policy").summary("explain the policy of the mesh")
    .description("Explain who may reach what through the mesh. Works while the server runs.");
  policy.command("check").summary("explain a decision")
    .description(
      "Say whether somebody may reach a destination through the mesh, and which line of the policy says so. " +
        "Exit codes: 0 allow, 1 deny, 3 when it depends on what the running server alone knows.",
    )
    .requiredOption("--from <who>", "tunnel (name, id or hostname), owner:NAME, tag:NAME, or anonymous")
    .requiredOption("--to <destination>", "host:port, or service:NAME")
    .option("--by <tunnel>", "tunnel that offers the service")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      examples(
        "spokes policy check --from laptop --to db.srv.local:5432",
        "spokes policy check --from tag:ci --to service:redis --by database",
      ),
    )
    .action(async (options) => {
      const { policyCheck } = await import("./policy_check.ts");
      await policyCheck(context(), options);
    });
}
