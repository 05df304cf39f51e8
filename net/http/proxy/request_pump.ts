import type { Duplex } from "../../duplex.ts";
import { cleanTrailers } from "../hop_by_hop.ts";
import type { HttpReader } from "../http_reader.ts";
import { bodyDecoder } from "../../../protocol/http/body.ts";
import type { BodyDecoder } from "../../../protocol/http/body_decoder.ts";
import type { Fields, KeyedField } from "../../../protocol/http/field.ts";
import type { Framing } from "../../../protocol/http/framing.ts";
import { latin1Bytes } from "../../../protocol/http/serialise.ts";
import { framedWrites } from "./framed_writes.ts";
import { bodyTooLarge } from "./rule_options.ts";

/** What is kept of a request's body, so that it can be sent once more. */
const MAX_HELD_BYTES = 64 * 1024;

/** A body slower than this holds a target up for nothing (slow POST; Apache's mod_reqtimeout is as strict). */
const MIN_BYTES_PER_S = 240;
/** Before so much waiting for the visitor its rate is not judged. */
const RATE_GRACE_MS = 30_000;

/** What a pump tells. */
export interface RequestPumpOptions {
  /** Bytes of the body moved, and not too slowly. */
  readonly onProgress: () => void;
  /** The visitor's side failed: cut, not HTTP, or too long. */
  readonly onFailure: (error: unknown) => void;
  /** The most that the body may have, without its framing. */
  readonly maxBytes?: number | undefined;
  /** Milliseconds. @default performance.now */
  readonly now?: () => number;
  /** Which trailers go on, of those that may. */
  readonly keepsTrailer?: ((field: KeyedField) => boolean) | undefined;
}

/**
 * Moves the body of one request from the visitor to a target while somebody else reads the answer. It keeps the first 64 KiB, so that
 * the request can be replayed to another stream when the first was closed by its target.
 */
export class RequestPump {
  readonly #reader: HttpReader;
  readonly #decoder: BodyDecoder;
  readonly #chunked: boolean;
  readonly #options: RequestPumpOptions;
  readonly #now: () => number;
  #held: Uint8Array[] = [];
  /** Bytes of the body that have come. */
  #bytes = 0;
  /** How long the visitor was waited for, ms. */
  #waitedMs = 0;
  #head: string | undefined;
  #stream: Duplex | undefined;
  #running: Promise<void> = Promise.resolve();
  /** While the request is replayed, nothing new is written. */
  #replaying: Promise<void> | undefined;
  /** Resolves when the stream that failed was replaced, or nothing is wanted any more. */
  #replaced: PromiseWithResolvers<void> | undefined;
  #stopped = false;
  #waiting = false;
  #sent = false;

  constructor(reader: HttpReader, framing: Framing, options: RequestPumpOptions) {
    this.#reader = reader;
    this.#decoder = bodyDecoder(framing, "request");
    this.#chunked = framing.kind === "chunked";
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Whether all that was read of the body is still held. */
  get holds(): boolean {
    return this.#bytes <= MAX_HELD_BYTES;
  }

  /** Whether the whole body was read from the visitor. */
  get complete(): boolean {
    return this.#decoder.done;
  }

  /** Whether the whole body was written to the target. */
  get sent(): boolean {
    return this.#sent;
  }

  /** Whether it is the visitor that is waited for. */
  get waitsForVisitor(): boolean {
    return this.#waiting;
  }

  /** Sends the head, and from now on the body as it comes. */
  async start(stream: Duplex, head: string): Promise<void> {
    this.#stream = stream;
    // What is here already leaves together with the head.
    if (this.#reader.buffered > 0) this.#head = head;
    else await stream.write(latin1Bytes(head));
    this.#running = this.#run();
  }

  /** Sends everything once more to another stream, and goes on there. Only while it holds all. */
  async replay(stream: Duplex, head: string): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.#replaying = done.promise;
    try {
      await stream.write(latin1Bytes(head));
      for (const bytes of this.#held) await stream.write(bytes);
      this.#stream = stream;
      this.#sent = this.#decoder.done;
    } finally {
      this.#replaying = undefined;
      done.resolve();
      this.#replaced?.resolve();
      this.#replaced = undefined;
    }
  }

  /** Takes no more than the piece it is waiting for, and settles when that has come: the visitor can be read by others then. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#replaced?.resolve();
    await this.#running;
  }

  async #run(): Promise<void> {
    try {
      while (!this.#stopped && !this.#sent && await this.#move());
    } catch (error) {
      if (!this.#stopped) this.#options.onFailure(error);
    }
  }

  async #move(): Promise<boolean> {
    this.#waiting = true;
    const from = this.#now();
    const pieces = await this.#reader.readBody(this.#decoder);
    this.#waitedMs += this.#now() - from;
    this.#waiting = false;
    if (this.#replaying !== undefined) await this.#replaying;
    if (this.#stopped) return false;
    this.#count(pieces);
    const end = this.#decoder.done;
    const trailers = end ? this.#trailers() : undefined;
    const writes = framedWrites({ head: this.#head, pieces, chunked: this.#chunked, end, trailers });
    this.#hold(pieces, { end, writes });
    this.#head = undefined;
    await this.#writeAll(writes);
    if (this.#stopped) return false;
    this.#sent = end;
    if (!this.#isTooSlow()) this.#options.onProgress();
    return !end;
  }

  #isTooSlow(): boolean {
    return this.#waitedMs > RATE_GRACE_MS && this.#bytes < MIN_BYTES_PER_S * this.#waitedMs / 1_000;
  }

  #count(pieces: readonly Uint8Array[] | null): void {
    for (const piece of pieces ?? []) this.#bytes += piece.length;
    const { maxBytes = Infinity } = this.#options;
    if (this.#bytes > maxBytes) throw bodyTooLarge(maxBytes);
  }

  #trailers(): Fields | undefined {
    return cleanTrailers(this.#decoder.trailers, this.#options.keepsTrailer);
  }

  /** Keeps a copy, since the bytes are only lent. The head is not part of it. */
  #hold(
    pieces: readonly Uint8Array[] | null,
    { end, writes }: { end: boolean; writes: readonly Uint8Array[] },
  ): void {
    if (!this.holds) {
      this.#held = [];
      return;
    }
    const trailers = end ? this.#trailers() : undefined;
    const bare = this.#head === undefined
      ? writes
      : framedWrites({ head: undefined, pieces, chunked: this.#chunked, end, trailers });
    for (const bytes of bare) this.#held.push(this.#chunked ? bytes : bytes.slice());
  }

  /** What is held is part of a replay: when the stream was replaced meanwhile, the rest was sent with it. */
  async #writeAll(writes: readonly Uint8Array[]): Promise<void> {
    const stream = this.#stream;
    for (const bytes of writes) {
      try {
        await stream?.write(bytes);
      } catch {
        // Who reads from the stream learns the same, and decides what becomes of the request.
        if (this.#stream === stream && !this.#stopped) await (this.#replaced ??= Promise.withResolvers()).promise;
      }
      if (this.#stream !== stream || this.#stopped) return;
    }
  }
}
