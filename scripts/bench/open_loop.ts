import type { Entrance } from "./load.ts";
import { startMetronome } from "./metronome.ts";

/** What to send, and how often. */
export interface OpenLoopOptions {
  readonly ratePerSecond: number;
  readonly seconds: number;
  readonly connections: number;
}

/** Times of the first part are left out: connections and the machine are cold. */
const WARM_UP_SHARE = 0.2;
/**
 * Sends GET requests at a given rate whatever the answers do (an open loop), and gives the time of each in ms. A request that
 * is due while every connection is busy is counted from when it was due: a stall is seen by all who would have come.
 */
export async function openLoopLatencies(entrance: Entrance, options: OpenLoopOptions): Promise<number[]> {
  const { ratePerSecond, seconds, connections } = options;
  const times: number[] = [];
  const first = await Lane.open(entrance);
  const lanes = [first, ...await Promise.all(Array.from({ length: connections - 1 }, () => Lane.open(entrance)))];
  const idle = [...lanes];
  const start = performance.now();
  const end = start + seconds * 1_000;
  const counted = start + seconds * 1_000 * WARM_UP_SHARE;
  let due = start;
  /** When the queue of requests that found no connection began; 0 when there is none. */
  let late = false;
  const done = Promise.withResolvers<void>();

  function pump(): void {
    const now = performance.now();
    while (due <= now && due < end) {
      const lane = idle.pop();
      if (lane === undefined) {
        late = true;
        return;
      }
      const from = late ? due : now;
      due += 1_000 / ratePerSecond;
      lane.exchange().then(() => {
        if (from >= counted) times.push(performance.now() - from);
        idle.push(lane);
        pump();
      }, done.reject);
    }
    late = false;
    if (now >= end && idle.length === lanes.length) done.resolve();
  }
  using _metronome = startMetronome(1_000 / ratePerSecond, pump);
  try {
    await done.promise;
  } finally {
    for (const lane of lanes) lane.close();
  }
  return times;
}

/** One keep-alive connection, one request at a time. */
class Lane {
  readonly #connection: Deno.TcpConn;
  readonly #request: Uint8Array;
  readonly #buffer = new Uint8Array(64 * 1024);
  /** All answers of these services are equally long. */
  #answerBytes = 0;

  constructor(connection: Deno.TcpConn, request: Uint8Array) {
    this.#connection = connection;
    this.#request = request;
  }

  static async open({ port, host = "127.0.0.1" }: Entrance): Promise<Lane> {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    connection.setNoDelay(true);
    const lane = new Lane(connection, new TextEncoder().encode(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`));
    await lane.#learn();
    return lane;
  }

  async exchange(): Promise<void> {
    await this.#connection.write(this.#request);
    let missing = this.#answerBytes;
    while (missing > 0) {
      const length = await this.#connection.read(this.#buffer);
      if (length === null) throw new Error("Cannot measure: the connection was closed");
      missing -= length;
    }
    if (missing < 0) throw new Error("Cannot measure: the answer was longer than the first one");
  }

  close(): void {
    this.#connection.close();
  }

  async #learn(): Promise<void> {
    await this.#connection.write(this.#request);
    let text = "";
    while (true) {
      const length = await this.#connection.read(this.#buffer);
      if (length === null) throw new Error("Cannot measure: the connection was closed");
      text += new TextDecoder("latin1").decode(this.#buffer.subarray(0, length));
      const body = /\r\ncontent-length: *(\d+)\r\n/i.exec(text)?.[1];
      const head = text.indexOf("\r\n\r\n");
      if (head >= 0 && !text.startsWith("HTTP/1.1 200")) throw new Error(`Cannot measure: ${text.slice(0, 40)}`);
      if (head >= 0 && body === undefined) throw new Error("Cannot measure: the answer has no Content-Length");
      if (head < 0 || text.length < head + 4 + Number(body)) continue;
      this.#answerBytes = text.length;
      return;
    }
  }
}
