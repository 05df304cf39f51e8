import assert from "node:assert/strict";
import { AcmeTransport } from "./acme_transport.ts";
import { fetchRenewalInfo, renewalId, type RenewalInfo } from "./renewal_info.ts";
import { type FakeCa, startFakeCa } from "./testing/fake_ca.ts";
import { identifiedCertificate, RENEWAL_ID } from "./testing/identified_certificate.ts";
import { testCertificate } from "../testing/certificate.ts";

const START = "2030-01-02T04:00:00Z";
const END = "2030-01-03T04:00:00Z";

async function ask(answer: Response, resources: object = {}): Promise<{ info: RenewalInfo | undefined; ca: FakeCa }> {
  await using ca: FakeCa = await startFakeCa((request) =>
    request.url.endsWith("/dir") ? Response.json({ renewalInfo: `${ca.origin}/info`, ...resources }) : answer
  );
  using transport = new AcmeTransport({ ca: ca.ca });
  const signal = new AbortController().signal;
  return { info: await fetchRenewalInfo(transport, { directory: `${ca.origin}/dir`, id: RENEWAL_ID, signal }), ca };
}

Deno.test("renewalId() of the example in RFC 9773 is what the RFC says", async () => {
  const text = await identifiedCertificate("a.example.com");
  assert.equal(await renewalId(text.slice(text.indexOf("-----BEGIN CERTIFICATE"))), RENEWAL_ID);
  assert.equal(await renewalId((await testCertificate("a.example.com")).certificate), undefined);
});

Deno.test("fetchRenewalInfo() gives the CA's window, and when to ask again", async () => {
  const body = { suggestedWindow: { start: START, end: END } };
  const { info, ca } = await ask(Response.json(body, { headers: { "retry-after": "21600" } }));
  assert.deepEqual(info, { window: { start: new Date(START), end: new Date(END) }, askAgainMs: 21_600_000 });
  assert.deepEqual(ca.asked, ["GET /dir", `GET /info/${RENEWAL_ID}`]);
  // A CA cannot make us ask without a pause.
  assert.equal((await ask(Response.json(body, { headers: { "retry-after": "0" } }))).info?.askAgainMs, 60_000);
});

Deno.test("fetchRenewalInfo() gives nothing of a CA that has no such information", async () => {
  const { info, ca } = await ask(new Response(), { renewalInfo: undefined });
  assert.equal(info, undefined);
  assert.deepEqual(ca.asked, ["GET /dir"]);
});

Deno.test("fetchRenewalInfo() takes no window that is none, and no address that is not https", async () => {
  for (const suggestedWindow of [undefined, null, {}, { start: END, end: START }, { start: "x", end: "y" }, 5]) {
    await assert.rejects(
      ask(Response.json({ suggestedWindow })),
      { kind: "ACME_REFUSED" },
      JSON.stringify(suggestedWindow),
    );
  }
  await assert.rejects(ask(new Response("", { status: 404 })), { kind: "ACME_REFUSED" });
  await assert.rejects(ask(new Response(), { renewalInfo: "http://ca.example/info" }), { message: /not an https/ });
});
