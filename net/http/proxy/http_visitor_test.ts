import assert from "node:assert/strict";
import { Drain } from "../../drain.ts";
import { CodedError } from "../../../protocol/errors.ts";
import { Edge } from "./testing/http_proxy.ts";

const GET = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const FORWARDED = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a.example\r\n" +
  "Forwarded: for=203.0.113.9;host=a.example;proto=http\r\n";

Deno.test("a request and its answer go through re-serialised, with the forwarding fields of the edge", async () => {
  await using edge = new Edge();
  await edge.visitor.send(
    "GET /a?b HTTP/1.1\r\nhost: a.example\r\nX-CamelCase:  kept \r\nX-Forwarded-For: 1.2.3.4\r\nX_Real_IP: 1\r\n\r\n",
  );
  const target = await edge.target(0);
  assert.equal(await target.head(), `GET /a?b HTTP/1.1\r\nhost: a.example\r\nX-CamelCase: kept\r\n${FORWARDED}\r\n`);
  await target.send(
    "HTTP/1.1 200 Fine\r\nX-A:1\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\nConnection: X-B\r\nX-B: 2\r\n\r\nhi",
  );
  assert.equal(await edge.visitor.until(/hi$/), "HTTP/1.1 200 Fine\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nhi");
});

Deno.test("requests on one connection are served in turn, on an attached stream, also when pipelined", async () => {
  await using edge = new Edge();
  await edge.visitor.send(GET + GET);
  const target = await edge.target(0);
  for (let i = 0; i < 2; i++) {
    await target.head();
    await target.send(OK);
  }
  await edge.visitor.until(/hi[^]*hi$/);
  assert.deepEqual([edge.streams.length, edge.streams[0]?.released], [1, 2]);
});

Deno.test("every request is routed by its own canonical host", async () => {
  const hosts: string[] = [];
  await using edge = new Edge({
    decide: (host) => {
      hosts.push(host);
      return { kind: "refused", error: new CodedError("UNKNOWN_HOST") };
    },
  });
  for (const host of ["A.Example.", "b.example:8080"]) {
    await edge.visitor.send(`GET / HTTP/1.1\r\nHost: ${host}\r\nAccept: application/json\r\n\r\n`);
    await edge.visitor.until(/"code":"E1404"[^]*}\n/);
  }
  await edge.visitor.end();
  await edge.serving;
  assert.deepEqual(hosts, ["a.example", "b.example"]);
  assert.deepEqual(edge.exchanges.map(({ status }) => status), [404, 404]);
});

Deno.test("the visitor's address comes from a trusted proxy, for routing, forwarding and the stream", async () => {
  const addresses: string[] = [];
  await using edge = new Edge({
    address: "10.0.0.1",
    trustedProxies: (address) => address === "10.0.0.1",
    decide: (_host, address) => void addresses.push(address),
    onStream: (_stream, { address }) => void addresses.push(address),
  });
  await edge.visitor.send(
    "GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 1.1.1.1, 198.51.100.7\r\nX-Forwarded-Proto: https\r\n\r\n",
  );
  assert.match(await (await edge.target(0)).head(), /X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n/);
  assert.deepEqual(addresses, ["198.51.100.7", "198.51.100.7"]);
});

Deno.test("the Host of a rule replaces the visitor's towards the target, which still learns the visitor's", async () => {
  await using edge = new Edge({ hostHeader: "internal:81" });
  await edge.visitor.send(GET);
  const head = await (await edge.target(0)).head();
  assert.match(head, /\r\nHost: internal:81\r\n/);
  assert.match(head, /X-Forwarded-Host: a\.example\r\n/);
});

Deno.test("what is not one unambiguous request gets its error and a close, and nothing is forwarded", async () => {
  for (
    const [text, status] of [
      ["GET / HTTP/1.1\r\n\r\n", 400],
      ["GET / HTTP/1.0\r\n\r\n", 400],
      ["GET / HTTP/1.1\nHost: a\n\n", 400],
      ["POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400],
      ["POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501],
      [`GET /${"a".repeat(9_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414],
      [`GET / HTTP/1.1\r\nHost: a\r\n${"A: b\r\n".repeat(100)}\r\n`, 431],
      ["GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505],
      ["\x16\x03\x01\x02\x00\x01", 400],
    ] as const
  ) {
    await using edge = new Edge();
    await edge.visitor.send(text + GET);
    const answer = await edge.visitor.all();
    assert.ok(answer.startsWith(`HTTP/1.1 ${status} `), answer);
    assert.match(answer, /\r\nConnection: close\r\n/);
    assert.match(answer, /\r\nCache-Control: no-store\r\n/);
    assert.equal(answer.match(/^HTTP\/1.1 \d/gm)?.length, 1);
    assert.equal(edge.streams.length, 0);
  }
});

Deno.test("Connection: close and HTTP/1.0 end the connection after the answer, keep-alive in 1.0 does not", async () => {
  for (
    const [head, field] of [["GET / HTTP/1.1\r\nHost: a\r\nConnection: close", "close"], [
      "GET / HTTP/1.0\r\nHost: a",
      "close",
    ]]
  ) {
    await using edge = new Edge();
    await edge.visitor.send(`${head}\r\n\r\n${GET}`);
    const target = await edge.target(0);
    assert.doesNotMatch(await target.head(), /\r\nConnection:/);
    await target.send(OK);
    assert.equal(await edge.visitor.all(), `HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: ${field}\r\n\r\nhi`);
    // The target's connection stays useful for others.
    assert.equal(edge.streams[0]?.released, 1);
  }
  await using edge = new Edge();
  const old = "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
  await edge.visitor.send(old + old);
  const target = await edge.target(0);
  for (let i = 0; i < 2; i++) {
    await target.head();
    await target.send(OK);
    assert.match(await edge.visitor.until(/hi$/), /\r\nConnection: keep-alive\r\n/);
  }
});

Deno.test("a target that will not be reused is given back as finished, and the visitor stays", async () => {
  for (
    const answer of [
      "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
      "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    ]
  ) {
    await using edge = new Edge();
    await edge.visitor.send(GET);
    const first = await edge.target(0);
    await first.head();
    await first.send(answer);
    assert.equal(await edge.visitor.until(/hi$/), OK);
    assert.deepEqual([edge.streams[0]?.finished, edge.streams[0]?.released], [1, 0]);
    await edge.visitor.send(GET);
    await (await edge.target(1)).send(OK);
    await edge.visitor.until(/hi$/);
  }
});

Deno.test("more bytes than an answer has are never taken for the next one (poisoned keep-alive)", async () => {
  await using edge = new Edge();
  await edge.visitor.send(GET);
  await (await edge.target(0)).send(`${OK}HTTP/1.1 200 Evil\r\nContent-Length: 0\r\n\r\n`);
  assert.equal(await edge.visitor.until(/hi$/), OK);
  assert.deepEqual([edge.streams[0]?.wasReset, edge.streams[0]?.released], [true, 0]);
});

Deno.test("the coded reason of a failed stream reaches the visitor as the right status, and the connection stays", async () => {
  for (
    const [kind, status] of [
      ["TARGET_REFUSED", 502],
      ["TARGET_DNS", 502],
      ["TARGET_SOCKET_MISSING", 502],
      ["TARGET_TIMEOUT", 504],
      ["TUNNEL_OFFLINE", 503],
      ["TUNNEL_BUSY", 503],
      ["FORBIDDEN", 403],
    ] as const
  ) {
    const error = new CodedError(kind, `reason <${kind}>`);
    await using refused = new Edge({ onStream: (stream) => void (stream.refusal = error) });
    await using rejected = new Edge({ onStream: () => Promise.reject(error) });
    for (const edge of [refused, rejected]) {
      for (let i = 0; i < 2; i++) {
        await edge.visitor.send(GET);
        const page = await edge.visitor.until(/<\/html>\n/);
        assert.ok(page.startsWith(`HTTP/1.1 ${status} `), page);
        assert.ok(page.includes(error.code), page);
        // Of a target no more than that: where it is concerns nobody outside.
        assert.equal(page.includes(`reason &lt;${kind}&gt;`), !kind.startsWith("TARGET_"), page);
      }
      assert.equal(edge.exchanges[0]?.error, error);
    }
  }
});

Deno.test("an answer that is not HTTP/1.1 becomes a 502 and its stream is reset", async () => {
  for (
    const answer of [
      "SSH-2.0-OpenSSH_9\r\n",
      "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    ]
  ) {
    await using edge = new Edge();
    await edge.visitor.send(GET);
    await (await edge.target(0)).send(answer);
    assert.match(await edge.visitor.until(/<\/html>\n/), /^HTTP\/1.1 502 [^]*E2008/);
    assert.equal(edge.streams[0]?.wasReset, true);
  }
});

Deno.test("a drain ends idle connections now and busy ones with their answer", async () => {
  const draining = new Drain();
  await using idle = new Edge({ draining });
  await using busy = new Edge({ draining });
  await busy.visitor.send(GET);
  const target = await busy.target(0);
  draining.begin();
  assert.equal(await idle.visitor.all(), "");
  await target.send(OK);
  assert.match(await busy.visitor.all(), /Connection: close\r\n\r\nhi$/);
});

Deno.test("each phase has its deadline: first byte, head, answer, request body, idle", async () => {
  const half = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\nhalf";
  const phases = [
    ["", { firstByteMs: 1 }, /^$/],
    ["GET / HT", { headMs: 1 }, /^HTTP\/1.1 408 [^]*Connection: close[^]*E1408/],
    [GET, { stallMs: 1 }, /^HTTP\/1.1 504 [^]*E2002/],
    [half, { stallMs: 1 }, /^HTTP\/1.1 408 [^]*Connection: close[^]*E1408/],
  ] as const;
  await Promise.all(phases.map(async ([text, limits, answer]) => {
    await using edge = new Edge({ limits });
    await edge.visitor.send(text);
    if (text === GET) assert.match(await edge.visitor.until(/<\/html>\n/), answer);
    else assert.match(await edge.visitor.all(), answer);
    if (edge.streams.length > 0) assert.equal(edge.streams[0]?.wasReset, true);
  }));
  await using edge = new Edge({ limits: { keepAliveMs: 1 } });
  await edge.visitor.send(GET);
  await (await edge.target(0)).send(OK);
  assert.equal(await edge.visitor.all(), OK);
});

Deno.test("a visitor who does not read is reset with the stream, within the stall deadline", async () => {
  await using edge = new Edge({ limits: { stallMs: 1 }, pair: { highWaterMark: 1_000 } });
  await edge.visitor.send(GET);
  const target = await edge.target(0);
  await target.head();
  await assert.rejects(target.send(`HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n${"x".repeat(100_000)}`));
  await edge.serving;
  await assert.rejects(edge.visitor.all());
});

Deno.test("a visitor who leaves takes the stream along", async () => {
  await using edge = new Edge();
  await edge.visitor.send(GET);
  const target = await edge.target(0);
  await target.head();
  edge.visitor.duplex.reset();
  await assert.rejects(target.all());
  await edge.serving;
  assert.equal(edge.exchanges[0]?.status, undefined);
});

Deno.test("NTLM and Negotiate keep their stream with the visitor, and it is finished with the connection", async () => {
  await using edge = new Edge();
  await edge.visitor.send(GET);
  const target = await edge.target(0);
  await target.head();
  await target.send("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 2\r\n\r\nhi");
  await edge.visitor.until(/hi$/);
  assert.equal(edge.streams[0]?.released, 0);
  await edge.visitor.send(GET);
  await target.head();
  await target.send(OK);
  await edge.visitor.until(/hi$/);
  assert.deepEqual([edge.streams.length, edge.streams[0]?.released, edge.streams[0]?.finished], [1, 0, 0]);
  await edge.visitor.end();
  await edge.serving;
  assert.deepEqual([edge.streams[0]?.released, edge.streams[0]?.finished], [0, 1]);
});
