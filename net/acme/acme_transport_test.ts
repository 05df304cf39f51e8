import assert from "node:assert/strict";
import { AcmeTransport, type AcmeTransportOptions, retryAfterMs } from "./acme_transport.ts";
import { startFakeCa } from "./testing/fake_ca.ts";
import { freePorts } from "../testing/free_port.ts";

const signal = new AbortController().signal;

async function get(
  url: string,
  options: AcmeTransportOptions,
  by = signal,
): Promise<{ status: number; data: unknown }> {
  using transport = new AcmeTransport(options);
  return await transport.request(url, { method: "get", signal: by });
}

Deno.test("a CA is asked over https only, and a private one needs its authority (security R48)", async () => {
  await using server = await startFakeCa(() => Response.json({ a: 1 }));
  const { origin, ca } = server;
  await assert.rejects(get(origin.replace("https", "http"), { ca }), { kind: "ACME_REFUSED", message: /not an https/ });
  await assert.rejects(get(origin, {}), { kind: "ACME_UNREACHABLE", message: /does not answer: .*certificate/i });
  assert.deepEqual(server.asked, []);
  assert.deepEqual((await get(origin, { ca })).data, { a: 1 });
});

Deno.test("a redirect is not followed: it could lead out of TLS", async () => {
  await using server = await startFakeCa(() => Response.redirect("http://127.0.0.1:1/", 302));
  assert.equal((await get(server.origin, { ca: server.ca })).status, 302);
});

Deno.test("an answer without an end is cut off", async () => {
  await using server = await startFakeCa(() => {
    const body = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65_536)) });
    return new Response(body);
  });
  await assert.rejects(get(server.origin, { ca: server.ca }), {
    kind: "ACME_REFUSED",
    message: /more than 1048576 bytes/,
  });
});

Deno.test("a CA that does not answer is given up, by time and by signal", async () => {
  const silence = Promise.withResolvers<Response>();
  await using server = await startFakeCa(() => silence.promise);
  const { origin, ca } = server;
  await assert.rejects(get(origin, { ca, timeoutMs: 50 }), {
    kind: "ACME_UNREACHABLE",
    message: /nothing within 50 ms/,
  });
  const reason = new Error("told to");
  const controller = new AbortController();
  const answer = assert.rejects(get(origin, { ca }, controller.signal), reason);
  controller.abort(reason);
  await answer;
  silence.resolve(new Response());
});

Deno.test("a CA that cannot be reached, and an authority that is none, are told apart", async () => {
  const [port] = freePorts(1);
  const url = `https://127.0.0.1:${port}/`;
  await assert.rejects(get(url, {}), {
    kind: "ACME_UNREACHABLE",
    message: /^the CA 127\.0\.0\.1:\d+ does not answer: .*refused/i,
  });
  await assert.rejects(get(url, { ca: "no PEM" }), { kind: "CERTIFICATE_INVALID" });
});

Deno.test("retryAfterMs() reads seconds and dates, and believes in a day at most", () => {
  const now = Date.parse("2030-01-01T00:00:00Z");
  assert.equal(retryAfterMs("120", now), 120_000);
  assert.equal(retryAfterMs("Tue, 01 Jan 2030 00:01:00 GMT", now), 60_000);
  assert.equal(retryAfterMs("999999", now), 86_400_000);
  for (const odd of [undefined, "", "soon", "-1", "1e9", "Mon, 31 Dec 2029 00:00:00 GMT"]) {
    assert.equal(retryAfterMs(odd, now), undefined, odd);
  }
});
