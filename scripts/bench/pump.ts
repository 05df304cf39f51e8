/** As much at once as the programs of the tunnel read at most. */
const CHUNK_BYTES = 64 * 1024;

/** What is pumped, and where. */
export interface PumpOptions {
  readonly port: number;
  /** What goes first, for whoever decides by it where the connection leads. */
  readonly head: Uint8Array;
  readonly seconds: number;
}

/** Gbit/s from here to a {@link file://./sink.ts sink}, on one connection; until it has told how much came. */
export async function pumpUp({ port, head, seconds }: PumpOptions): Promise<number> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const chunk = new Uint8Array(CHUNK_BYTES);
  const start = performance.now();
  let total = head.length;
  await writeAll(connection, head);
  for (const end = start + seconds * 1_000; performance.now() < end; total += chunk.length) {
    await writeAll(connection, chunk);
  }
  await connection.closeWrite();
  const told = Number(await new Response(connection.readable).text());
  if (told !== total) throw new Error(`Cannot measure: ${told} bytes came of ${total}`);
  return gbits(total, start);
}

/** Gbit/s from a {@link file://./source.ts source} to here, on one connection. */
export async function pumpDown({ port, head, seconds }: PumpOptions): Promise<number> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await writeAll(connection, head);
  const chunk = new Uint8Array(CHUNK_BYTES);
  const start = performance.now();
  let total = 0;
  for (const end = start + seconds * 1_000; performance.now() < end;) {
    const length = await connection.read(chunk);
    if (length === null) throw new Error("Cannot measure: the source ended");
    total += length;
  }
  return gbits(total, start);
}

async function writeAll(connection: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
}

function gbits(bytes: number, start: number): number {
  return bytes * 8 / 1e6 / (performance.now() - start);
}
