import net from "node:net";
import type { ChannelStream } from "../../../net/channel_stream.ts";
import { readCertificatePair } from "../../../net/certificate.ts";
import { Challenges } from "../../../net/acme/challenges.ts";
import { DataChannel } from "../../../net/data_channel.ts";
import type { Duplex } from "../../../net/duplex.ts";
import { listen } from "../../../net/listen.ts";
import { SILENT } from "../../../net/log.ts";
import { memoryPair } from "../../../net/memory_duplex.ts";
import { pipe } from "../../../net/pipe.ts";
import { SocketDuplex } from "../../../net/socket_duplex.ts";
import { queuedWrites } from "../../../net/testing/queued_writes.ts";
import { sharedCertificate, TEST_NAME } from "../../../net/testing/socket_pairs.ts";
import { CodedError } from "../../../protocol/errors.ts";
import type { StreamOpen } from "../../../protocol/stream_message.ts";
import type { ServerCertificates } from "../../certificates/server_certificates.ts";
import { ConnectionCounter } from "../../connection_counter.ts";
import { HttpEdge } from "../../edge/http_edge.ts";
import { identifier } from "../../edge/identify.ts";
import { TlsEdge } from "../../edge/tls_edge.ts";
import { HttpUpstreams } from "../../http_upstreams.ts";
import { DEFAULT_SERVER_LIMITS, type ServerLimits } from "../../limits.ts";
import { Metrics } from "../../metrics.ts";
import type { PublishedRule, StreamOpener } from "../../published_rule.ts";
import { Router } from "../../router.ts";
import type { MeshOptions } from "../access.ts";
import type { LookUp } from "../look_up.ts";
import { Mesh } from "../mesh.ts";
import { OwnAddresses } from "../own_addresses.ts";
import { Services } from "../services.ts";

/** A mesh with its edges, and without sessions: rules are put online by hand. */
export interface MeshSetup extends AsyncDisposable {
  readonly mesh: Mesh;
  readonly services: Services;
  readonly router: Router;
  readonly metrics: Metrics;
  /** Publishes a rule. */
  online(rule: PublishedRule, options?: { below?: boolean }): PublishedRule;
  /** Takes it back, as the end of its session does. */
  offline(rule: PublishedRule): void;
}

/** How the mesh is set up. */
export interface MeshSetupOptions {
  mesh?: MeshOptions | false;
  lookUp?: LookUp;
  limits?: Partial<ServerLimits>;
  patienceMs?: number;
  /** Ports of the server itself. */
  ownPorts?: readonly number[];
}

export function setUpMesh(options: MeshSetupOptions = {}): MeshSetup {
  const limits = { ...DEFAULT_SERVER_LIMITS, ...options.limits };
  const [services, router, metrics] = [new Services(), new Router(() => false), new Metrics()];
  const counter = new ConnectionCounter({ perAddress: 100, total: 100, exempt: () => false });
  const common = { router, visitors: counter, identify: identifier([]), limits, metrics, log: SILENT };
  const http = new HttpEdge({
    ...{
      ...common,
      challenges: new Challenges(),
      manages: () => false,
      isReady: () => true,
      tlsPort: () => 443,
      trustedProxies: () => true,
    },
  });
  const tls = new TlsEdge({
    ...{
      ...common,
      hostname: "tunnel.test",
      isSealed: () => false,
      undecided: counter,
      unauthenticated: counter,
      certificates: CERTIFICATES,
    },
    ...{ toEndpoint() {}, toHttp() {}, toHttpFromMesh: (visit, name) => http.serveMesh(visit, name) },
  });
  const own = new OwnAddresses({
    names: [],
    ports: () => (options.ownPorts ?? []).map((port) => ({ from: port, to: port })),
    lookUp: () => Promise.resolve([]),
  });
  const mesh = new Mesh({
    ...{ services, router, edges: { http, tls }, own, limits, log: SILENT },
    lookUp: options.lookUp ?? (() => Promise.resolve([])),
    ...(options.patienceMs === undefined ? {} : { patienceMs: options.patienceMs }),
  }, options.mesh ?? {});
  return {
    ...{ mesh, services, router, metrics },
    online(rule, { below = false } = {}) {
      services.add(rule);
      if (rule.rule.kind === "http") {
        rule.upstreams = new HttpUpstreams(rule);
        router.add(rule.rule.domain, rule, { below, hidden: rule.rule.private === true });
      }
      return rule;
    },
    offline(rule) {
      services.remove(rule);
      if (rule.rule.kind === "http") router.remove(rule.rule.domain, rule);
      rule.withdraw(new CodedError("TUNNEL_OFFLINE"));
    },
    async [Symbol.asyncDispose]() {
      for (const { visits } of [mesh, http, tls]) await visits.cut();
      await own[Symbol.asyncDispose]();
      for (const channel of channels) channel.close();
      channels.clear();
      // What was attached to them hears of it.
      await new Promise((resolve) => setTimeout(resolve));
    },
  };
}

/** One certificate, for {@link TEST_NAME}, made when it is first asked for. */
const CERTIFICATES = {
  lookup: (name: string) => name === TEST_NAME ? certificate : undefined,
} as unknown as ServerCertificates;
let certificate: ReturnType<typeof readCertificatePair> | undefined;

/** To be awaited before a test of TLS. */
export async function prepareCertificate(): Promise<string> {
  const shared = await sharedCertificate();
  certificate ??= readCertificatePair(shared);
  return shared.authority;
}

/** What a client does with the streams that it is opened. */
export type OnStream = (stream: ChannelStream, open: StreamOpen) => Promise<void>;

/** Those of all sessions of a test. */
const channels = new Set<DataChannel>();

/** A session that opens each stream on a channel of its own; what it was asked to open is kept. */
export function opener(onStream: OnStream): Pick<StreamOpener, "open"> & { readonly opens: StreamOpen[] } {
  const opens: StreamOpen[] = [];
  return {
    opens,
    open(message) {
      // A visitor's socket may hold what it was given for a while, as it may of a real channel.
      const [near, far] = memoryPair({ keep: true });
      opens.push({ kind: "open", ...message });
      new DataChannel(queuedWrites(far), { client: true, opener: false, secure: true, onStream });
      const channel = new DataChannel(queuedWrites(near), { client: false, opener: true, secure: true });
      channels.add(channel);
      return Promise.resolve(channel.open(message));
    },
  };
}

/** Joins a stream to a local port, as clients do. */
export function toPort(port: number): OnStream {
  return async (stream) => {
    const target = await connect(port);
    await stream.accept();
    await pipe(stream, target, { lingerMs: 10_000 }).catch(() => {
      // Both ends were reset, which is what the test is about.
    });
  };
}

/** Sends back what it gets. */
export async function echo(stream: ChannelStream): Promise<void> {
  await stream.accept();
  for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) await stream.write(bytes);
  await stream.closeWrite();
}

/** A server on a local port that says hello and what it gets. */
export async function localServer(
  greeting = "hello ",
): Promise<AsyncDisposable & { port: number; readonly count: number }> {
  const running = new Set<Promise<void>>();
  const open = new Set<SocketDuplex>();
  let count = 0;
  const bound = await listen({ hostname: "127.0.0.1", port: 0 }, (socket) => {
    const duplex = SocketDuplex.plain(socket);
    count++;
    open.add(duplex);
    const served = greet(duplex, greeting).finally(() => running.delete(served));
    running.add(served);
  });
  return {
    port: bound.address.port,
    get count() {
      return count;
    },
    async [Symbol.asyncDispose]() {
      await bound[Symbol.asyncDispose]();
      for (const each of open) each.reset();
      await Promise.all(running);
    },
  };
}

async function greet(duplex: SocketDuplex, greeting: string): Promise<void> {
  try {
    await duplex.write(encode(greeting));
    for (let bytes = await duplex.read(); bytes !== null; bytes = await duplex.read()) await duplex.write(bytes);
    await duplex.closeWrite();
  } catch {
    // Reset by the peer.
  }
  duplex.close();
}

/** Connects to a local port. */
export function connect(port: number): Promise<SocketDuplex> {
  const { promise, resolve, reject } = Promise.withResolvers<SocketDuplex>();
  const socket = net.connect({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true });
  socket.once("error", reject);
  socket.once("connect", () => {
    socket.off("error", reject);
    resolve(SocketDuplex.plain(socket));
  });
  return promise;
}

/** Writes, ends the direction, and gives all that comes back. */
export async function exchange(duplex: Duplex, text: string): Promise<string> {
  await duplex.write(encode(text));
  await duplex.closeWrite();
  return await readAll(duplex);
}

/** All that comes until the clean end. */
export async function readAll(duplex: Duplex): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for (let bytes = await duplex.read(); bytes !== null; bytes = await duplex.read()) {
    text += decoder.decode(bytes.slice());
  }
  return text;
}

export function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** A port on which nobody listens; it was free a moment ago. */
export async function closedPort(): Promise<number> {
  const bound = await listen({ hostname: "127.0.0.1", port: 0 }, (socket) => socket.destroy());
  await bound[Symbol.asyncDispose]();
  return bound.address.port;
}

/** The signal of somebody who waits. */
export function waiting(): { signal: AbortSignal } {
  return { signal: new AbortController().signal };
}
