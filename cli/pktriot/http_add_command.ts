import { type CommandUnknownOpts, Option } from "@commander-js/extra-typings";
import type { CommandContext } from "../command_context.ts";
import { parsePort } from "../parse_port.ts";
import { examples } from "../program.ts";

/** Adds `pktriot route http add`, whose flags are many. */
export function addHttpAdd(http: CommandUnknownOpts, context: () => CommandContext): void {
  http.command("add").summary("publish a domain, or change where it leads")
    .description(
      "Publish a domain, or replace its rule; the firewall and the users of a rule that is there stay. The server is asked " +
        "whether the tunnel may use the domain; when it cannot be reached within 3 s the rule is written all the same.",
    )
    .option("--domain <name>", "domain (default: the assigned hostname)")
    .optionsGroup("Where it leads:")
    .option("--destination <host>", "host of the web service (default: 127.0.0.1)")
    .option("--http <port>", "port of the web service", parsePort)
    .option("--webroot <folder>", "folder to serve")
    .option("--target <target>", "host:port, http://, https://, unix:/path or a folder, in one word")
    .option("--insecure-upstream", "do not verify the certificate of an https:// target")
    .option("--proxy-protocol", "begin each connection to the target with the visitor's address (PROXY protocol v2)")
    .optionsGroup("Who reaches it:")
    .option("--service <name>", "name by which other tunnels reach it through the mesh, beside its domain")
    .option("--private", "through the mesh alone: no public name")
    .optionsGroup("Where TLS ends:")
    .option(
      "--letsencrypt",
      "in this client, with a certificate of Let's Encrypt that is renewed by itself; you agree to the terms of the authority",
    )
    .option("--email <address>", "where the authority may write to; kept for all rules")
    .option("--ca <file>", "in this client, with this certificate (its whole chain, PEM) and --key")
    .option("--key <file>", "private key of --ca, PEM")
    .option("--tls <port|host:port>", "at the destination, which gets the bytes of this port untouched")
    .addOption(
      new Option("--tls-at <place>", "at the server, with a certificate that it has or gets").choices(
        ["server"] as const,
      ),
    )
    .option("--redirect", "answer plain HTTP by a redirect to HTTPS")
    .optionsGroup("What is done to requests (not with --tls):")
    .option("--basic-auth <user>", "ask visitors for a user and password; more than once for several", collect)
    .option("--password-stdin", "read the password from standard input, a line for each user (env: PKTRIOT_PASSWORD)")
    .option("--without-basic-auth", "ask visitors for no password any more")
    .option("--redirect-to <url>", "redirect everything there; a target is not needed")
    .option("--host-header <name>", "Host that the target gets (default: the visitor's; for https://NAME that name)")
    .option("--strip-prefix <path>", "take this off the front of the path; what has none gets 404")
    .option("--add-prefix <path>", "put this in front of the path")
    .option("--set-header <line>", '"Name: value" for the target, in place of what it would get', collect)
    .option("--remove-header <name>", "header that the target shall not get", collect)
    .option("--set-response-header <line>", '"Name: value" for the visitor', collect)
    .option("--remove-response-header <name>", "header that the visitor shall not get", collect)
    .option("--max-body <size>", "refuse larger requests, such as 10MB")
    .optionsGroup("Options:")
    .option("--offline", "do not ask the server")
    .addHelpText(
      "after",
      examples(
        "pktriot route http add --domain blog.example.com --webroot /srv/blog --letsencrypt --redirect",
        "pktriot route http add --domain app.example.com --destination 192.168.1.101 --http 8080",
        "pktriot route http add --domain shop.example.com --destination 192.168.1.101 --http 80 --tls 443",
        "pktriot route http add --domain intern.example.com --http 3000 --tls-at server --basic-auth anna",
        "pktriot route http add --domain old.example.com --redirect-to https://www.example.com",
      ),
    )
    .action(async (options) => {
      const { routeHttpAdd } = await import("./route_http_add.ts");
      await routeHttpAdd(context(), options);
    });
}

/** A flag that may be given more than once. */
function collect(value: string, before: string[] | undefined): string[] {
  return [...before ?? [], value];
}
