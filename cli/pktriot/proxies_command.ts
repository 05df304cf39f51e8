import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import type { CommandContext } from "../command_context.ts";
import { parsePort } from "../parse_port.ts";
import { examples } from "../program.ts";
import type { ProxyKind } from "./edit_doors.ts";

/** What help says of each kind. */
const TEXTS = {
  socks: {
    summary: "the local SOCKS5 proxy",
    description: "Manage the local SOCKS5 proxy: one port for every service of the mesh.",
    port: 1080,
  },
  http: {
    summary: "the local HTTP CONNECT proxy",
    description: "Manage the local HTTP CONNECT proxy: for programs that do not speak SOCKS.",
    port: 8118,
  },
} as const satisfies Record<ProxyKind, unknown>;

/** `pktriot proxies`: local proxies into the mesh. */
export function addProxiesCommands(program: CommandUnknownOpts, context: () => CommandContext): void {
  const proxies = program.command("proxies").summary("local proxies to services of other tunnels")
    .description("Let programs of this machine reach services of other tunnels through a local proxy.");
  for (const kind of ["socks", "http"] as const) addKind(proxies, kind, context);
  proxies.command("ls").summary("list local proxies")
    .description("List the local proxies of the configuration.")
    .option("--json", "print JSON")
    .addHelpText("after", examples("pktriot proxies ls", "pktriot proxies ls --json"))
    .action(async (options) => {
      const { proxiesLs } = await import("./proxies_ls.ts");
      await proxiesLs(context(), options);
    });
}

function addKind(proxies: CommandUnknownOpts, kind: ProxyKind, context: () => CommandContext): void {
  const { summary, description, port } = TEXTS[kind];
  const command = proxies.command(kind).summary(summary).description(description);
  command.command("listen").summary("listen on a local port")
    .description(
      "Listen on a local port, in place of the one before; a password that was set stays. A running `start` listens within a second.",
    )
    .argument("<port>", "local port to listen on", parsePort)
    .option("--bind <address>", "address of this machine to listen on (default: 127.0.0.1)")
    .option("--auth <user>", "ask for this user and a password, which is asked for, or in PKTRIOT_PASSWORD")
    .option("--password-stdin", "read the password of --auth from standard input")
    .option("--no-auth", "ask nobody, also where other machines reach it")
    .addHelpText(
      "after",
      examples(
        `pktriot proxies ${kind} listen ${port}`,
        `pktriot proxies ${kind} listen ${port} --bind 192.168.1.5 --auth anna`,
      ),
    )
    .action(async (local, options) => {
      const { proxiesListen } = await import("./proxies_listen.ts");
      await proxiesListen(context(), kind, { port: local, ...options });
    });
  command.command("rm").summary("listen no more")
    .description("Listen no more; a running `start` cuts the connections through it.")
    .addHelpText("after", examples(`pktriot proxies ${kind} rm`, `pktriot --config FILE proxies ${kind} rm`))
    .action(async () => {
      const { proxiesRm } = await import("./proxies_rm.ts");
      await proxiesRm(context(), kind);
    });
}
