import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import type { CommandContext } from "../command_context.ts";
import type { Io } from "../io.ts";
import { parsePort } from "../parse_port.ts";
import { addCompletion, createProgram, examples, globalOptions } from "../program.ts";
import { addDomainCommands } from "./domain_command.ts";
import { addPolicyCommands } from "./policy_command.ts";
import { addServiceCommands } from "./service_command.ts";

/** All commands, flags and help of `spokes`. What a command does is imported when it runs. */
export function spokesProgram(io: Io): CommandUnknownOpts {
  const program = createProgram({
    name: "spokes",
    description: "Server of self-hosted tunnels: publishes services behind pktriot clients.",
    configEnv: "SPOKES_CONFIG",
    configHelp: "configuration, YAML or JSON by its extension (default: ./spokes.yaml, /etc/spokes/spokes.yaml)",
    io,
  });
  program.addHelpText(
    "after",
    examples("spokes init --domain example.com", "spokes check", "spokes start", "spokes token create --owner alice") +
      "\n\nExit codes: 0 done, 1 failed, 2 not understood (nothing was done).",
  );

  function context(): CommandContext {
    return { io, global: globalOptions(program) };
  }
  addServerCommands(program, context);
  addTokenCommands(program, context);
  addTunnelCommands(program, context);
  addDomainCommands(program, context);
  addServiceCommands(program, context);
  addPolicyCommands(program, context);
  addCompletion(program);
  return program;
}

function addServerCommands(program: CommandUnknownOpts, context: () => CommandContext): void {
  program.command("init").summary("set a server up")
    .description(
      "Write a commented spokes.yaml, make the state folder with a certificate authority, and print one invite. " +
        "What exists is never overwritten.",
    )
    .requiredOption("--domain <domain>", "tunnels get names under this domain")
    .option("--dir <folder>", "where to write", ".")
    .option("--address <host[:port]>", "what clients dial (default: the domain, and the port of --tls-port)")
    .option("--hostname <name>", "name of the tunnel endpoint (default: the domain)")
    .option("--http-port <port>", "port for visitors over HTTP (default: 80)", parsePort)
    .option("--tls-port <port>", "port of the tunnel endpoint (default: 443)", parsePort)
    .option("--ports <range>", "ports that tunnels may allocate (default: 22000-22999)")
    .option("--admin-port <port>", "port of health and metrics on loopback (default: 9400)", parsePort)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      examples(
        "spokes init --domain example.com",
        "spokes init --domain localhost --address 127.0.0.1 --http-port 8080 --tls-port 8443 --dir ./try",
      ),
    )
    .action(async (options) => {
      const { init } = await import("./init.ts");
      await init(context(), options);
    });

  program.command("start").summary("run the server until stopped")
    .description(
      "Run the server. SIGTERM or Ctrl-C lets running streams finish for the time of `drain`, a second one stops at once.",
    )
    .addHelpText("after", examples("spokes start", "spokes --config /etc/spokes/spokes.yaml --log-format json start"))
    .action(async () => {
      const { start } = await import("./start.ts");
      await start(context());
    });

  program.command("check").summary("validate the configuration")
    .description("Validate the configuration, and say what the server would do with it.")
    .option("--json", "print JSON")
    .addHelpText("after", examples("spokes check", "spokes --config /etc/spokes/spokes.yaml check --json"))
    .action(async (options) => {
      const { check } = await import("./check.ts");
      await check(context(), options);
    });

  program.command("version").summary("print the version")
    .description("Print the version.")
    .addHelpText("after", examples("spokes version", "spokes --version"))
    .action(async () => {
      const { versionLine } = await import("../version.ts");
      context().io.print(versionLine("spokes"));
    });
}

function addTokenCommands(program: CommandUnknownOpts, context: () => CommandContext): void {
  const token = program.command("token").summary("manage invites")
    .description("Manage enrolment tokens: each makes tunnels, and comes as an invite. Works while the server runs.");
  token.command("create").summary("make an invite")
    .description("Make an enrolment token and print it as an invite, which cannot be shown again.")
    .option("--expires <time>", "time until it expires, such as 24h, or never (default: 24h)")
    .option("--uses <count>", "how many tunnels it may make, or unlimited (default: 1)")
    .option("--owner <name>", "who its tunnels belong to (default: default)")
    .option("--tag <tag>", "tag of its tunnels; may be repeated", collect)
    .option("--domain <domain>", "other domain its tunnels may use, name or *.name; may be repeated", collect)
    .option("--ports <range>", "ports its tunnels may allocate (default: all of the server); may be repeated", collect)
    .option("--max-names <count>", "names a tunnel may own beside its hostname (default: 25)")
    .option("--max-ports <count>", "ports a tunnel may own (default: 10)")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      examples(
        "spokes token create --owner alice --tag laptop",
        "spokes token create --expires 7d --uses unlimited --ports 22100-22199 --domain '*.example.org'",
      ),
    )
    .action(async (options) => {
      const { tokenCreate } = await import("./token_create.ts");
      await tokenCreate(context(), options);
    });
  token.command("ls").summary("list tokens")
    .description("List the enrolment tokens; their secrets are kept nowhere.")
    .option("--json", "print JSON")
    .addHelpText("after", examples("spokes token ls", "spokes token ls --json"))
    .action(async (options) => {
      const { tokenLs } = await import("./token_ls.ts");
      await tokenLs(context(), options);
    });
  token.command("rm").summary("remove a token")
    .description("Remove an enrolment token. Tunnels that were made with it stay.")
    .argument("<id>", "id from `spokes token ls`")
    .addHelpText("after", examples("spokes token rm 0a1b2c3d4e5f", "spokes token ls --json"))
    .action(async (id) => {
      const { tokenRm } = await import("./token_rm.ts");
      await tokenRm(context(), id);
    });
}

function addTunnelCommands(program: CommandUnknownOpts, context: () => CommandContext): void {
  const tunnel = program.command("tunnel").summary("manage tunnels")
    .description("Manage tunnels. Works while the server runs.");
  tunnel.command("ls").summary("list tunnels")
    .description("List the tunnels.")
    .option("--json", "print JSON, with names and ports")
    .addHelpText("after", examples("spokes tunnel ls", "spokes tunnel ls --json"))
    .action(async (options) => {
      const { tunnelLs } = await import("./tunnel_ls.ts");
      await tunnelLs(context(), options);
    });
  tunnel.command("rm").summary("remove a tunnel")
    .description("Remove a tunnel: its sessions end at once, its names rest for 30 days, its ports are free.")
    .argument("<tunnel>", "id or hostname from `spokes tunnel ls`")
    .addHelpText(
      "after",
      examples("spokes tunnel rm brave-otter-12345.example.com", "spokes tunnel ls"),
    )
    .action(async (which) => {
      const { tunnelRm } = await import("./tunnel_rm.ts");
      await tunnelRm(context(), which);
    });
}

function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}
