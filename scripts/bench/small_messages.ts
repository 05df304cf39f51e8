/** What is sent to and fro: a key press, a game move, a small RPC. */
const MESSAGE_BYTES = 64;
/** Connections that are opened at once; each is closed before the next. */
const PARALLEL_CONNECTIONS = 16;
const WARM_UP_ROUNDS = 200;

/** One-way times in ms (half of each round trip) of small messages on one connection to an echo service. */
export async function pingPong(port: number, rounds: number): Promise<number[]> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  connection.setNoDelay(true);
  const message = new Uint8Array(MESSAGE_BYTES).fill(0x61);
  const buffer = new Uint8Array(MESSAGE_BYTES);
  const times: number[] = [];
  for (let round = 0; round < rounds + WARM_UP_ROUNDS; round++) {
    const start = performance.now();
    await connection.write(message);
    await readExactly(connection, buffer);
    if (round >= WARM_UP_ROUNDS) times.push((performance.now() - start) / 2);
  }
  return times;
}

/** Connections a second: each is opened, carries one small message to an echo service and back, and is closed. */
export async function newConnections(port: number, seconds: number): Promise<number> {
  const start = performance.now();
  const end = start + seconds * 1_000;
  let count = 0;
  async function work(): Promise<void> {
    const message = new Uint8Array(MESSAGE_BYTES).fill(0x61);
    const buffer = new Uint8Array(MESSAGE_BYTES);
    while (performance.now() < end) {
      using connection = await Deno.connect({ hostname: "127.0.0.1", port });
      connection.setNoDelay(true);
      await connection.write(message);
      await readExactly(connection, buffer);
      count++;
    }
  }
  await Promise.all(Array.from({ length: PARALLEL_CONNECTIONS }, work));
  return count / ((performance.now() - start) / 1_000);
}

/** Opens connections to an echo service, all at once; gives the ms until each has had its answer, with all of them still open. */
export async function answeredAtOnce(port: number, count: number): Promise<number> {
  using stack = new DisposableStack();
  const start = performance.now();
  async function open(): Promise<void> {
    const connection = stack.use(await Deno.connect({ hostname: "127.0.0.1", port }));
    await connection.write(new Uint8Array(MESSAGE_BYTES).fill(0x61));
    await readExactly(connection, new Uint8Array(MESSAGE_BYTES));
  }
  await Promise.all(Array.from({ length: count }, open));
  return performance.now() - start;
}

async function readExactly(connection: Deno.TcpConn, buffer: Uint8Array): Promise<void> {
  for (let at = 0; at < buffer.length;) {
    const length = await connection.read(buffer.subarray(at));
    if (length === null) throw new Error("Cannot measure: the echo ended");
    at += length;
  }
}
