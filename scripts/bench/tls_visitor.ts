import tls from "node:tls";

/** Connections that shake hands at once. */
const PARALLEL_HANDSHAKES = 16;
/** Enough for any ClientHello of this runtime. */
const MAX_HELLO_BYTES = 16 * 1024;

/** Connects to a port of this machine and asks for a name; settles when the handshake is done. Certificates are not looked at, as by wrk. */
export async function connectTls(port: number, servername: string): Promise<tls.TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = tls.connect({ host: "127.0.0.1", port, servername, rejectUnauthorized: false });
  socket.once("secureConnect", resolve);
  socket.on("error", reject);
  socket.once("close", () => reject(new Error("Cannot measure: the connection was closed")));
  await promise;
  return socket;
}

/** Full TLS handshakes a second, some at a time; each connection is closed by both sides before the next. */
export async function newHandshakes(port: number, servername: string, seconds: number): Promise<number> {
  const start = performance.now();
  const end = start + seconds * 1_000;
  let count = 0;
  async function work(): Promise<void> {
    while (performance.now() < end) {
      const socket = await connectTls(port, servername);
      if (socket.isSessionReused()) throw new Error("Cannot measure: a handshake was not a full one");
      const closed = new Promise((resolve) => socket.once("close", resolve));
      socket.end();
      socket.resume();
      await closed;
      count++;
    }
  }
  await Promise.all(Array.from({ length: PARALLEL_HANDSHAKES }, work));
  return count / ((performance.now() - start) / 1_000);
}

/** What a real visitor who asks for a name sends first. */
export async function clientHello(servername: string): Promise<Uint8Array> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const socket = tls.connect({ host: "127.0.0.1", port: listener.addr.port, servername });
  socket.on("error", () => {}); // Nobody answers it.
  using connection = await listener.accept();
  const buffer = new Uint8Array(MAX_HELLO_BYTES);
  let length = 0;
  // The record's header says how long it is.
  while (length < 5 || length < 5 + buffer[3]! * 256 + buffer[4]!) {
    length += await connection.read(buffer.subarray(length)) ?? NaN;
  }
  socket.destroy();
  return buffer.subarray(0, length);
}
