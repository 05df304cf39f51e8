import { Socket, type SocketConstructorOpts } from "node:net";
import type { TLSSocket } from "node:tls";
import { allocate, HEADROOM_BYTES } from "../protocol/allocate.ts";
import { StreamResetError } from "../protocol/errors.ts";
import { FRAME_HEADER_ROOM_BYTES } from "../protocol/frame.ts";
import { BULK_BYTES, type Duplex, JOIN_BYTES, type MaybePromise } from "./duplex.ts";
import { Intake } from "./intake.ts";
import { type ReadLevels, ReadQueue, type ReadSource } from "./read_queue.ts";

/** Unread bytes at which we stop reading from the kernel, so that TCP stops the sender, and at which it goes on: low enough not to flutter. */
const READ_LEVELS: ReadLevels = { highBytes: 256 * 1024, lowBytes: 64 * 1024 };
/** Ciphertext per read; more is hardly faster, and each connection keeps as much as it was once given in one piece. */
const CIPHERTEXT_BYTES = 64 * 1024;
/** A closed socket that cannot flush is destroyed after this: a vanished peer must not hold it for ever. */
const CLOSE_FLUSH_TIMEOUT_MS = 5_000;

/** The part of the runtime's socket handle that is used here. */
interface Handle {
  /** Stops and starts reading: `pause()` alone does not hold a TLS socket back. */
  readStop(): unknown;
  readStart(): unknown;
  /** What is read into from now on; an empty one leaves that to the runtime again. */
  useUserBuffer(into: Uint8Array): unknown;
  /** Called with the bytes that came, unless they are in our own memory, or without at the end or an error of reading. */
  onread: (bytes?: ArrayBuffer | Uint8Array) => void;
  /** All bytes so far. */
  getBytesRead(): number;
  /** Not 0 when the connection is no more. */
  getpeername(into: object): number;
}

const NO_BUFFER = new Uint8Array(0);

/**
 * What any TLS connection of the process reads its ciphertext into, which the runtime copies before it returns: else it would allocate
 * 64 KiB for every read, and the garbage collector would take a quarter of a busy server's time.
 */
const ciphertext = new Uint8Array(new ArrayBuffer(CIPHERTEXT_BYTES));

/** Reading from the kernel. */
class Reading implements ReadSource {
  readonly #socket: Socket;
  readonly #handle: Handle | null;

  constructor(socket: Socket, handle: Handle | null) {
    this.#socket = socket;
    this.#handle = handle;
  }

  hold(): void {
    this.#handle?.readStop();
  }

  release(): void {
    if (!this.#socket.destroyed) this.#handle?.readStart();
  }
}

/** Pieces and the header of their frame. */
const JOIN_BUFFER_BYTES = JOIN_BYTES + FRAME_HEADER_ROOM_BYTES;
/** Memory for joining pieces; back here as soon as the kernel has taken them. */
const joinBuffers: ArrayBuffer[] = [new ArrayBuffer(JOIN_BUFFER_BYTES)];

/** Join buffers that are kept, 4 MiB: as many as writes may well be under way at once. */
const MAX_JOIN_BUFFERS = 64;

function keepJoinBuffer(buffer: ArrayBuffer): void {
  if (joinBuffers.length < MAX_JOIN_BUFFERS) joinBuffers.push(buffer);
}

/** A `node:net` or `node:tls` socket as a {@link Duplex}, with real back-pressure in both directions and a real RST. */
export class SocketDuplex implements Duplex {
  /**
   * Takes over a plain socket that nobody reads from, to read into memory of our own. Only in the very event that says it is connected
   * or accepted: a microtask later the runtime may have begun to read, and what comes first would be lost.
   */
  static plain(socket: Socket): SocketDuplex {
    const owner = socket as unknown as { _handle: unknown };
    const intake = new Intake();
    const options = { handle: owner._handle, allowHalfOpen: true, onread: intake.onread };
    owner._handle = null;
    const own = new Socket(options as SocketConstructorOpts);
    return new SocketDuplex(own, { intake });
  }

  /** Takes over a TLS socket whose handshake is done, over the plain one `raw`. */
  static secure(socket: TLSSocket, raw: Socket): SocketDuplex {
    const intake = new Intake();
    return new SocketDuplex(socket, { raw, ...(intake.attach(socket) ? { intake } : {}) });
  }

  readonly closed: Promise<void>;
  readonly headroom: number;
  readonly #socket: Socket;
  readonly #raw: Socket;
  readonly #handle: Handle | null;
  readonly #unread: ReadQueue;
  /** Shared by all writers that wait: a pong may be written between the frames of a stream. */
  #drained: PromiseWithResolvers<void> | null = null;
  #writeEnded: Promise<void> | null = null;
  #writeFinished = false;
  #failure: StreamResetError | null = null;

  /** `raw` is the TCP socket under a TLS one; of a plain socket it is the socket itself. `intake` is what a plain one reads into. */
  constructor(socket: Socket, { raw = socket, intake }: { raw?: Socket; intake?: Intake } = {}) {
    this.headroom = intake === undefined ? 0 : HEADROOM_BYTES;
    this.#socket = socket;
    this.#raw = raw;
    const handle = this.#handle = (raw as unknown as { _handle: Handle | null })._handle;
    this.#unread = new ReadQueue(READ_LEVELS, new Reading(raw, handle));
    this.closed = new Promise((resolve) => {
      if (socket.destroyed) this.#fail("The connection is closed");
      else socket.on("close", () => resolve(this.#onClose()));
      if (socket.destroyed) resolve();
    });
    if (intake !== undefined) intake.into = this.#unread;
    if (intake === undefined || raw !== socket) socket.on("data", (bytes: Uint8Array) => this.#unread.push(bytes));
    socket.on("end", () => this.#unread.end());
    socket.on("error", (error: Error) => this.#onError(error));
    socket.on("drain", () => this.#onDrain());
    socket.resume();
    if (raw === socket) return;
    raw.on("error", (error: Error) => this.#onError(error));
    if (handle !== null) this.#watchForReset(handle);
  }

  read(): MaybePromise<Uint8Array | null> {
    return this.#unread.read();
  }

  write(bytes: Uint8Array): MaybePromise<void> {
    this.#checkWritable();
    if (bytes.length >= BULK_BYTES) return this.#writeBulk(bytes);
    if (this.#socket.write(bytes)) return;
    this.#drained ??= Promise.withResolvers();
    return this.#drained.promise;
  }

  get ready(): boolean {
    return this.#unread.ready;
  }

  /** Puts bytes that were read back in front; while nobody reads. */
  unread(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    // Like all that is read from here it has room in front, which a frame header may be written to.
    const roomy = allocate(bytes.length);
    roomy.set(bytes);
    this.#unread.unread(roomy);
  }

  /**
   * Gives a {@link SocketDuplex.plain} connection back to the runtime, with what was read from the kernel and not taken from here. It ends
   * its life as a duplex: nothing of it may be used any more, and `closed` settles.
   * @throws {StreamResetError} when the connection is gone
   */
  handBack(): Socket {
    const owner = this.#socket as unknown as { _handle: unknown };
    if (this.#failure !== null || !owner._handle) throw this.#fail("The connection is closed");
    this.#handle?.readStop();
    this.#handle?.useUserBuffer(NO_BUFFER); // Else the bytes would still go to our own memory.
    const options = { handle: owner._handle, allowHalfOpen: true };
    owner._handle = null;
    this.#socket.destroy();
    const socket = new Socket(options as SocketConstructorOpts);
    for (const bytes of this.#unread.takeAll().reverse()) socket.unshift(bytes);
    return socket;
  }

  /** One system call for all of them: a copy costs less than a call for each, and less than the runtime's own `writev`. */
  writeAll(pieces: readonly Uint8Array[], length: number): MaybePromise<void> {
    this.#checkWritable();
    const joined = new Uint8Array(joinBuffers.pop() ?? new ArrayBuffer(JOIN_BUFFER_BYTES), 0, length);
    let at = 0;
    for (const piece of pieces) {
      joined.set(piece, at);
      at += piece.length;
    }
    const written = this.#writeBulk(joined);
    if (written === undefined) keepJoinBuffer(joined.buffer);
    else written.then(() => keepJoinBuffer(joined.buffer), () => {/* who waits for the write sees it */});
    return written;
  }

  reuse(bytes: Uint8Array): void {
    if (this.headroom > 0) Intake.reuse(bytes);
  }

  #checkWritable(): void {
    if (this.#failure !== null) throw this.#failure;
    if (this.#writeEnded !== null) throw new StreamResetError("Cannot write as the direction has ended");
  }

  closeWrite(): Promise<void> {
    this.#writeEnded ??= new Promise((resolve) => {
      if (this.#failure !== null) return resolve();
      this.#socket.end(() => {
        this.#writeFinished = true;
        resolve();
      });
      this.closed.then(resolve);
    });
    return this.#writeEnded;
  }

  reset(reason?: unknown): void {
    this.#fail("The connection was reset", reason);
    this.#unread.takeAll();
    this.#raw.resetAndDestroy();
    if (this.#raw !== this.#socket) this.#socket.destroy();
  }

  close(): void {
    if (this.#socket.destroyed) return;
    if (this.#writeEnded === null || !this.#unread.ended) return this.reset();
    if (this.#writeFinished) return void this.#socket.destroy();
    this.#destroyAfterFlush();
  }

  /** Ends our direction and releases the socket once that was sent, whether or not the peer has ended its own. */
  async closeAfterFlush(): Promise<void> {
    if (this.#socket.destroyed) return;
    this.#destroyAfterFlush();
    await this.closed;
  }

  /** Settles when the runtime has let go of the bytes; a plain socket mostly hands them to the kernel at once. */
  #writeBulk(bytes: Uint8Array): MaybePromise<void> {
    // deno-lint-ignore prefer-const -- It is needed only when the bytes wait, which is seen after the write.
    let written: PromiseWithResolvers<void> | undefined;
    this.#socket.write(bytes, (error) => {
      if (error) written?.reject(this.#fail(error.message, error));
      else written?.resolve();
    });
    if (this.#socket.writableLength === 0) return;
    written = Promise.withResolvers();
    return written.promise;
  }

  #destroyAfterFlush(): void {
    const timer = setTimeout(() => this.reset(), CLOSE_FLUSH_TIMEOUT_MS);
    this.closed.then(() => clearTimeout(timer));
    this.closeWrite().then(() => this.#socket.destroy());
  }

  /** Under TLS the runtime shows a TCP reset as a clean end; but a connection that was reset has no peer any more. */
  #watchForReset(handle: Handle): void {
    const { onread } = handle;
    handle.readStop(); // It takes note of the callback when reading starts.
    handle.useUserBuffer(ciphertext);
    let seen = handle.getBytesRead();
    handle.onread = () => {
      const before = seen;
      seen = handle.getBytesRead();
      if (seen > before) return void onread.call(handle, ciphertext);
      const cut = !this.#sawEnd() && handle.getpeername({}) !== 0;
      if (!cut) return void onread.call(handle);
      this.#fail("The connection was reset");
      this.#raw.destroy();
      this.#socket.destroy();
    };
    handle.readStart();
  }

  /** Whether the peer's clean end has come, though we may not have been told yet. */
  #sawEnd(): boolean {
    return (this.#socket as unknown as { _readableState: { ended: boolean } })._readableState.ended;
  }

  #onDrain(): void {
    this.#drained?.resolve();
    this.#drained = null;
  }

  /** Of a TLS connection the runtime leaves the socket beneath open. */
  #onError(error: Error): void {
    this.#fail(error.message, error);
    this.#raw.destroy();
  }

  #onClose(): void {
    if (!this.#unread.ended || !this.#writeFinished) this.#fail("The connection was reset");
  }

  #fail(message: string, cause?: unknown): StreamResetError {
    this.#failure ??= new StreamResetError(message, { cause });
    this.#unread.fail(this.#failure);
    this.#drained?.reject(this.#failure);
    this.#drained = null;
    return this.#failure;
  }
}
