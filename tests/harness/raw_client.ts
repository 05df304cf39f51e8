import { ConnDuplex } from "../../net/conn_duplex.ts";
import { ControlChannel } from "../../net/control_channel.ts";
import { requestUpgrade } from "../../net/upgrade.ts";
import { DOORS, INTERNAL_SNI } from "../../protocol/limits.ts";
import type { ControlMessage, ControlMessageOf, Hello, UnknownMessage, Welcome } from "../../protocol/message.ts";
import type { Enrolment } from "../../client/enrol.ts";
import { within } from "./wait.ts";

/** Dials the tunnel endpoint: TLS as a client does it, and nothing more. */
export async function dialEndpoint(port: number, { ca }: { ca?: string | undefined }): Promise<ConnDuplex> {
  const tcp = await Deno.connect({ hostname: "127.0.0.1", port });
  tcp.setNoDelay(true);
  const tls = await Deno.startTls(tcp, { hostname: INTERNAL_SNI, ...(ca === undefined ? {} : { caCerts: [ca] }) });
  return new ConnDuplex(tls);
}

/** A client driven by hand, which may break every rule. */
export class RawClient implements AsyncDisposable {
  readonly transport: ConnDuplex;
  readonly control: ControlChannel;

  constructor(transport: ConnDuplex, control: ControlChannel) {
    this.transport = transport;
    this.control = control;
  }

  /** Dials a control channel; nothing is said on it yet. */
  static async dial(port: number, identity: Enrolment, { token = identity.token } = {}): Promise<RawClient> {
    const transport = await dialEndpoint(port, identity);
    try {
      const initial = await requestUpgrade(transport, { host: INTERNAL_SNI, path: DOORS.control, bearer: token });
      return new RawClient(transport, new ControlChannel(transport, { client: true, secure: true, initial }));
    } catch (error) {
      transport.reset();
      throw error;
    }
  }

  /** Says hello, and gives what the server says to that. */
  async hello(parts: Partial<Hello> = {}): Promise<ControlMessage | UnknownMessage | null> {
    await this.control.send(helloOf(parts));
    return await within(this.control.receive(), "an answer to hello");
  }

  /** Says hello, and gives the welcome. */
  async join(parts: Partial<Hello> = {}): Promise<Welcome> {
    const answer = await this.hello(parts);
    if (answer?.kind !== "welcome") throw new Error(`Cannot join: ${JSON.stringify(answer)}`);
    return answer;
  }

  /** The next message of a kind; others are passed over. */
  async next<K extends ControlMessage["kind"]>(kind: K): Promise<ControlMessageOf<K>> {
    for (;;) {
      const message = await within(this.control.receive(), kind);
      if (message === null) throw new Error(`Cannot receive "${kind}" as the channel has ended`);
      if (message.kind === kind) return message as ControlMessageOf<K>;
    }
  }

  /** Reads until the server has ended the channel; gives its `bye`, if it said one. */
  async ended(): Promise<ControlMessageOf<"bye"> | null> {
    let bye: ControlMessageOf<"bye"> | null = null;
    try {
      for (;;) {
        const message = await within(this.control.receive(), "the end of the channel");
        if (message === null) return bye;
        if (message.kind === "bye") bye = message;
      }
    } catch (error) {
      if (bye === null && !(error instanceof Error && error.name === "StreamResetError")) throw error;
      return bye;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.transport.reset();
    await this.transport.closed;
  }
}

/** A hello as a client of ours would say it. */
export function helloOf(parts: Partial<Hello> = {}): Hello {
  return {
    kind: "hello",
    protocol: 1,
    instance: "instance-1",
    role: "serve",
    version: "0",
    os: "linux",
    arch: "x86_64",
    host: "raw.example",
    features: [],
    ...parts,
  };
}

/** A data channel's connection, upgraded with this credential. */
export async function dialData(
  port: number,
  identity: Enrolment,
  { credential, opener = "server" }: { credential: string; opener?: string },
): Promise<{ transport: ConnDuplex; initial: Uint8Array }> {
  const transport = await dialEndpoint(port, identity);
  try {
    const path = `${DOORS.data}?opener=${opener}`;
    const initial = await requestUpgrade(transport, { host: INTERNAL_SNI, path, bearer: credential });
    return { transport, initial };
  } catch (error) {
    transport.reset();
    throw error;
  }
}
