import { ControlChannel } from "../../net/control_channel.ts";
import { DataChannel } from "../../net/data_channel.ts";
import type { Duplex } from "../../net/duplex.ts";
import { SILENT } from "../../net/log.ts";
import { memoryPair } from "../../net/memory_duplex.ts";
import { CodedError } from "../../protocol/errors.ts";
import type { ControlMessage, ControlMessageOf, Hello, Welcome } from "../../protocol/message.ts";
import type { StreamOpen } from "../../protocol/stream_message.ts";
import { ControlLoop, type ControlLoopParts } from "../control_loop.ts";
import { DomainLooks } from "../domain_looks.ts";
import { DomainProofs } from "../domain_proofs.ts";
import { DEFAULT_SERVER_LIMITS, type ServerLimits } from "../limits.ts";
import type { Dns } from "../dns.ts";
import { Services } from "../mesh/services.ts";
import type { PublishedRule } from "../published_rule.ts";
import { Router } from "../router.ts";
import type { Session } from "../session.ts";
import { Sessions } from "../sessions.ts";
import { setUpState, type StateSetup } from "../state/testing/state_setup.ts";
import type { Tunnel } from "../state/tunnels.ts";
import type { ChannelStream } from "../../net/channel_stream.ts";

/** Everything behind the tunnel endpoint, in memory. */
export interface SessionSetup extends AsyncDisposable {
  readonly state: StateSetup["state"];
  readonly store: StateSetup["store"];
  /** Another process on the same store. */
  readonly another: StateSetup["another"];
  readonly clock: StateSetup["clock"];
  readonly sessions: Sessions;
  readonly router: Router;
  readonly services: Services;
  readonly looks: DomainLooks;
  readonly proofs: DomainProofs;
  readonly mesh: ControlLoopParts["mesh"];
  /** The DNS: TXT records by name; a name without an entry has none. */
  readonly records: Map<string, string[]>;
  /** Why names have no certificate. */
  readonly faults: Map<string, CodedError>;
  /** Ports that are open, with their rules. */
  readonly ports: Map<number, PublishedRule>;
  /** Sessions that ended, with the reason. */
  readonly ended: (readonly [session: Session, error: CodedError])[];
  enrolled(): Promise<Tunnel>;
  /** A control channel of a tunnel whose token was accepted; `highWaterMark` is what fits into its connection. */
  dial(tunnel: Tunnel, options?: { highWaterMark?: number }): Peer;
}

/** The client's end of a control channel. */
export interface Peer {
  readonly control: ControlChannel;
  readonly transport: Duplex;
  /** Settles when the server has done with it. */
  readonly served: Promise<void>;
  /** Whether it still counts as a connection without a session. */
  readonly admitted: boolean;
  /** Says hello and gives the welcome. */
  join(parts?: Partial<Hello>): Promise<Welcome>;
  /** The next message of a kind; others are passed over. */
  next<K extends ControlMessage["kind"]>(kind: K): Promise<ControlMessageOf<K>>;
}

/** Sets a server's sessions up without a network. */
export async function setUpSessions(limits: Partial<ServerLimits> = {}): Promise<SessionSetup> {
  const setup = await setUpState();
  const { state } = setup;
  const router = new Router(() => false);
  const services = new Services();
  const ports = new Map<number, PublishedRule>();
  const faults = new Map<string, CodedError>();
  const ended: SessionSetup["ended"] = [];
  const peers: Peer[] = [];
  const resolved = { ...DEFAULT_SERVER_LIMITS, ...limits };
  const sessions = new Sessions({
    limits: resolved,
    log: SILENT,
    exists: (id) => state.tunnels.exists(id),
    onJoin() {},
    onEnd: (session, error) => ended.push([session, error]),
    publishing: {
      ...{ state, router, services, log: SILENT },
      addressOf: () => "",
      certificates: { assertServable() {}, faultOf: (name) => faults.get(name) },
      onTlsRules() {},
      ports: {
        open(port, rule) {
          if (ports.has(port)) return Promise.reject(new CodedError("PORT_IN_USE"));
          ports.set(port, rule);
          return Promise.resolve();
        },
        close: (port) => void ports.delete(port),
      },
    },
  });
  const records = new Map<string, string[]>();
  const dns: Dns = {
    txt: (name) => Promise.resolve([{ resolver: "test", records: records.get(name) ?? [] }]),
    addresses: () => Promise.resolve(["192.0.2.1"]),
  };
  const looks = new DomainLooks({
    ...{ state, dns, log: SILENT, now: () => setup.clock.now },
    tell: (tunnel, notice) => void sessions.serving(tunnel)?.send({ kind: "notice", ...notice }),
  });
  const mesh = { services: () => ({ services: [] }), check: () => {} };
  const proofs = new DomainProofs({ state, looks, dns, edge: "edge.example.test" });
  const watch = state.names.watchProven((domain) => void sessions.refreshDomain(domain));
  const lost = state.serviceNames.watchLost((name, owner) => void sessions.refreshService(name, owner));
  const about = { hostname: "example.test", version: "0", domain: "example.test", httpPort: 80, tlsPort: 443 };
  return {
    ...{
      state,
      store: setup.store,
      another: setup.another,
      clock: setup.clock,
      sessions,
      router,
      services,
      looks,
      ...{ proofs, mesh },
      records,
      faults,
      ports,
      ended,
    },
    enrolled: () => setup.tunnel().then(({ tunnel }) => tunnel),
    dial(tunnel, options = {}) {
      const [near, far] = memoryPair(options);
      let admitted = true;
      const loop = new ControlLoop({ state, sessions, proofs, mesh, limits: resolved, log: SILENT, about }, {
        tunnel,
        control: new ControlChannel(near, { client: false, secure: true }),
        from: "192.0.2.1",
        admitted: { [Symbol.dispose]: () => void (admitted = false) },
      });
      const control = new ControlChannel(far, { client: true, secure: true });
      const peer: Peer = {
        ...{ control, transport: far, served: loop.run() },
        get admitted() {
          return admitted;
        },
        async join(parts = {}) {
          await control.send({ ...HELLO, ...parts });
          const answer = await control.receive();
          if (answer?.kind !== "welcome") throw new Error(`Cannot join: ${JSON.stringify(answer)}`);
          return answer;
        },
        async next(kind) {
          for (;;) {
            const message = await control.receive();
            if (message === null) throw new Error(`Cannot receive "${kind}" as the channel has ended`);
            if (message.kind === kind) return message as never;
          }
        },
      };
      peers.push(peer);
      return peer;
    },
    async [Symbol.asyncDispose]() {
      watch[Symbol.dispose]();
      lost[Symbol.dispose]();
      await looks[Symbol.asyncDispose]();
      proofs[Symbol.dispose]();
      for (const { transport } of peers) transport.reset();
      await Promise.all(peers.map(({ served }) => served));
      await Promise.all(sessions.all.map((session) => session.end(new CodedError("SERVER_DRAINING"))));
      await setup[Symbol.asyncDispose]();
    },
  };
}

/** A client's hello. */
export const HELLO: Hello = {
  ...{ kind: "hello", protocol: 1, instance: "instance-1", role: "serve" },
  ...{ version: "0", os: "linux", arch: "x86_64", host: "raspberry", features: [] },
};

/** Attaches a data channel to a session; its client's end answers streams with `onStream`. */
export function attachChannel(
  session: Session,
  onStream: (stream: ChannelStream, open: StreamOpen) => Promise<void>,
): DataChannel {
  const [near, far] = memoryPair();
  session.attachChannel(near, new Uint8Array(0), { secure: true });
  return new DataChannel(far, { client: true, opener: false, secure: true, onStream });
}
