// The TCP service of the bench: everything comes back at once.
const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
console.log(`port ${listener.addr.port}`);

async function echo(connection: Deno.TcpConn): Promise<void> {
  using _connection = connection;
  connection.setNoDelay(true);
  const buffer = new Uint8Array(16 * 1024);
  for (let length = await connection.read(buffer); length !== null; length = await connection.read(buffer)) {
    for (let sent = 0; sent < length;) sent += await connection.write(buffer.subarray(sent, length));
  }
}

for await (const connection of listener) {
  echo(connection).catch(() => {
    // The load generator went away.
  });
}
