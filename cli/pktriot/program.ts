import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import type { CommandContext } from "../command_context.ts";
import type { Io } from "../io.ts";
import { parsePort } from "../parse_port.ts";
import { addCompletion, createProgram, examples, globalOptions } from "../program.ts";
import { addDomainCommands } from "./domain_command.ts";
import { addHttpAdd } from "./http_add_command.ts";
import { addMeshCommands } from "./mesh_command.ts";
import { addPortsCommands } from "./ports_command.ts";
import { addProxiesCommands } from "./proxies_command.ts";
import { addTcpForward } from "./tcp_forward_command.ts";

/** All commands, flags and help of `pktriot`. What a command does is imported when it runs, so that help and lists start at once. */
export function pktriotProgram(io: Io): CommandUnknownOpts {
  const program = createProgram({
    name: "pktriot",
    description: "Publish local web and TCP services through your spokes server, and use those of its other tunnels.",
    configEnv: "PKTRIOT_CONFIG",
    configHelp:
      "configuration, JSON or YAML by its extension (default: ~/.pktriot/config.json, /etc/pktriot/config.json)",
    io,
  });
  program.addHelpText(
    "after",
    examples(
      "pktriot configure INVITE",
      "pktriot http 8080",
      "pktriot route http add --domain blog.example.com --destination 127.0.0.1 --http 8080",
      "pktriot start",
    ) + "\n\nExit codes: 0 done, 1 failed, 2 not understood (nothing was done).",
  );

  function context(): CommandContext {
    return { io, global: globalOptions(program) };
  }

  addTunnelCommands(program, context);
  addOneShots(program, context);
  const route = program.command("route").alias("tunnel").summary("manage traffic rules")
    .description("Manage the rules: which domains and ports lead where.");
  addHttpRules(route, context);
  addTcpRules(route, context);
  addDomainCommands(program, context);
  addPortsCommands(program, context);
  addProxiesCommands(program, context);
  addMeshCommands(program, context);
  addCompletion(program);
  return program;
}

function addTunnelCommands(program: CommandUnknownOpts, context: () => CommandContext): void {
  program.command("configure").summary("make this machine a tunnel of a server")
    .description("Spend an invite: the server gives this machine a tunnel, a name and a token.")
    .argument("[invite]", "the line that the server printed; - reads it from standard input (env: PKTRIOT_INVITE)")
    .option("--server <host[:port]>", "server, in place of an invite")
    .option("--token <token>", "enrolment token; better in the environment as PKTRIOT_TOKEN, or - for standard input")
    .option("--pin <sha256>", "fingerprint of the server's certificate authority")
    .option("--name <name>", "what people call this tunnel (default: the name of this machine)")
    .option("--system", "keep the configuration in /etc/pktriot")
    .option("--replace", "give an existing configuration a new tunnel, keeping its rules")
    .addHelpText(
      "after",
      examples("pktriot configure INVITE", "PKTRIOT_TOKEN=... pktriot configure --server tunnel.example.com --pin PIN"),
    )
    .action(async (invite, options) => {
      const { configure } = await import("./configure.ts");
      await configure(context(), invite, options);
    });

  program.command("info").summary("show this tunnel and its rules")
    .description("Show this tunnel, its server, and all rules.")
    .option("--json", "print JSON")
    .option("--offline", "do not ask the server")
    .addHelpText("after", examples("pktriot info", "pktriot info --json --offline"))
    .action(async (options) => {
      const { info } = await import("./info.ts");
      await info(context(), options);
    });

  program.command("start").summary("publish the rules until stopped")
    .description(
      "Connect and publish the rules. Edits of the configuration, by commands or by hand, are active within a second. " +
        "Ctrl-C lets running streams finish for 30 s, a second one stops at once.",
    )
    .option("--takeover", "replace the same tunnel where it runs now")
    .addHelpText("after", examples("pktriot start", "pktriot --log-format json start --takeover"))
    .action(async (options) => {
      const { start } = await import("./start.ts");
      await start(context(), options);
    });

  program.command("version").summary("print the version")
    .description("Print the version.")
    .addHelpText("after", examples("pktriot version", "pktriot --version"))
    .action(async () => {
      const { versionLine } = await import("../version.ts");
      context().io.print(versionLine("pktriot"));
    });

  program.command("edit").summary("rename this tunnel")
    .description("Change what people call this tunnel.")
    .requiredOption("--name <name>", "new name, at most 64 characters")
    .addHelpText("after", examples("pktriot edit --name laptop", 'pktriot edit --name "office printer"'))
    .action(async (options) => {
      const { edit } = await import("./edit.ts");
      await edit(context(), options);
    });
}

function addOneShots(program: CommandUnknownOpts, context: () => CommandContext): void {
  program.command("http").summary("publish one web service until stopped")
    .description(
      "Publish a web service or a folder until stopped, beside a running `start`; its rules are not touched.",
    )
    .argument("[target]", "port, host:port, http://, https://, unix:/path or a folder")
    .option("--domain <name>", "a name of this tunnel's own (default: a new one)")
    .option("--webroot <folder>", "folder to serve")
    .option("--host-header <name>", "Host that the target gets")
    .option("--insecure-upstream", "do not verify the certificate of an https:// target")
    .addHelpText("after", examples("pktriot http 8080", "pktriot http --webroot ./public"))
    .action(async (target, options) => {
      const { oneShotHttp } = await import("./one_shot.ts");
      await oneShotHttp(context(), target, options);
    });

  program.command("tcp").summary("publish one TCP service until stopped")
    .description("Publish a TCP service until stopped, beside a running `start`; its rules are not touched.")
    .argument("<target>", "port, host:port or unix:/path")
    .option("--port <port>", "a port of this tunnel's own (default: a new one)", parsePort)
    .addHelpText("after", examples("pktriot tcp 22", "pktriot tcp 192.168.1.101:3389"))
    .action(async (target, options) => {
      const { oneShotTcp } = await import("./one_shot.ts");
      await oneShotTcp(context(), target, options);
    });
}

function addHttpRules(route: CommandUnknownOpts, context: () => CommandContext): void {
  const http = route.command("http").summary("domains").description("Manage domains.");
  addHttpAdd(http, context);
  http.command("rm").summary("take a domain away")
    .description("Take the rule of a domain away. The name stays this tunnel's own unless it is released.")
    .requiredOption("--domain <name>", "domain of the rule")
    .option("--release", "give the name back to the server: after 30 days others may take it")
    .addHelpText(
      "after",
      examples(
        "pktriot route http rm --domain blog.example.com",
        "pktriot route http rm --domain blog.example.com --release",
      ),
    )
    .action(async (options) => {
      const { routeHttpRm } = await import("./route_http_rm.ts");
      await routeHttpRm(context(), options);
    });
  http.command("ls").summary("list domains")
    .description("List the domains of the configuration, and what the server says of them.")
    .option("--json", "print JSON")
    .option("--offline", "do not ask the server")
    .addHelpText("after", examples("pktriot route http ls", "pktriot route http ls --json"))
    .action(async (options) => {
      const { routeLs } = await import("./route_ls.ts");
      await routeLs(context(), { kind: "http", ...options });
    });
  addHttpFirewall(http, context);
}

function addHttpFirewall(http: CommandUnknownOpts, context: () => CommandContext): void {
  const firewall = http.command("firewall").summary("who may visit a domain")
    .description(
      "Decide who may visit a domain. The most specific network decides, on equal networks drop wins; once a network is " +
        "allowed, everybody else is dropped. The server drops, so that nothing reaches this machine.",
    );
  for (const action of ["allow", "drop", "rm"] as const) {
    firewall.command(action).summary(FIREWALL_SUMMARY[action]).description(`${FIREWALL_TEXT[action]} a domain.`)
      .requiredOption("--domain <name>", "domain of the rule")
      .requiredOption("--network <network>", "address or CIDR, IPv4 or IPv6")
      .option("--open", "it is meant that everybody may come when the last allowed network goes")
      .addHelpText(
        "after",
        examples(
          `pktriot route http firewall ${action} --domain blog.example.com --network 203.0.113.7`,
          `pktriot route http firewall ${action} --domain blog.example.com --network 2001:db8::/32`,
        ),
      )
      .action(async ({ domain, ...change }) => {
        const [{ routeFirewallChange }, { parseDomain }] = await Promise.all([
          import("./route_firewall.ts"),
          import("../parse_domain.ts"),
        ]);
        await routeFirewallChange(context(), { kind: "http", domain: parseDomain(domain) }, { action, ...change });
      });
  }
  firewall.command("ls").summary("list firewalls")
    .description("List the firewalls of domains.")
    .option("--domain <name>", "of this domain only")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      examples("pktriot route http firewall ls", "pktriot route http firewall ls --domain blog.example.com --json"),
    )
    .action(async ({ domain, ...options }) => {
      const [{ routeFirewallLs }, { parseDomain }] = await Promise.all([
        import("./route_firewall.ts"),
        import("../parse_domain.ts"),
      ]);
      const key = domain === undefined ? {} : { key: { kind: "http" as const, domain: parseDomain(domain) } };
      await routeFirewallLs(context(), { kind: "http", ...options, ...key });
    });
}

function addTcpRules(route: CommandUnknownOpts, context: () => CommandContext): void {
  const tcp = route.command("tcp").summary("ports").description("Manage ports.");
  tcp.command("allocate").summary("get a port of the server")
    .description("Get a port of the server. It stays this tunnel's own until it is released.")
    .option("--port <port>", "this one, if it is free", parsePort)
    .option("--json", "print JSON")
    .addHelpText("after", examples("pktriot route tcp allocate", "pktriot route tcp allocate --port 22197"))
    .action(async (options) => {
      const { routeTcpAllocate } = await import("./route_tcp_allocate.ts");
      await routeTcpAllocate(context(), options);
    });
  addTcpForward(tcp, context);
  tcp.command("release").summary("give a port back")
    .description("Give a port back to the server, and forget its rule.")
    .requiredOption("--port <port>", "allocated port", parsePort)
    .addHelpText(
      "after",
      examples("pktriot route tcp release --port 22197", "pktriot tunnel tcp release --port 22197"),
    )
    .action(async (options) => {
      const { routeTcpRelease } = await import("./route_tcp_release.ts");
      await routeTcpRelease(context(), options);
    });
  tcp.command("ls").summary("list ports")
    .description("List the ports of the configuration, and what the server says of them.")
    .option("--json", "print JSON")
    .option("--offline", "do not ask the server")
    .addHelpText("after", examples("pktriot route tcp ls", "pktriot route tcp ls --json"))
    .action(async (options) => {
      const { routeLs } = await import("./route_ls.ts");
      await routeLs(context(), { kind: "tcp", ...options });
    });
  addTcpFirewall(tcp, context);
}

function addTcpFirewall(tcp: CommandUnknownOpts, context: () => CommandContext): void {
  const firewall = tcp.command("firewall").summary("who may use a port")
    .description(
      "Decide who may use a port. The most specific network decides, on equal networks drop wins; once a network is " +
        "allowed, everybody else is dropped. The server drops, so that nothing reaches this machine.",
    );
  for (const action of ["allow", "drop", "rm"] as const) {
    firewall.command(action).summary(FIREWALL_SUMMARY[action]).description(`${FIREWALL_TEXT[action]} a port.`)
      .requiredOption("--port <port>", "allocated port", parsePort)
      .requiredOption("--network <network>", "address or CIDR, IPv4 or IPv6")
      .option("--open", "it is meant that everybody may come when the last allowed network goes")
      .addHelpText(
        "after",
        examples(
          `pktriot route tcp firewall ${action} --port 22197 --network 203.0.113.7`,
          `pktriot route tcp firewall ${action} --port 22197 --network 2001:db8::/32`,
        ),
      )
      .action(async ({ port, ...change }) => {
        const { routeFirewallChange } = await import("./route_firewall.ts");
        await routeFirewallChange(context(), { kind: "tcp", port }, { action, ...change });
      });
  }
  firewall.command("ls").summary("list firewalls")
    .description("List the firewalls of ports.")
    .option("--port <port>", "of this port only", parsePort)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      examples("pktriot route tcp firewall ls", "pktriot route tcp firewall ls --port 22197 --json"),
    )
    .action(async ({ port, ...options }) => {
      const { routeFirewallLs } = await import("./route_firewall.ts");
      const key = port === undefined ? {} : { key: { kind: "tcp" as const, port } };
      await routeFirewallLs(context(), { kind: "tcp", ...options, ...key });
    });
}

const FIREWALL_SUMMARY = {
  allow: "let a network in",
  drop: "keep a network out",
  rm: "forget a network",
} as const;

const FIREWALL_TEXT = {
  allow: "Let a network visit",
  drop: "Keep a network away from",
  rm: "Forget what was said about a network and",
} as const;
