import { type CommandUnknownOpts, Option } from "@commander-js/extra-typings";
import type { CommandContext } from "../command_context.ts";
import { parsePort } from "../parse_port.ts";
import { examples } from "../program.ts";

/** `pktriot ports`: local ports that lead into the mesh. */
export function addPortsCommands(program: CommandUnknownOpts, context: () => CommandContext): void {
  const ports = program.command("ports").summary("lead local ports to services of other tunnels")
    .description("Lead local ports to services of other tunnels, or to hosts that the server allows.");
  addMap(ports, context);
  ports.command("ls").summary("list port maps")
    .description("List the port maps of the configuration.")
    .option("--json", "print JSON")
    .addHelpText("after", examples("pktriot ports ls", "pktriot ports ls --json"))
    .action(async (options) => {
      const { portsLs } = await import("./ports_ls.ts");
      await portsLs(context(), options);
    });
  ports.command("rm").summary("take a port map away")
    .description("Take a port map away; a running `start` stops to listen, and cuts its connections.")
    .argument("<port>", "local port, or unix:/path")
    .addHelpText("after", examples("pktriot ports rm 3306", "pktriot ports rm unix:/run/user/1000/redis.sock"))
    .action(async (place) => {
      const { portsRm } = await import("./ports_rm.ts");
      await portsRm(context(), place);
    });
}

function addMap(ports: CommandUnknownOpts, context: () => CommandContext): void {
  ports.command("map").summary("lead a local port to a service")
    .description(
      "Lead a local port, or a unix socket, to a service, in place of where it led before. The destination is a service name, a " +
        "tunnel's hostname, or a host that the server allows; an allocated port of the server selects its tunnel whatever the " +
        "name. A running `start` listens within a second.",
    )
    .argument("<port>", "local port to listen on, or unix:/path")
    .addOption(
      new Option("--transport <transport>", "what it carries").choices(["tcp"] as const).default("tcp" as const),
    )
    .requiredOption("--destination <host>", "service name, hostname or address")
    .option("--port <port>", "port of the destination (default: the local one)", parsePort)
    .option("--bind <address>", "address of this machine to listen on (default: 127.0.0.1)")
    .option("--label <text>", "what it is, for people")
    .option("--no-auth", "it is meant that other machines may use it: with --bind of an address that they reach")
    .option("--offline", "do not ask the server")
    .addHelpText(
      "after",
      examples(
        "pktriot ports map 6379 --destination redis",
        "pktriot ports map 3306 --transport tcp --destination mariadb --port 22123",
        "pktriot ports map unix:/run/user/1000/pg.sock --destination db.srv.local --port 5432",
      ),
    )
    .action(async (place, options) => {
      const { portsMap } = await import("./ports_map.ts");
      await portsMap(context(), place, options);
    });
}
