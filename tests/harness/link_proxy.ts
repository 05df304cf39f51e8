import net from "node:net";
import { eventually, within } from "./wait.ts";

/** One connection that goes through a {@link LinkProxy}. */
export interface Link {
  /** Whether both ends are gone. */
  readonly closed: boolean;
  /** Whether the server's end has ended or reset it. */
  readonly endedByServer: boolean;
  /** Bytes from the client and to the client. */
  readonly bytes: { readonly up: number; readonly down: number };
  /** Resets both ends. */
  cut(): void;
  /** From now on no byte and no end goes either way, and nobody is told: a link whose cable was pulled. */
  freeze(): void;
}

/** A TCP proxy between a client and a server, whose links can be cut or made black holes. */
export interface LinkProxy extends AsyncDisposable {
  readonly port: number;
  /** `127.0.0.1:port`, as a client dials it. */
  readonly address: string;
  /** In the order in which they came. A session's first link is its control channel. */
  readonly links: readonly Link[];
  /** What becomes of new links: they are joined, reset at once, or taken and left without an answer. */
  accept: "join" | "reset" | "ignore";
  /** The link at `index`, now or later. */
  link(index: number): Promise<Link>;
}

/** Listens on a free port and joins what comes to `port`. */
export async function linkProxy(port: number): Promise<LinkProxy> {
  const links: ProxyLink[] = [];
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const link = new ProxyLink(socket, proxy.accept === "join" ? port : null);
    links.push(link);
    if (proxy.accept === "reset") link.cut();
  });
  const ready = Promise.withResolvers<void>();
  server.listen({ host: "127.0.0.1", port: 0 }, () => ready.resolve());
  await within(ready.promise, "a proxy to listen");
  const own = (server.address() as net.AddressInfo).port;
  const proxy: LinkProxy = {
    port: own,
    address: `127.0.0.1:${own}`,
    links,
    accept: "join",
    link: (index) => eventually(() => links[index], `link ${index}`),
    async [Symbol.asyncDispose](): Promise<void> {
      const closed = new Promise<void>((done) => server.close(() => done()));
      for (const link of links) link.cut();
      await Promise.all([closed, ...links.map((link) => link.gone)]);
    },
  };
  return proxy;
}

class ProxyLink implements Link {
  readonly bytes = { up: 0, down: 0 };
  readonly gone: Promise<unknown>;
  endedByServer = false;
  #frozen = false;
  readonly #near: net.Socket;
  readonly #far: net.Socket | null;

  constructor(near: net.Socket, port: number | null) {
    this.#near = near;
    this.#far = port === null ? null : net.connect({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true });
    const far = this.#far;
    this.gone = Promise.all([near, far].map((socket) => socket === null ? null : whenClosed(socket)));
    near.on("error", () => this.#pass(() => far?.resetAndDestroy()));
    if (far === null) return;
    far.on("error", () => this.#pass(() => near.resetAndDestroy()));
    for (const event of ["end", "close"]) far.once(event, () => this.endedByServer = true);
    this.#join(near, far, "up");
    this.#join(far, near, "down");
  }

  get closed(): boolean {
    return this.#near.destroyed && (this.#far?.destroyed ?? true);
  }

  cut(): void {
    this.#near.resetAndDestroy();
    this.#far?.resetAndDestroy();
  }

  freeze(): void {
    this.#frozen = true;
  }

  #pass(action: () => void): void {
    if (!this.#frozen) action();
  }

  #join(from: net.Socket, to: net.Socket, direction: "up" | "down"): void {
    from.on("data", (bytes) => {
      // What the kernel acknowledged is lost, as in a middle box that died.
      if (this.#frozen) return;
      this.bytes[direction] += bytes.length;
      if (to.write(bytes)) return;
      from.pause();
      to.once("drain", () => from.resume());
    });
    from.once("end", () => this.#pass(() => to.end()));
    from.once("close", () => this.#pass(() => void to.destroy()));
  }
}

function whenClosed(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}
