import assert from "node:assert/strict";
import { SILENT } from "../net/log.ts";
import { adminApp, listenAdmin } from "./admin.ts";

const PARTS = { metrics: () => "spokes_up 1\n", log: SILENT };

Deno.test("/readyz tells whether work is taken, and why not", async () => {
  const server = { reason: "" };
  const app = adminApp({
    ...PARTS,
    ready: () => Promise.resolve(server.reason === "" ? { ready: true } : { ready: false, reason: server.reason }),
  });
  assert.equal((await app.request("/readyz")).status, 200);
  server.reason = "draining";
  const refused = await app.request("/readyz");
  assert.equal(refused.status, 503);
  assert.equal(await refused.text(), "draining\n");
});

Deno.test("there is nothing but health and metrics", async () => {
  const app = adminApp({ ...PARTS, ready: () => Promise.resolve({ ready: true }) });
  assert.equal((await app.request("/healthz")).status, 200);
  assert.equal(await (await app.request("/metrics")).text(), "spokes_up 1\n");
  for (const path of ["/", "/debug", "/metrics/../x", "/tunnel/v1/enrol"]) {
    assert.equal((await app.request(path)).status, 404, path);
  }
});

Deno.test("on loopback, a name that somebody made point here is refused (DNS rebinding)", async () => {
  const admin = listenAdmin({ hostname: "127.0.0.1", port: 0 }, {
    ...PARTS,
    ready: () => Promise.resolve({ ready: true }),
  });
  try {
    const { port } = admin.address;
    const right = await fetch(`http://localhost:${port}/healthz`);
    assert.equal(right.status, 200);
    await right.body?.cancel();
    const conn = await Deno.connect({ port });
    await conn.write(
      new TextEncoder().encode(`GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n`),
    );
    const answer = await new Response(conn.readable).text();
    assert.match(answer, /^HTTP\/1\.1 421 /);
    assert.doesNotMatch(answer, /spokes_up/);
  } finally {
    await admin.close();
  }
});
