import { readCertificatePair } from "../../net/certificate.ts";
import { ControlChannel } from "../../net/control_channel.ts";
import { Deadline } from "../../net/deadline.ts";
import type { Duplex } from "../../net/duplex.ts";
import { serveFetch } from "../../net/http/fetch_server.ts";
import { testCertificate } from "../../net/testing/certificate.ts";
import { listenTlsFront } from "../../net/tls_front.ts";
import { acceptUpgrade } from "../../net/upgrade.ts";
import { DOORS, INTERNAL_SNI } from "../../protocol/limits.ts";
import type { Hello, Welcome } from "../../protocol/message.ts";

/** A connection to a fake server that was upgraded. */
export interface Upgraded {
  readonly duplex: Duplex;
  readonly initial: Uint8Array;
  readonly bearer: string;
  /** Path and query of the request. */
  readonly target: string;
}

/** A control channel whose hello was answered; disposing closes it. */
export interface Greeted extends AsyncDisposable {
  readonly channel: ControlChannel;
  readonly hello: Hello;
}

/** A server driven by hand: its clients' control channels and data channels, in the order in which they come. */
export interface FakeServer extends AsyncDisposable {
  /** What a client needs to reach it. */
  readonly address: { server: string; ca: string };
  /** What it does with an upgrade of a data channel: answers it, refuses it, or says nothing. */
  data: "accept" | "refuse" | "ignore";
  /** The next control channel, after its hello was answered with a welcome. */
  control(welcome?: Partial<Welcome>): Promise<Greeted>;
  /** The next control channel, on which nothing was said yet. */
  upgradedControl(): Promise<Upgraded>;
  /** The next data channel. */
  dataChannel(): Promise<Upgraded>;
  /** Connections that are open. */
  readonly open: number;
}

/** Listens on a free port. */
export async function fakeServer(): Promise<FakeServer> {
  const certificate = await testCertificate(INTERNAL_SNI);
  const context = readCertificatePair(certificate).context();
  const controls = new Queue<Upgraded>();
  const channels = new Queue<Upgraded>();
  const open = new Set<Duplex>();
  const running = new Set<Promise<void>>();
  const bound = await listenTlsFront({
    ...{ hostname: "127.0.0.1", port: 0, handshakeMs: 10_000 },
    admit: () => ({ [Symbol.dispose]() {} }),
    decide: () => ({
      kind: "terminate",
      context,
      onConnection({ duplex }) {
        open.add(duplex);
        duplex.closed.then(() => open.delete(duplex));
        const served = serveFetch(duplex, () => new Response("no", { status: 404 }), {
          async onUpgrade(upgrade) {
            const isControl = upgrade.head.target === DOORS.control;
            if (!isControl && server.data === "refuse") {
              return Response.json({ error: { code: "E3010", message: "gone" } }, { status: 401 });
            }
            const bearer = upgrade.head.fields.get("authorization")?.slice("Bearer ".length) ?? "";
            const answer = acceptUpgrade(upgrade);
            const initial = upgrade.take().slice();
            if (!isControl && server.data === "ignore") return void untilEnd(duplex);
            await duplex.write(answer);
            (isControl ? controls : channels).push({ duplex, initial, bearer, target: upgrade.head.target });
            return undefined;
          },
        }).finally(() => running.delete(served));
        running.add(served);
      },
    }),
  });
  const server: FakeServer = {
    address: { server: `127.0.0.1:${bound.address.port}`, ca: certificate.authority },
    data: "accept",
    get open() {
      return open.size;
    },
    async control(welcome = {}) {
      const { duplex, initial } = await controls.next();
      const channel = new ControlChannel(duplex, { client: false, secure: true, initial });
      const hello = await channel.receive();
      if (hello?.kind !== "hello") throw new Error(`Cannot take "${hello?.kind}" as a hello`);
      await channel.send({ ...WELCOME, ...welcome });
      return { channel, hello, [Symbol.asyncDispose]: () => channel.close() };
    },
    upgradedControl: () => controls.next(),
    dataChannel: () => channels.next(),
    async [Symbol.asyncDispose]() {
      await bound[Symbol.asyncDispose]();
      for (const duplex of open) duplex.reset();
      await Promise.all(running);
    },
  };
  return server;
}

/** Says nothing, and closes when the client has. */
async function untilEnd(duplex: Duplex): Promise<void> {
  try {
    while (await duplex.read() !== null);
  } catch {
    // Reset is closed as well.
  }
  duplex.reset();
}

/** What a fake server says to every hello. */
const WELCOME: Welcome = {
  kind: "welcome",
  session: "session-1",
  secret: "secret-1",
  resumed: false,
  tunnel: { id: "tunnel-1", name: "calm-fox", hostname: "calm-fox-12345.example.com" },
  server: { hostname: "example.com", version: "0", domain: "example.com", httpPort: 80, tlsPort: 443 },
  limits: { rules: 1000, networks: 1000, streams: 1024 },
  heartbeatMs: 60_000,
};

/** Who waits for something that does not come fails after this. */
const PATIENCE_MS = 20_000;

class Queue<T> {
  readonly #items: T[] = [];
  readonly #waiting: ((item: T) => void)[] = [];

  push(item: T): void {
    const waiter = this.#waiting.shift();
    if (waiter === undefined) this.#items.push(item);
    else waiter(item);
  }

  async next(): Promise<T> {
    const item = this.#items.shift();
    if (item !== undefined) return item;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#waiting.push(resolve);
    using _deadline = new Deadline(PATIENCE_MS, () => reject(new Error("Cannot wait any longer: nobody came")));
    return await promise;
  }
}
