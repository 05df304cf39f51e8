// A TCP service of the bench: sends as fast as it goes once it has heard something, until nobody takes it any more.
const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
console.log(`port ${listener.addr.port}`);

async function give(connection: Deno.TcpConn): Promise<void> {
  using _connection = connection;
  const buffer = new Uint8Array(64 * 1024);
  if (await connection.read(buffer) === null) return;
  buffer.fill(0);
  while (true) {
    for (let sent = 0; sent < buffer.length;) sent += await connection.write(buffer.subarray(sent));
  }
}

for await (const connection of listener) {
  give(connection).catch(() => {
    // The load generator has had enough.
  });
}
