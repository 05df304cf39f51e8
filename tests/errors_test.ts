import assert from "node:assert/strict";
import { join } from "node:path";
import {
  connectTcp,
  freePort,
  type HttpResponse,
  httpTarget,
  request,
  startServer,
  startTunnel,
  tcpTarget,
  tempDir,
  type TestServer,
} from "./harness.ts";

/** The code of a page of the edge, as JSON. */
function codeOf({ text, status }: HttpResponse): string {
  const page = JSON.parse(text);
  assert.equal(page.status, status);
  return `${status} ${page.code}`;
}

function ask(server: TestServer, host: string, options: { from?: string } = {}): Promise<HttpResponse> {
  return request(server.httpPort, { host, fields: { Accept: "application/json" }, ...options });
}

Deno.test("what goes wrong at the target reaches the visitor and both logs with its code", async () => {
  await using folder = await tempDir();
  await using garbage = await tcpTarget(async (wire) => {
    await wire.readUntil("\r\n\r\n");
    await wire.send("220 mail.example.com ESMTP\r\n\r\n");
  });
  await using closing = await tcpTarget(async (wire) => void await wire.readUntil("\r\n\r\n"));
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  const cases = [
    [`127.0.0.1:${await freePort()}`, "502 E2001", /connection refused/],
    ["no-such-host.invalid:80", "502 E2003", /no-such-host\.invalid:80/],
    [`unix:${join(folder.path, "missing.sock")}`, "502 E2004", /missing\.sock/],
    [closing.address, "502 E2007", /./],
    [garbage.address, "502 E2008", /./],
  ] as const;
  for (const [target, expected, reason] of cases) {
    const from = server.log.entries.length;
    const host = await tunnel.http(target);
    const answer = await ask(server, host);
    assert.equal(codeOf(answer), expected, `${target}: ${answer.text}`);
    const code = expected.slice(4);
    const { fields } = await server.log.waitFor("request failed", { host, code }, { from });
    assert.match(`${fields["reason"] ?? fields["error"]}`, reason);
    assert.equal(fields["visitor"], "127.0.0.1");
    // Where the target is concerns nobody outside.
    assert.deepEqual(Object.keys(JSON.parse(answer.text)), ["status", "code", "title", "fix"], answer.text);
  }
  for (const code of ["E2001", "E2003", "E2004"]) await tunnel.log.waitFor("target failed", { code });
  // A folder that is not there is seen before any visitor comes: its rule stays closed.
  await assert.rejects(tunnel.http(join(folder.path, "no-folder")), /E5008.*does not exist/);
  await tunnel.log.waitFor("rule closed", { code: "E5008" });
  // None of it has hurt the session.
  await using web = await httpTarget(() => new Response("well"));
  assert.equal((await ask(server, await tunnel.http(web.address))).text, "well");
});

Deno.test("a target that says nothing in time is 504", async () => {
  await using silent = await tcpTarget();
  await using server = await startServer({ limits: { stallMs: 300, openAnswerMs: 300 } });
  await using tunnel = await startTunnel(server);
  assert.equal(codeOf(await ask(server, await tunnel.http(silent.address))), "504 E2002");
  // The same when it cannot even be connected to: this one never says anything in TLS.
  assert.equal(codeOf(await ask(server, await tunnel.http(`https://127.0.0.1:${silent.port}`))), "504 E2002");
});

Deno.test("a visitor of TCP is closed at once when its target cannot be reached", async () => {
  await using folder = await tempDir();
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  const targets = [
    [`127.0.0.1:${await freePort()}`, "E2001"],
    ["no-such-host.invalid:80", "E2003"],
    [`unix:${join(folder.path, "missing.sock")}`, "E2004"],
  ] as const;
  const port = await tunnel.tcp(targets[0][0]);
  for (const [target, code] of targets) {
    await tunnel.tcp(target, { port });
    await using visitor = await connectTcp(port);
    await visitor.send("hello").catch(() => {/* it is closed already */});
    const { bytes } = await visitor.readToEnd();
    assert.equal(bytes.length, 0, target);
    await server.log.waitFor("visitor cut", { code, rule: `tcp/${port}` });
    await tunnel.log.waitFor("target failed", { code });
  }
});

Deno.test("an unknown host is 404, a tunnel that is away 503, and it comes back by itself", async () => {
  await using web = await httpTarget(() => new Response("back"));
  await using server = await startServer();
  const host = await (async () => {
    await using tunnel = await startTunnel(server);
    const domain = await tunnel.http(web.address, { domain: `shop.${server.domain}` });
    await tunnel.tunnel.stop();
    assert.equal(codeOf(await ask(server, tunnel.hostname)), "503 E1503");
    assert.equal(codeOf(await ask(server, `any.${tunnel.hostname}`)), "503 E1503");
    const offline = await ask(server, domain);
    assert.equal(codeOf(offline), "503 E1503");
    assert.equal(offline.get("retry-after"), "5");
    await using again = await startTunnel(server, [{ kind: "http", target: web.address, domain }], {
      identity: tunnel.identity,
    });
    assert.equal((await ask(server, domain)).text, "back");
    // Without its rule the name has nobody who would answer, though its owner is here.
    await again.publish([]);
    assert.equal(codeOf(await ask(server, domain)), "404 E1404");
    return domain;
  })();
  assert.equal(codeOf(await ask(server, host)), "503 E1503");
  for (const unknown of ["nobody.tunnels.localhost", "tunnels.localhost", "example.com", "127.0.0.1", "localhost"]) {
    assert.equal(codeOf(await ask(server, unknown)), "404 E1404", unknown);
  }
});

Deno.test("pages are HTML for people and JSON for programs, and no page shows what a visitor made up", async () => {
  await using server = await startServer();
  const page = await request(server.httpPort, { host: "nobody.tunnels.localhost", path: "/<script>alert(1)</script>" });
  assert.equal(page.get("content-type"), "text/html; charset=utf-8");
  assert.match(page.text, /E1404/);
  assert.doesNotMatch(page.text, /alert/);
  const bad = await request(server.httpPort, { host: "<script>" });
  assert.equal(bad.status, 400);
  assert.doesNotMatch(bad.text, /<script>/);
});
