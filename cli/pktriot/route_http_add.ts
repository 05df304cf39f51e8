import { parseTarget } from "../../client/target.ts";
import { compileHttpOptions } from "../../net/http/proxy/rule_options.ts";
import { usageError } from "../command_error.ts";
import type { CommandContext } from "../command_context.ts";
import { editConfig } from "../config_edit.ts";
import { loadConfig } from "../config_file.ts";
import { parseDomain } from "../parse_domain.ts";
import { parseHostPort } from "../parse_listen.ts";
import { type BasicAuthOptions, usersFromOptions } from "./basic_auth_options.ts";
import { checkRule, describeVerdict, type RuleVerdict } from "./check_rule.ts";
import { type ClientConfig, clientConfigSchema, type HttpEntry } from "./config.ts";
import { findConfig } from "./config_path.ts";
import { putAcmeEmail, putHttp } from "./edit_rules.ts";
import { httpOptionsOf } from "./http_options_of.ts";
import { entryId, renderPlainPassword, renderWarnings } from "./render_rules.ts";
import { assertReadable, type RequestOptions, requestOptionsOf, TO_BE_ASKED } from "./request_options.ts";
import { assertService } from "./service_schema.ts";
import { leadsTo } from "./target_columns.ts";
import { targetFromOptions, type TargetOptions } from "./target_options.ts";
import { tlsFromOptions, type TlsOptions } from "./tls_options.ts";
import { toWireHttp } from "./to_client_rules.ts";

/** Flags of `route http add`. */
export interface RouteHttpAddOptions
  extends Omit<TargetOptions, "dstport">, TlsOptions, RequestOptions, BasicAuthOptions {
  domain?: string;
  redirect?: boolean;
  insecureUpstream?: boolean;
  proxyProtocol?: boolean;
  service?: string;
  private?: boolean;
  offline?: boolean;
}

/**
 * `pktriot route http add`. Of a rule that is there, who may come in stays (firewall and users), and all else is replaced. The
 * server is asked before the file is written, so that a refused rule never reaches a running `start`; a server that does not
 * answer in 3 s does not hold the edit up.
 */
export async function routeHttpAdd(context: CommandContext, options: RouteHttpAddOptions): Promise<void> {
  const { io } = context;
  const path = await findConfig(context);
  const { value: config } = await loadConfig(path, clientConfigSchema);
  const domain = options.domain === undefined ? config.tunnel.hostname : parseDomain(options.domain);
  const before = config.http.find((rule) => rule.domain === domain);
  const entry = await entryFromOptions(context, options, { domain, before, server: config.server.address });
  const verdict = options.offline === true
    ? { kind: "unchecked" as const }
    : await checkRule(io, config, toWireHttp({ ...entry, firewall: before?.firewall }));
  let done: "added" | "updated" = "added";
  // A rule that the server refused, or has withdrawn, is offered again by the same command.
  await editConfig(path, clientConfigSchema, (tree, value) => {
    done = putHttp(tree, value, entry);
    if (options.email !== undefined) putAcmeEmail(tree, options.email);
  }, { again: true });
  io.print([`HTTP/S traffic rule ${done}`, ...describeVerdict(verdict, leadsTo(entry))]);
  const warnings = [...missingHttps(entry, verdict), ...renderPlainPassword(entry)];
  if (warnings.length > 0) io.report(warnings);
  if (entry.tls === "letsencrypt" && isAssigned(domain, config)) io.report(assignedNameWarning(domain));
}

async function entryFromOptions(
  context: CommandContext,
  options: RouteHttpAddOptions,
  { domain, before, server }: { domain: string; before: HttpEntry | undefined; server: string },
): Promise<Omit<HttpEntry, "firewall">> {
  assertPlainLeads(options);
  const requestEntry = requestOptionsOf(options);
  assertRedirect(options, { domain, server });
  const target = leadsNowhere(options) ? undefined : await targetFromOptions(options);
  if (options.insecureUpstream === true && target?.startsWith("https://") !== true) {
    throw usageError("--insecure-upstream is for https:// targets", { fix: "Leave it away." });
  }
  if (options.proxyProtocol === true && (target === undefined || parseTarget(target).kind === "folder")) {
    throw usageError("--proxy-protocol is for targets that are connected to", { fix: "Leave it away." });
  }
  assertService(options.service);
  const entry = {
    ...{ domain, target, redirect: options.redirect, insecureUpstream: options.insecureUpstream },
    ...{ service: options.service, private: options.private },
    ...requestEntry,
    proxyProtocol: options.proxyProtocol === true ? "v2" as const : undefined,
    tls: await tlsFromOptions(options, { domain, target, destination: options.destination }),
  };
  // What the edge would refuse is refused here, also when nobody is asked.
  compileHttpOptions(httpOptionsOf(entry));
  assertReadable({ ...entry, basicAuth: keptUsers(options, before) });
  return { ...entry, basicAuth: await usersFromOptions(context, options, before?.basicAuth) };
}

/** Whether the rule is meant to have no target: all is redirected, or HTTPS is passed through and the rest redirected. */
function leadsNowhere({ target, webroot, http, destination, ...options }: RouteHttpAddOptions): boolean {
  if (options.redirectTo !== undefined) return true;
  if (target !== undefined || webroot !== undefined || http !== undefined) return false;
  return options.redirect === true && options.tls !== undefined && parseHostPort(destination ?? "") === undefined;
}

/** Whoever says where TLS leads easily forgets that visitors of plain HTTP come as well. @throws {CommandError} USAGE */
function assertPlainLeads(
  { target, webroot, http, destination, tls, redirect, redirectTo }: RouteHttpAddOptions,
): void {
  if (tls === undefined || redirect === true || redirectTo !== undefined) return;
  if (target !== undefined || webroot !== undefined || http !== undefined) return;
  if (parseHostPort(destination ?? "") !== undefined) return;
  throw usageError("--tls says where HTTPS leads, and nothing says where plain HTTP does", {
    fix: "Give its port with --http, or answer it with --redirect.",
  });
}

/** A redirect of everything leaves nothing for a target, and must not lead to itself. @throws {CommandError} USAGE */
function assertRedirect(
  { redirectTo, target, webroot, http, destination }: RouteHttpAddOptions,
  { domain, server }: { domain: string; server: string },
): void {
  if (redirectTo === undefined) return;
  const places = { "--target": target, "--webroot": webroot, "--http": http, "--destination": destination };
  const given = Object.entries(places).filter(([, place]) => place !== undefined).map(([flag]) => flag);
  if (given.length > 0) {
    throw usageError(`${given.join(" and ")} cannot be used with --redirect-to: nothing would ever get there`, {
      fix: "Give one or the other.",
    });
  }
  const url = URL.parse(redirectTo);
  const isOwnPort = url?.port === "" || url?.port === `${parseHostPort(server)?.port}`;
  if (url?.hostname.replace(/\.$/, "") !== domain || !isOwnPort) return;
  throw usageError(`--redirect-to leads back to ${domain} itself, so that visitors would never arrive`, {
    fix: "Give another URL; --redirect leads from HTTP to HTTPS.",
  });
}

/** Stands for the users that the rule will have, before anybody is asked for a password. */
function keptUsers({ basicAuth, withoutBasicAuth }: BasicAuthOptions, before: HttpEntry | undefined) {
  if (withoutBasicAuth === true) return undefined;
  return basicAuth === undefined ? before?.basicAuth : TO_BE_ASKED;
}

/** The same as `ls` says of the rule when it is published. */
function missingHttps(entry: HttpEntry, verdict: RuleVerdict): string[] {
  if (verdict.kind === "unchecked" || verdict.address === undefined) return [];
  return renderWarnings([{ id: entryId(entry), state: "active", address: verdict.address }], [entry]);
}

/** Whether the name is under the server's domain, whose names share their certificate authority's limits. */
function isAssigned(domain: string, { tunnel }: ClientConfig): boolean {
  return domain.endsWith(tunnel.hostname.slice(tunnel.hostname.indexOf(".")));
}

function assignedNameWarning(domain: string): string[] {
  return [
    `warning: ${domain} is under the server's domain, which all of its tunnels share: a certificate authority gives only so ` +
    "many certificates for one domain in a week (Let's Encrypt: 50).",
    "The server's own certificate may cover the name: try it without --letsencrypt first.",
  ];
}
