// A TCP service of the bench: takes everything, and says at the end how much it was.
const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
console.log(`port ${listener.addr.port}`);

async function take(connection: Deno.TcpConn): Promise<void> {
  using _connection = connection;
  const buffer = new Uint8Array(64 * 1024);
  let total = 0;
  for (let length = await connection.read(buffer); length !== null; length = await connection.read(buffer)) {
    total += length;
  }
  await connection.write(new TextEncoder().encode(`${total}\n`));
  await connection.closeWrite();
}

for await (const connection of listener) {
  take(connection).catch(() => {
    // The load generator went away.
  });
}
