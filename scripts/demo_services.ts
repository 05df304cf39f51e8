/** A local service and the port of 127.0.0.1 where it is. */
export interface DemoService extends AsyncDisposable {
  readonly port: number;
}

/** A web service as somebody would have it on a laptop: a page, and an echo at `/echo`. */
export function startWebService(): DemoService {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, answer);
  return { port: server.addr.port, [Symbol.asyncDispose]: () => server.shutdown() };
}

async function answer(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname === "/echo") return new Response(request.body, { headers: { "content-type": "text/plain" } });
  if (pathname !== "/") return new Response("There is no such page\n", { status: 404 });
  const visitor = request.headers.get("x-forwarded-for") ?? "somebody";
  const lines = [
    "Hello from a service that only listens on 127.0.0.1.",
    `It was asked for ${request.headers.get("host")} by ${visitor}.`,
  ];
  if (!request.headers.get("accept")?.includes("text/html")) {
    return new Response(lines.map((line) => `${line}\n`).join(""));
  }
  const page = `<!doctype html><title>Hello</title><h1>Hello</h1>${
    lines.map((line) => `<p>${escapeHtml(line)}</p>`).join("")
  }`;
  return new Response(page, { headers: { "content-type": "text/html; charset=utf-8" } });
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** A TCP service: greets, then sends every byte back, letters as capitals. */
export function startTcpService(): DemoService {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.TcpConn>();
  const accepting = accept(listener, open);
  return {
    port: listener.addr.port,
    async [Symbol.asyncDispose]() {
      listener.close();
      await accepting;
      for (const connection of open) connection.close();
    },
  };
}

async function accept(listener: Deno.TcpListener, open: Set<Deno.TcpConn>): Promise<void> {
  for await (const connection of listener) {
    open.add(connection);
    shout(connection).catch(() => {
      // The visitor went away.
    }).finally(() => {
      if (open.delete(connection)) connection.close();
    });
  }
}

async function shout(connection: Deno.TcpConn): Promise<void> {
  await writeAll(connection, new TextEncoder().encode("Hello from a local TCP service. Type something.\n"));
  const buffer = new Uint8Array(16 * 1024);
  for (let length = await connection.read(buffer); length !== null; length = await connection.read(buffer)) {
    const bytes = buffer.subarray(0, length);
    for (const [index, byte] of bytes.entries()) if (byte >= 0x61 && byte <= 0x7a) bytes[index] = byte - 0x20;
    await writeAll(connection, bytes);
  }
}

async function writeAll(connection: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes.length;) sent += await connection.write(bytes.subarray(sent));
}
