import assert from "node:assert/strict";
import {
  connectTcp,
  eventually,
  fill,
  type HttpResponse,
  httpTarget,
  jsonEcho,
  readRequest,
  readResponse,
  request,
  requestText,
  sha256,
  startServer,
  startTunnel,
  tcpTarget,
  type TestServer,
  type TestTunnel,
  type Wire,
} from "./harness.ts";

/** A tunnel to one target; the visitor's connection is `wire`. */
interface Visit extends AsyncDisposable {
  readonly server: TestServer;
  readonly tunnel: TestTunnel;
  readonly host: string;
  readonly wire: Wire;
}

async function visit(target: string): Promise<Visit> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startServer());
  const tunnel = stack.use(await startTunnel(server, [{ kind: "http", target }]));
  const wire = stack.use(await connectTcp(server.httpPort));
  const all = stack.move();
  return { server, tunnel, host: tunnel.hostname, wire, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** Answers every request with its own body, over and over on one connection. */
async function answerAll(wire: Wire): Promise<void> {
  for (;;) {
    const { text, target } = await readRequest(wire);
    const body = `${target} ${text}`;
    await wire.send(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  }
}

Deno.test("many requests on one visitor connection use one connection to the target", async () => {
  await using target = await tcpTarget(answerAll);
  await using visited = await visit(target.address);
  const { host, wire } = visited;
  for (let index = 0; index < 20; index++) {
    const body = index % 2 === 0 ? {} : { method: "POST", body: `body ${index}` };
    const { text, status } = await request(0, { host, path: `/${index}`, ...body, wire });
    assert.deepEqual({ text, status }, { text: `/${index} ${body.body ?? ""}`, status: 200 });
  }
  assert.equal(target.connections.length, 1);
});

Deno.test("visitors one after the other share the connection to the target", async () => {
  await using target = await tcpTarget(answerAll);
  await using visited = await visit(target.address);
  for (let index = 0; index < 10; index++) {
    assert.equal((await request(visited.server.httpPort, { host: visited.host })).status, 200);
  }
  assert.equal(target.connections.length, 1);
});

Deno.test("pipelined requests are answered in order", async () => {
  await using target = await tcpTarget(answerAll);
  await using visited = await visit(target.address);
  const { host, wire } = visited;
  await wire.send(
    requestText({ host, path: "/1" }) + requestText({ host, path: "/2", method: "POST", body: "two" }) +
      requestText({ host, path: "/3" }),
  );
  const answers = [await readResponse(wire), await readResponse(wire), await readResponse(wire)];
  assert.deepEqual(answers.map(({ text }) => text), ["/1 ", "/2 two", "/3 "]);
});

Deno.test("chunked bodies pass in both directions, piece by piece", async () => {
  await using target = await tcpTarget();
  await using visited = await visit(target.address);
  const { host, wire } = visited;
  await wire.send(`POST / HTTP/1.1\r\nHost: ${host}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`);
  const inside = await target.accept();
  const head = await inside.readUntil("\r\n\r\n");
  assert.match(head, /\r\nTransfer-Encoding: chunked\r\n/i);
  assert.doesNotMatch(head, /content-length/i);
  assert.equal(await inside.readUntil("hello\r\n"), "5\r\nhello\r\n");
  // The answer begins before the request has ended: nothing waits for a whole body.
  await inside.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
  assert.match(await wire.readUntil("one"), /\r\nTransfer-Encoding: chunked\r\n/i);
  await wire.send("0\r\n\r\n");
  assert.equal(await inside.readUntil("0\r\n\r\n"), "0\r\n\r\n");
  await inside.send("3\r\ntwo\r\n0\r\n\r\n");
  assert.match(await wire.readUntil("0\r\n\r\n"), /^\r\n3\r\ntwo\r\n0\r\n\r\n$/);
});

Deno.test("trailers pass in both directions, but not those that frame or route", async () => {
  await using target = await tcpTarget();
  await using visited = await visit(target.address);
  const { host, wire } = visited;
  await wire.send(
    `POST / HTTP/1.1\r\nHost: ${host}\r\nTE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n` +
      "3\r\nabc\r\n0\r\nX-Sum: 1\r\nContent-Length: 7\r\n\r\n",
  );
  const inside = await target.accept();
  const { trailers, text } = await readRequest(inside);
  assert.deepEqual({ trailers, text }, { trailers: [["X-Sum", "1"]], text: "abc" });
  await inside.send(
    "HTTP/1.1 200 OK\r\nTrailer: X-Out\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Out: 2\r\nHost: evil\r\n\r\n",
  );
  const response = await readResponse(wire);
  assert.deepEqual({ trailers: response.trailers, text: response.text }, { trailers: [["X-Out", "2"]], text: "ok" });
});

Deno.test("100 Continue comes when the target is reached, and only then", async () => {
  await using target = await tcpTarget();
  await using visited = await visit(target.address);
  const { host, wire, tunnel } = visited;
  const head = `POST /up HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n`;
  await wire.send(head);
  assert.equal(await wire.readUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  await wire.send("data");
  const inside = await target.accept();
  const { head: seen, text } = await readRequest(inside);
  assert.equal(text, "data");
  assert.doesNotMatch(seen, /expect/i);
  // One of the target's own must not reach the visitor, who has had it.
  await inside.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  assert.match(await wire.readUntil("ok"), /^HTTP\/1.1 200 OK/);

  await using silent = await tcpTarget();
  await tunnel.http(silent.address);
  await silent[Symbol.asyncDispose]();
  await using second = await connectTcp(visited.server.httpPort);
  await second.send(head);
  assert.match(await second.readUntil("\r\n\r\n"), /^HTTP\/1.1 502 /);
});

Deno.test("HEAD, 204 and 304 have no body, whatever their fields say, and the connection goes on", async () => {
  await using target = await tcpTarget(async (wire) => {
    for (;;) {
      const { method, target } = await readRequest(wire);
      if (target === "/204") await wire.send("HTTP/1.1 204 No Content\r\nX-Last: 1\r\n\r\n");
      else if (target === "/304") {
        await wire.send('HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: "a"\r\n\r\n');
      } else await wire.send(`HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n${method === "HEAD" ? "" : "12345"}`);
    }
  });
  await using visited = await visit(target.address);
  const { host, wire } = visited;
  const head = await request(0, { host, wire, method: "HEAD" });
  assert.deepEqual([head.status, head.get("content-length")], [200, "5"]);
  assert.equal((await request(0, { host, wire, path: "/204" })).get("x-last"), "1");
  const notModified = await request(0, { host, wire, path: "/304" });
  assert.deepEqual([notModified.status, notModified.get("etag")], [304, '"a"']);
  assert.equal((await request(0, { host, wire })).text, "12345");
  assert.equal(target.connections.length, 1);
});

Deno.test("server-sent events arrive one by one", async () => {
  await using target = await tcpTarget();
  await using visited = await visit(target.address);
  const { host, wire } = visited;
  await wire.send(requestText({ host, fields: { Accept: "text/event-stream" } }));
  const inside = await target.accept();
  await readRequest(inside);
  await inside.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
  assert.match(await wire.readUntil("\r\n\r\n"), /text\/event-stream/);
  for (let index = 0; index < 5; index++) {
    const event = `data: ${index}\n\n`;
    await inside.send(`${event.length.toString(16)}\r\n${event}\r\n`);
    // The next one is not sent before this one was seen.
    await wire.readUntil(event);
  }
  wire.reset();
  // The target learns that its listener has gone.
  await inside.closed;
});

Deno.test("an upgrade becomes a plain pipe: early bytes wait, half-close and end pass", async () => {
  await using target = await tcpTarget();
  await using visited = await visit(target.address);
  const { host, wire } = visited;
  const upgrade = `GET /chat HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
  await wire.send(`${upgrade}early`);
  const inside = await target.accept();
  const head = await inside.readUntil("\r\n\r\n");
  assert.match(head, /\r\nConnection: Upgrade\r\n/i);
  assert.match(head, /\r\nUpgrade: websocket\r\n/i);
  assert.match(head, /\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n/i);
  assert.equal(inside.buffered, 0, "nothing behind the head before the target has agreed");
  await inside.send(
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello",
  );
  const answer = await wire.readUntil("hello");
  assert.match(answer, /^HTTP\/1.1 101 Switching Protocols\r\n/);
  assert.match(answer, /\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/i);
  assert.equal(await inside.readUntil("early"), "early");
  await wire.send("from visitor");
  await inside.readUntil("from visitor");
  await wire.endWrite();
  assert.equal(await inside.next(), null);
  await inside.send("last words");
  await inside.endWrite();
  const { text, end } = await wire.readToEnd();
  assert.deepEqual({ text, end }, { text: "last words", end: "end" });
});

Deno.test("a WebSocket service answers a WebSocket client", async () => {
  await using target = await httpTarget((asked) => {
    const { socket, response } = Deno.upgradeWebSocket(asked);
    socket.onmessage = ({ data }) => socket.send(`echo ${data}`);
    return response;
  });
  await using visited = await visit(target.address);
  const { host, wire } = visited;
  await wire.send(
    `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n` +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
  );
  assert.match(await wire.readUntil("\r\n\r\n"), /^HTTP\/1.1 101 .*s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/s);
  for (const text of ["one", "two"]) {
    // A masked text frame with key 0, and the server's unmasked answer.
    await wire.send(Uint8Array.of(0x81, 0x80 | text.length, 0, 0, 0, 0, ...new TextEncoder().encode(text)));
    const answer = await wire.readExactly(2 + 5 + text.length);
    assert.deepEqual([answer[0], new TextDecoder().decode(answer.subarray(2))], [0x81, `echo ${text}`]);
  }
  await wire.send(Uint8Array.of(0x88, 0x80, 0, 0, 0, 0));
  assert.equal((await wire.readExactly(2))[0], 0x88);
});

Deno.test("an upgrade that the target does not take is an ordinary answer", async () => {
  await using target = await tcpTarget(answerAll);
  await using visited = await visit(target.address);
  const { host, wire } = visited;
  const fields = { Connection: "Upgrade", Upgrade: "websocket" };
  assert.equal((await request(0, { host, wire, fields })).status, 200);
  assert.equal((await request(0, { host, wire, path: "/next" })).text, "/next ");
});

Deno.test("an HTTP/1.0 visitor gets no chunks, and the end of a close-delimited answer by the end", async () => {
  await using target = await tcpTarget(async (wire) => {
    await readRequest(wire);
    await wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  });
  await using visited = await visit(target.address);
  const { host, wire } = visited;
  await wire.send(`GET / HTTP/1.0\r\nHost: ${host}\r\n\r\n`);
  const { text, end } = await wire.readToEnd();
  assert.match(text, /\r\n\r\nabc$/);
  assert.doesNotMatch(text, /transfer-encoding/i);
  assert.equal(end, "end");
});

Deno.test("an answer that ends with its connection is re-framed for HTTP/1.1, and its cut is seen", async () => {
  await using target = await tcpTarget(async (wire, index) => {
    await readRequest(wire);
    await wire.send("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nsome");
    if (index === 0) return await wire.endWrite();
    await wire.next();
  });
  await using visited = await visit(target.address);
  const { host, wire, server } = visited;
  const whole = await request(0, { host, wire });
  assert.deepEqual([whole.text, whole.get("transfer-encoding")], ["some", "chunked"]);
  await using second = await connectTcp(server.httpPort);
  await second.send(requestText({ host }));
  await second.readUntil("some\r\n");
  target.connections[1]?.reset();
  const { text, end } = await second.readToEnd();
  assert.deepEqual({ text, end }, { text: "", end: "reset" });
});

for (
  const [what, head, piece] of [
    ["a length", "Content-Length: 10\r\n\r\n", "12345"],
    ["chunks", "Transfer-Encoding: chunked\r\n\r\n", "5\r\n12345\r\n"],
  ] as const
) {
  Deno.test(`an answer with ${what} that is cut is a reset for the visitor, not an end`, async () => {
    await using target = await tcpTarget();
    await using visited = await visit(target.address);
    const { host, wire } = visited;
    await wire.send(requestText({ host }));
    const inside = await target.accept();
    await readRequest(inside);
    await inside.send(`HTTP/1.1 200 OK\r\n${head}${piece}`);
    await wire.readUntil("12345");
    // A clean end of the connection is a cut all the same, when the message says that more is to come.
    await inside.endWrite();
    assert.equal((await wire.readToEnd()).end, "reset");
  });
}

Deno.test("heads of 24 KiB pass in both directions, larger ones are refused and nothing is forwarded", async () => {
  const large = "v".repeat(24 * 1024);
  await using target = await tcpTarget(async (wire) => {
    const { get } = await readRequest(wire);
    await wire.send(`HTTP/1.1 200 OK\r\nX-Large: ${get("x-large")}\r\nContent-Length: 0\r\n\r\n`);
    await wire.next();
  });
  await using visited = await visit(target.address);
  const { host, wire, server } = visited;
  const { get, status } = await request(0, { host, wire, fields: { "X-Large": large } });
  assert.deepEqual([status, get("x-large")], [200, large]);
  for (
    const [parts, refused] of [
      [{ fields: { "X-Large": "v".repeat(40 * 1024) } }, 431],
      [{ fields: Object.fromEntries(Array.from({ length: 150 }, (_, index) => [`X-${index}`, "v"])) }, 431],
      [{ path: `/${"p".repeat(9 * 1024)}` }, 414],
    ] as const
  ) {
    const { status, get } = await request(server.httpPort, { host, ...parts });
    assert.deepEqual([status, get("connection")], [refused, "close"]);
  }
  assert.equal(target.connections.length, 1);
});

Deno.test("an upload whose answer comes early gives the visitor that answer", async () => {
  await using target = await tcpTarget(async (wire) => {
    await wire.readUntil("\r\n\r\n");
    await wire.send("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 8\r\n\r\ntoo much");
    await wire.endWrite();
  });
  await using visited = await visit(target.address);
  const { host, wire } = visited;
  await wire.send(`POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 100000000\r\n\r\n`);
  await wire.send(fill(64 * 1024));
  const { status, text, get } = await readResponse(wire);
  assert.deepEqual([status, text, get("connection")], [413, "too much", "close"]);
  // Nobody waits for the rest of the body.
  await eventually(() => target.open === 0, "the target's connection to end");
});

Deno.test("an upload that its visitor cuts is cut at the target", async () => {
  await using target = await tcpTarget();
  await using visited = await visit(target.address);
  const { host, wire } = visited;
  await wire.send(`POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 100\r\n\r\nfirst`);
  const inside = await target.accept();
  await inside.readUntil("first");
  wire.reset();
  assert.equal((await inside.readToEnd()).end, "reset");
});

Deno.test("a visitor that leaves before its answer is gone for the target, too", async () => {
  await using target = await tcpTarget();
  await using visited = await visit(target.address);
  const { host, wire } = visited;
  await wire.send(requestText({ host }));
  const inside = await target.accept();
  await readRequest(inside);
  wire.reset();
  assert.equal((await inside.readToEnd()).end, "reset");
});

Deno.test("a visitor that ends its direction behind its request gets the whole answer, and then the end", async () => {
  await using target = await tcpTarget();
  await using visited = await visit(target.address);
  const { host, wire } = visited;
  await wire.send(requestText({ host, method: "POST", body: "all" }));
  await wire.endWrite();
  const inside = await target.accept();
  assert.equal((await readRequest(inside)).text, "all");
  await inside.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nans");
  await wire.readUntil("ans");
  await inside.send("wer");
  const { text, end } = await wire.readToEnd();
  assert.deepEqual({ text, end }, { text: "wer", end: "end" });
});

Deno.test("an upload to a target that does not read is held back, and arrives whole when it does", async () => {
  const block = fill(1024 * 1024);
  const most = 48;
  await using target = await tcpTarget();
  await using visited = await visit(target.address);
  const { host, wire } = visited;
  await wire.send(`PUT / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${most * block.length}\r\n\r\n`);
  let sent = 0;
  const sending = (async () => {
    for (; sent < most; sent++) await wire.send(block);
  })();
  const inside = await target.accept();
  // It takes in no more than its gate lets through, until it reads.
  const settled = () => new Promise<number>((resolve) => setTimeout(() => resolve(sent), 300));
  while (await settled() !== await settled());
  assert.ok(sent < most, "somewhere on the way all of it is held in memory");
  const { body } = await readRequest(inside);
  await sending;
  assert.equal(body.length, most * block.length);
  assert.equal(sha256(body.subarray(-block.length)), sha256(block));
  await inside.send("HTTP/1.1 204 No Content\r\n\r\n");
  assert.equal((await readResponse(wire)).status, 204);
});

Deno.test("early hints pass on, and other interim answers do not", async () => {
  await using target = await tcpTarget(async (wire) => {
    await readRequest(wire);
    await wire.send("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
    await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  });
  await using visited = await visit(target.address);
  const { host, wire } = visited;
  await wire.send(requestText({ host }));
  const text = await wire.readUntil("ok");
  assert.match(text, /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/a\.css>\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
});

Deno.test("an HTTP/1.0 visitor may keep its connection, and a target that cannot keep its own is asked on a fresh one", async () => {
  await using target = await tcpTarget(async (wire) => {
    await readRequest(wire);
    await wire.send("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
  });
  await using visited = await visit(target.address);
  const { host, wire } = visited;
  for (let round = 0; round < 3; round++) {
    await wire.send(`GET / HTTP/1.0\r\nHost: ${host}\r\nConnection: keep-alive\r\n\r\n`);
    const { get, text } = await readResponse(wire);
    assert.deepEqual([text, get("connection")?.toLowerCase()], ["ok", "keep-alive"]);
  }
  assert.equal(target.connections.length, 3);
});

Deno.test("a connection that its target authenticated (NTLM) is not lent to another visitor", async () => {
  await using target = await tcpTarget(async (wire, index) => {
    for (let asked = 0;; asked++) {
      await readRequest(wire);
      const head = asked === 0 ? "401 Unauthorized\r\nWWW-Authenticate: NTLM" : "200 OK";
      await wire.send(`HTTP/1.1 ${head}\r\nContent-Length: 1\r\n\r\n${index}`);
    }
  });
  await using visited = await visit(target.address);
  const { host, wire, server } = visited;
  await using other = await connectTcp(server.httpPort);
  const seen: string[] = [];
  for (const visitor of [wire, other, wire, other, wire]) {
    const { status, text } = await request(0, { host, wire: visitor });
    seen.push(`${status} ${text}`);
  }
  assert.deepEqual(seen, ["401 0", "401 1", "200 0", "200 1", "200 0"]);
});

Deno.test("a request is sent again when its target had just closed the connection", async () => {
  for (const method of ["GET", "POST"]) {
    await using target = await tcpTarget(async (wire, index) => {
      const { text } = await readRequest(wire);
      await wire.send(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
      if (index > 0) return void await wire.next();
      // It says nothing of it, and is gone before the next request.
      await wire[Symbol.asyncDispose]();
    });
    await using visited = await visit(target.address);
    const { host, wire } = visited;
    const parts = { host, wire, method, ...(method === "POST" ? { body: "twice" } : {}) };
    for (let round = 0; round < 2; round++) {
      const { status, text } = await request(0, parts);
      assert.deepEqual({ status, text }, { status: 200, text: parts.body ?? "" }, `${method}, round ${round}`);
    }
    assert.equal(target.connections.length, 2);
  }
});

Deno.test("a request that its target has read and left unanswered is sent again only when that does no harm", async () => {
  const seen: string[] = [];
  await using target = await tcpTarget(async (wire) => {
    const first = await readRequest(wire);
    seen.push(first.method);
    await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    const second = await readRequest(wire);
    seen.push(`${second.method} unanswered`);
    await wire[Symbol.asyncDispose]();
  });
  await using visited = await visit(target.address);
  const { host, server } = visited;
  for (const [method, status] of [["GET", 200], ["POST", 502]] as const) {
    seen.length = 0;
    await using wire = await connectTcp(server.httpPort);
    const answers: HttpResponse[] = [];
    for (let round = 0; round < 2; round++) answers.push(await request(0, { host, wire, method, body: "data" }));
    assert.deepEqual(answers.map((each) => each.status), [200, status], seen.join());
    assert.deepEqual(seen.slice(0, 2), [method, `${method} unanswered`]);
    assert.equal(seen.length, method === "GET" ? 3 : 2, seen.join());
    if (status === 502) assert.match(answers[1]?.text ?? "", /E2007/);
    // The next method begins with a fresh connection to the target.
    await visited.tunnel.http(target.address, { hostHeader: method });
    for (const each of target.connections) each.reset();
  }
});

Deno.test("a fresh connection that its target closes without an answer is not tried again", async () => {
  await using target = await tcpTarget(async (wire) => {
    await readRequest(wire);
    await wire[Symbol.asyncDispose]();
  });
  await using visited = await visit(target.address);
  const { status, text } = await request(0, { host: visited.host, wire: visited.wire });
  assert.equal(status, 502);
  assert.match(text, /E2007/);
  assert.equal(target.connections.length, 1);
});

Deno.test("one visitor connection may name several hosts, each reaches its own tunnel", async () => {
  await using one = await httpTarget(() => new Response("one"));
  await using two = await httpTarget(() => new Response("two"));
  await using server = await startServer();
  await using first = await startTunnel(server, [{ kind: "http", target: one.address }]);
  await using second = await startTunnel(server, [{ kind: "http", target: two.address }]);
  await using wire = await connectTcp(server.httpPort);
  const texts: string[] = [];
  for (
    const host of [first.hostname, second.hostname, "nobody.tunnels.localhost", first.hostname.toUpperCase() + "."]
  ) {
    const { status, text } = await request(0, { host, wire });
    texts.push(status === 200 ? text : String(status));
  }
  assert.deepEqual(texts, ["one", "two", "404", "one"]);
});

Deno.test("any sub-domain of the assigned hostname reaches the tunnel, with its own Host", async () => {
  await using target = await httpTarget((asked) => new Response(asked.headers.get("host")));
  await using visited = await visit(target.address);
  const { host, wire, server } = visited;
  for (const name of [host, `a.${host}`, `b.a.${host}`]) {
    const sent = `${name}:${server.httpPort}`;
    assert.equal((await request(0, { host: sent, wire })).text, sent);
  }
  assert.equal((await request(0, { host: `x${host}`, wire })).status, 404);
});

Deno.test("the target learns who asks, and is told nothing that the visitor made up", async () => {
  await using target = await httpTarget(jsonEcho);
  await using visited = await visit(target.address);
  const { host, wire } = visited;
  const fields = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Host": "evil",
    "X-Forwarded-Proto": "https",
    "X-Real-IP": "6.6.6.6",
    "Forwarded": "for=6.6.6.6",
    "Connection": "X-Hop, keep-alive",
    "X-Hop": "secret",
    "Proxy-Authorization": "secret",
    "X-Kept": "yes",
  };
  const { headers } = JSON.parse((await request(0, { host, wire, fields })).text);
  assert.equal(headers["x-forwarded-for"], "127.0.0.1");
  assert.equal(headers["x-forwarded-proto"], "http");
  assert.equal(headers["x-forwarded-host"], host);
  assert.match(headers["forwarded"], /^for="?127\.0\.0\.1"?;/);
  assert.equal(headers["x-kept"], "yes");
  assert.doesNotMatch(JSON.stringify(headers), /6\.6\.6\.6|evil|secret/);
});

Deno.test("a large answer that waited in every buffer on the way is whole", async () => {
  const bytes = fill(16 * 1024 * 1024);
  await using target = await httpTarget(() => new Response(bytes));
  await using visited = await visit(target.address);
  const { host, wire } = visited;
  await wire.send(requestText({ host }));
  // What is on the way now fills every buffer between the two.
  await wire.readUntil("\r\n\r\n");
  const body = await wire.readExactly(bytes.length);
  assert.equal(sha256(body), sha256(bytes));
});

Deno.test("a visitor that does not read its answer holds the target back, and others are served meanwhile", async () => {
  const block = fill(1024 * 1024);
  await using target = await tcpTarget();
  await using visited = await visit(target.address);
  const { host, wire, server } = visited;
  const most = 48;
  await wire.send(requestText({ host, path: "/large" }));
  const inside = await target.accept();
  await readRequest(inside);
  await inside.send(`HTTP/1.1 200 OK\r\nContent-Length: ${most * block.length}\r\n\r\n`);
  let sent = 0;
  const sending = (async () => {
    for (; sent < most; sent++) await inside.send(block);
  })();
  await wire.readUntil("\r\n\r\n");
  for (let index = 0; index < 50; index++) {
    const other = request(server.httpPort, { host, path: "/small" });
    const small = index === 0 ? await target.accept() : target.connections[1]!;
    await readRequest(small);
    await small.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert.equal((await other).text, "ok");
  }
  assert.ok(sent < most, "somewhere on the way all of it is held in memory");
  const body = await wire.readExactly(most * block.length);
  await sending;
  assert.equal(sha256(body.subarray(-block.length)), sha256(block));
});

Deno.test("a client that stops does not wait for idle connections to its targets", async () => {
  await using target = await tcpTarget(answerAll);
  await using visited = await visit(target.address);
  assert.equal((await request(0, { host: visited.host, wire: visited.wire })).status, 200);
  assert.equal(target.open, 1);
  // An hour of grace, which nobody needs.
  await visited.tunnel.tunnel.stop({ graceMs: 3_600_000 });
  await eventually(() => target.open === 0, "the target's connection to end");
});
