import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import type { CommandContext } from "../command_context.ts";
import { parsePort } from "../parse_port.ts";
import { examples } from "../program.ts";

/** Adds `pktriot route tcp forward`. */
export function addTcpForward(tcp: CommandUnknownOpts, context: () => CommandContext): void {
  tcp.command("forward").summary("say where a port leads")
    .description(
      "Say where a port leads, in place of what was said before. Without --port the one of the same --service is meant, else one is " +
        "allocated.",
    )
    .option("--port <port>", "allocated port of the server", parsePort)
    .option("--destination <host>", "host of the service (default: 127.0.0.1)")
    .option("--dstport <port>", "port of the service", parsePort)
    .option("--target <target>", "port, host:port or unix:/path, in one word")
    .option("--service <name>", "name by which other tunnels reach it through the mesh")
    .option("--private", "through the mesh alone: no public port")
    .option("--proxy-protocol", "begin each connection to the target with the visitor's address (PROXY protocol v2)")
    .option("--offline", "do not ask the server")
    .addHelpText(
      "after",
      examples(
        "pktriot route tcp forward --port 22197 --destination 192.168.1.101 --dstport 22",
        "pktriot route tcp forward --dstport 5432",
        "pktriot route tcp forward --service redis --target 6379 --private",
      ),
    )
    .action(async (options) => {
      const { routeTcpForward } = await import("./route_tcp_forward.ts");
      await routeTcpForward(context(), options);
    });
}
