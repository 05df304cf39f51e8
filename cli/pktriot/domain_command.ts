import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import type { CommandContext } from "../command_context.ts";
import { examples } from "../program.ts";

/** `pktriot domain`: names outside the server's own domain. */
export function addDomainCommands(program: CommandUnknownOpts, context: () => CommandContext): void {
  const domain = program.command("domain").summary("use domains of your own")
    .description("Show the server that a domain is yours: a rule may then use it, and every name below it.")
    .addHelpText(
      "after",
      examples("pktriot domain add blog.example.com", "pktriot domain verify blog.example.com --wait"),
    );
  domain.command("add").summary("ask for a domain")
    .description("Ask for a domain; prints the DNS record that proves that it is yours, and where to point the domain.")
    .argument("<name>", "domain, such as blog.example.com")
    .option("--json", "print JSON")
    .addHelpText("after", examples("pktriot domain add blog.example.com", "pktriot domain add example.com --json"))
    .action(async (name, options) => {
      const { domainAdd } = await import("./domain_add.ts");
      await domainAdd(context(), name, options);
    });
  domain.command("verify").summary("have the server look for the record now")
    .description(
      "Have the server look for the record now. It also looks by itself: every minute, later every 10 minutes.",
    )
    .argument("<name>", "domain that was added")
    .option("--wait", "look again until it is verified")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      examples("pktriot domain verify blog.example.com", "pktriot domain verify example.com --wait"),
    )
    .action(async (name, options) => {
      const { domainVerify } = await import("./domain_verify.ts");
      await domainVerify(context(), name, options);
    });
  domain.command("ls").summary("list domains, and what they wait for")
    .description("List the domains of this tunnel, verified or not, and what the server saw when it last looked.")
    .option("--json", "print JSON")
    .addHelpText("after", examples("pktriot domain ls", "pktriot domain ls --json"))
    .action(async (options) => {
      const { domainLs } = await import("./domain_ls.ts");
      await domainLs(context(), options);
    });
  domain.command("rm").summary("give a domain up")
    .description("Give a domain up, verified or not. Rules that use it stay in the configuration, and reach nobody.")
    .argument("<name>", "domain that was added")
    .addHelpText("after", examples("pktriot domain rm blog.example.com", "pktriot domain rm example.com"))
    .action(async (name) => {
      const { domainRm } = await import("./domain_rm.ts");
      await domainRm(context(), name);
    });
}
