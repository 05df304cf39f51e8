import {
  type ClientEvent,
  type ClientHttpRule,
  type ClientRule,
  type ClientTcpRule,
  connect,
  type ConnectOptions,
  enrol,
  type Enrolment,
  type FirewallRule,
  parseInvite,
  type RuleState,
  type Tunnel,
} from "../../mod.ts";
import { CapturedLog } from "./captured_log.ts";
import { within } from "./wait.ts";

/** How a test's tunnel differs from the usual one. */
export type TunnelSetup = Partial<ConnectOptions> & {
  /** An identity that was enrolled before, in place of a new one. */
  identity?: Enrolment;
  /** An invite in place of one without restrictions. */
  invite?: string;
};

/** A client in this process, connected. */
export interface TestTunnel extends AsyncDisposable {
  readonly tunnel: Tunnel;
  readonly hostname: string;
  /** Who it is, and where its server is: for `connect()` or another `startTunnel()`. */
  readonly identity: Enrolment;
  readonly address: { server: string; sni?: string; ca?: string };
  readonly log: CapturedLog;
  readonly events: readonly ClientEvent[];
  /** What became of the first rules. */
  readonly states: readonly RuleState[];
  /** Publishes these rules and no others. @throws when one is not active */
  publish(rules: readonly ClientRule[]): Promise<void>;
  /** Adds a rule for a domain (default: the assigned one) to those that are published, or replaces it; gives the domain. */
  http(target: ClientHttpRule["target"], options?: Partial<ClientHttpRule>): Promise<string>;
  /** Adds a rule for a port (default: a new one), or replaces it; gives the port. */
  tcp(target: string, options?: { port?: number; firewall?: readonly FirewallRule[] }): Promise<number>;
}

/** Enrols with an invite and connects; resolves when the rules are published. With no rules the default page is. */
export async function startTunnel(
  server: { invite(): Promise<string> },
  rules: readonly ClientRule[] = [],
  { identity, invite, ...options }: TunnelSetup = {},
): Promise<TestTunnel> {
  const invitation = parseInvite(invite ?? await server.invite());
  const enrolment = identity ?? await enrol(invitation, invitation.token);
  const address = {
    server: invitation.server,
    ...(invitation.sni === undefined ? {} : { sni: invitation.sni }),
    ...(enrolment.ca === undefined ? {} : { ca: enrolment.ca }),
  };
  const log = new CapturedLog();
  const events: ClientEvent[] = [];
  const published = Promise.withResolvers<readonly RuleState[]>();
  const tunnel = await connect({
    ...address,
    token: enrolment.token,
    rules,
    logger: log,
    ...options,
    onEvent(event) {
      events.push(event);
      options.onEvent?.(event);
      if (event.kind === "rules") published.resolve(event.states);
    },
  });
  let current = rules;
  async function publish(wanted: readonly ClientRule[]): Promise<void> {
    current = wanted;
    const bad = (await tunnel.setRules(wanted)).find(({ state }) => state !== "active");
    if (bad !== undefined) throw new Error(`Cannot publish ${bad.id}: ${bad.code} ${bad.message}`);
  }
  try {
    const serving = (options.role ?? "serve") === "serve";
    const states = serving ? await within(published.promise, "the rules to be published") : [];
    return {
      ...{ tunnel, hostname: tunnel.hostname, identity: enrolment, address, log, events, states, publish },
      async http(target, more = {}) {
        const rule: ClientHttpRule = { kind: "http", domain: tunnel.hostname, target, ...more };
        const others = current.filter((each) =>
          each.kind !== "http" || (each.domain ?? tunnel.hostname) !== rule.domain
        );
        await publish([...others, rule]);
        return rule.domain!;
      },
      async tcp(target, more = {}) {
        const port = more.port ?? (await tunnel.request("port.allocate", {})).port;
        const rule: ClientTcpRule = { kind: "tcp", port, target, ...(more.firewall && { firewall: more.firewall }) };
        const others = current.filter((each) => each.kind !== "tcp" || each.port !== port);
        await publish([...others, rule]);
        return port;
      },
      [Symbol.asyncDispose]: () => tunnel.stop(),
    };
  } catch (error) {
    await tunnel.stop();
    throw error;
  }
}
