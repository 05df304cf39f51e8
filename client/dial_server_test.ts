import assert from "node:assert/strict";
import { dialServer } from "./dial_server.ts";

Deno.test("dialServer() tells what is wrong with TLS, whatever state the connection is left in", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const closing = (async () => {
    for await (const conn of listener) conn.close();
  })();
  const address = { hostname: "127.0.0.1", port: listener.addr.port, sni: "server.example" };
  const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  for (const ca of [broken, undefined]) {
    await assert.rejects(dialServer({ ...address, ca }), { kind: "SERVER_TLS", message: /"server\.example"/ });
  }
  listener.close();
  await closing;
});

Deno.test("dialServer() tells that nobody listens", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const dial = dialServer({ hostname: "127.0.0.1", port, sni: "server.example", ca: undefined });
  await assert.rejects(dial, { kind: "SERVER_UNREACHABLE" });
});
