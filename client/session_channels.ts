import type { Duplex } from "../net/duplex.ts";
import type { Destination } from "../protocol/destination.ts";
import { Channels, type ChannelsOptions } from "./channels.ts";
import { OutgoingChannels, type OutgoingChannelsOptions } from "./outgoing_channels.ts";

/** All data channels of one session: those on which the server opens streams, and those on which the client does. */
export class SessionChannels {
  readonly #incoming: Channels;
  readonly #outgoing: OutgoingChannels;

  constructor(options: ChannelsOptions & OutgoingChannelsOptions) {
    this.#incoming = new Channels(options);
    this.#outgoing = new OutgoingChannels(options);
  }

  /** The server asks for that many more. */
  open(count: number): void {
    this.#incoming.open(count);
  }

  /** Opens a stream into the mesh. @throws {CodedError} as {@link OutgoingChannels.open} */
  connect(destination: Destination, options: { signal?: AbortSignal }): Promise<Duplex> {
    return this.#outgoing.open(destination, options);
  }

  /** Several times a second: looks after liveness. */
  sweep(now: number): void {
    this.#incoming.sweep(now);
    this.#outgoing.sweep(now);
  }

  /** The control channel was resumed: finds out which channels survived. */
  pingAll(): void {
    this.#incoming.pingAll();
    this.#outgoing.pingAll();
  }

  /** Settles when no stream is under way. */
  async idle(): Promise<void> {
    await Promise.all([this.#incoming.idle(), this.#outgoing.idle()]);
  }

  /** Ends every channel without loss; takes and opens no new streams. */
  async retire(): Promise<void> {
    await Promise.all([this.#incoming.retire(), this.#outgoing.retire()]);
  }

  /** Closes everything; running streams are reset. */
  async end(): Promise<void> {
    await Promise.all([this.#incoming.end(), this.#outgoing.end()]);
  }
}
