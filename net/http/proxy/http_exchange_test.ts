import assert from "node:assert/strict";
import { CodedError } from "../../../protocol/errors.ts";
import { latin1 } from "../../../protocol/http/latin1.ts";
import { Edge, type FakeStream, type Peer } from "./testing/http_proxy.ts";

const GET = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const NO_CONTENT = "HTTP/1.1 204 No Content\r\n\r\n";

function post(fields: string, body = ""): string {
  return `POST / HTTP/1.1\r\nHost: a.example\r\n${fields}\r\n\r\n${body}`;
}

/** One whole exchange, after which the stream is attached. */
async function warmUp(edge: Edge): Promise<{ stream: FakeStream; target: Peer }> {
  await edge.visitor.send(GET);
  const target = await edge.target(0);
  await target.head();
  await target.send(OK);
  await edge.visitor.until(/hi$/);
  return { stream: edge.streams[0] as FakeStream, target };
}

for (const maxRead of [1, 1_000_000]) {
  const pair = { maxRead };

  Deno.test(`chunked bodies pass both ways with their trailers, ${maxRead} bytes at once`, async () => {
    await using edge = new Edge({ pair });
    const body = "3;ext=1\r\nxyz\r\n2\r\nuv\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\nX-Forwarded-For: 1\r\n\r\n";
    await edge.visitor.send(post("Transfer-Encoding: ChunkeD\r\nTrailer: X-Sum", body) + GET);
    const target = await edge.target(0);
    assert.match(await target.head(), /\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n/);
    const received = await target.until(/0\r\nX-Sum: 1\r\n\r\n/);
    assert.equal(received.replaceAll(/^[0-9a-f]+\r\n|\r\n/gm, ""), "xyzuvX-Sum: 1");
    await target.send(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body}`);
    const answer = await edge.visitor.until(/X-Sum: 1\r\n\r\n/);
    assert.doesNotMatch(answer, /ext|Content-Length|X-Forwarded/);
    assert.match(answer, /^HTTP\/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n/);
    // The next request is where it should be.
    await target.head();
    await target.send(OK);
    await edge.visitor.until(/hi$/);
  });

  Deno.test(`a close-delimited answer is chunked for 1.1, and plain for 1.0, ${maxRead} bytes at once`, async () => {
    for (const version of ["1.1", "1.0"]) {
      await using edge = new Edge({ pair });
      await edge.visitor.send(`GET / HTTP/${version}\r\nHost: a\r\n\r\n`);
      const target = await edge.target(0);
      await target.head();
      await target.send("HTTP/1.1 200 OK\r\n\r\nhello");
      await target.end();
      if (version === "1.1") {
        assert.match(await edge.visitor.until(/0\r\n\r\n/), /Transfer-Encoding: chunked\r\n\r\n[^]*h/);
      } else assert.equal(await edge.visitor.all(), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
      assert.deepEqual([edge.streams[0]?.finished, edge.streams[0]?.released], [1, 0]);
    }
  });

  Deno.test(`an upgrade becomes a pipe, early bytes wait for 101, ${maxRead} bytes at once`, async () => {
    await using edge = new Edge({ pair });
    await edge.visitor.send(
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket, h2c\r\nHTTP2-Settings: A\r\n\r\nearly",
    );
    const target = await edge.target(0);
    const head = await target.until(/\r\n\r\n/);
    assert.match(head, /\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n/);
    assert.doesNotMatch(head, /h2c|HTTP2/i);
    await target.send(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\nX-A: b\r\n\r\nwelcome",
    );
    assert.match(
      await edge.visitor.until(/welcome/),
      /^HTTP\/1.1 101 [^]*X-A: b\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\nwelcome$/,
    );
    assert.equal(await target.until(/early/), "early");
    await edge.visitor.send("ping");
    assert.equal(await target.until(/ping/), "ping");
    await edge.visitor.end();
    assert.equal(await target.all(), "");
    await target.send("after half-close");
    await target.end();
    assert.equal(await edge.visitor.all(), "after half-close");
    await edge.serving;
    assert.equal(edge.streams[0]?.released, 0);
  });
}

Deno.test("a chunked answer is unchunked for an HTTP/1.0 visitor", async () => {
  await using edge = new Edge();
  await edge.visitor.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
  await (await edge.target(0)).send(
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n",
  );
  assert.equal(await edge.visitor.all(), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi");
});

Deno.test("HEAD, 204, 304 and 205 with no body leave the connection in step", async () => {
  for (
    const [method, head] of [
      ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"],
      ["HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
      ["GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"],
      ["GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"],
      ["GET", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"],
    ] as const
  ) {
    await using edge = new Edge();
    await edge.visitor.send(`${method} / HTTP/1.1\r\nHost: a.example\r\n\r\n${GET}`);
    const target = await edge.target(0);
    await target.head();
    await target.send(head);
    const answer = await edge.visitor.head();
    assert.equal(
      /Content-Length: 5/.test(answer),
      method === "HEAD" ? head.includes("5") : head.includes("304"),
      answer,
    );
    assert.doesNotMatch(answer, /Transfer-Encoding/);
    await target.head();
    await target.send(OK);
    assert.equal(await edge.visitor.until(/hi$/), OK);
  }
});

Deno.test("an answer that is cut is a reset for the visitor, whatever its framing", async () => {
  for (const answer of ["Content-Length: 9\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n9\r\nhalf", "\r\nhalf"]) {
    await using edge = new Edge();
    await edge.visitor.send(GET);
    const target = await edge.target(0);
    await target.head();
    await target.send(`HTTP/1.1 200 OK\r\n${answer}`);
    await edge.visitor.until(/half/);
    target.duplex.reset();
    await assert.rejects(edge.visitor.all());
    await edge.serving;
    assert.equal(edge.exchanges[0]?.status, undefined);
  }
  // A clean end is one for the close-delimited answer only.
  await using edge = new Edge();
  await edge.visitor.send(GET);
  const target = await edge.target(0);
  await target.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
  await target.end();
  await assert.rejects(edge.visitor.all());
});

Deno.test("a malformed chunk from the target is a reset, not an end", async () => {
  await using edge = new Edge();
  await edge.visitor.send(GET);
  await (await edge.target(0)).send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\nhalf\r\n0\r\n\r\n");
  await assert.rejects(edge.visitor.all());
  assert.equal(edge.streams[0]?.wasReset, true);
});

Deno.test("Expect is answered by the edge after the target was reached, and not forwarded", async () => {
  const reached = Promise.withResolvers<void>();
  await using edge = new Edge({
    onStream: (stream) => {
      stream.opened = () => reached.promise;
    },
  });
  await edge.visitor.send(post("Content-Length: 2\r\nExpect: 100-continue"));
  await edge.target(0);
  assert.equal(edge.streams[0]?.sent, 0);
  reached.resolve();
  assert.equal(await edge.visitor.head(), "HTTP/1.1 100 Continue\r\n\r\n");
  await edge.visitor.send("hi");
  const target = await edge.target(0);
  assert.doesNotMatch(await target.until(/hi$/), /Expect/);
  // The target's own 100 would be a second one.
  await target.send(`HTTP/1.1 100 Continue\r\n\r\n${OK}`);
  assert.equal(await edge.visitor.until(/hi$/), OK);
});

Deno.test("a refused target gets no body: Expect is answered with the error", async () => {
  const error = new CodedError("TARGET_REFUSED");
  await using edge = new Edge({ onStream: (stream) => void (stream.refusal = error) });
  await edge.visitor.send(post("Content-Length: 2\r\nExpect: 100-continue"));
  const answer = await edge.visitor.all();
  assert.match(answer, /^HTTP\/1.1 502 [^]*Connection: close/);
});

Deno.test("103 is forwarded, 100 and 102 are dropped, an unasked 101 is refused, endless ones end", async () => {
  await using edge = new Edge();
  await edge.visitor.send(GET);
  const hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n";
  await (await edge.target(0)).send(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n${hints}${OK}`);
  assert.equal(await edge.visitor.until(/hi$/), hints + OK);

  await using unasked = new Edge();
  await unasked.visitor.send(GET);
  await (await unasked.target(0)).send(
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
  );
  assert.match(await unasked.visitor.until(/<\/html>\n/), /^HTTP\/1.1 502 /);

  await using endless = new Edge();
  await endless.visitor.send(GET);
  await (await endless.target(0)).send("HTTP/1.1 102 Processing\r\n\r\n".repeat(20));
  assert.match(await endless.visitor.until(/<\/html>\n/), /^HTTP\/1.1 502 /);
});

Deno.test("an upgrade to another protocol than the one asked for is refused", async () => {
  await using edge = new Edge();
  await edge.visitor.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  await (await edge.target(0)).send(
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n",
  );
  assert.match(await edge.visitor.until(/<\/html>\n/), /^HTTP\/1.1 502 /);
});

Deno.test("bytes behind a refused upgrade are never read as a request", async () => {
  await using edge = new Edge();
  await edge.visitor.send(`GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n${GET}`);
  const target = await edge.target(0);
  await target.head();
  await target.send(OK);
  assert.match(await edge.visitor.all(), /Connection: close\r\n\r\nhi$/);
  assert.equal(edge.streams.length, 1);
});

Deno.test("CONNECT becomes a pipe after 2xx, and stays HTTP after a refusal", async () => {
  await using edge = new Edge();
  await edge.visitor.send("CONNECT a.example:1 HTTP/1.1\r\nHost: a.example:1\r\n\r\n");
  const target = await edge.target(0);
  await target.head();
  await target.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
  await edge.visitor.until(/no$/);
  await edge.visitor.send("CONNECT a.example:1 HTTP/1.1\r\nHost: a.example:1\r\n\r\n");
  await target.head();
  await target.send("HTTP/1.1 200 Connected\r\nContent-Length: 7\r\n\r\nhello");
  assert.equal(
    await edge.visitor.until(/hello/),
    "HTTP/1.1 200 Connected\r\n\r\nhello".replace("\r\n\r\n", "\r\nContent-Length: 7\r\n\r\n"),
  );
  await edge.visitor.send("raw");
  assert.equal(await target.until(/raw/), "raw");
});

Deno.test("a CONNECT that is taken is neither stripped nor routed, and no request is read behind it (R44)", async () => {
  const early = Promise.withResolvers<string>();
  const taken = Promise.withResolvers<void>();
  const asked: (string | undefined)[] = [];
  await using edge = new Edge({
    takeConnect({ head, address }) {
      asked.push(head.target, address, head.fields.get("proxy-authorization"));
      return (bytes) => {
        early.resolve(latin1(bytes));
        return taken.promise;
      };
    },
  });
  await warmUp(edge);
  await edge.visitor.send(`CONNECT redis:6379 HTTP/1.1\r\nHost: redis:6379\r\nProxy-Authorization: x\r\n\r\n${GET}`);
  assert.equal(await early.promise, GET);
  assert.deepEqual(asked, ["redis:6379", "203.0.113.9", "x"]);
  taken.resolve();
  await edge.serving;
  assert.deepEqual([edge.exchanges.length, edge.streams.length], [2, 1]);
  await assert.rejects(edge.visitor.all());
});

Deno.test("an early answer is passed on while the body still comes, and ends both sides", async () => {
  await using edge = new Edge();
  await edge.visitor.send(post("Content-Length: 1000", "part"));
  const target = await edge.target(0);
  await target.until(/part/);
  await target.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
  assert.match(await edge.visitor.until(/no$/), /^HTTP\/1.1 413 [^]*Connection: close\r\n\r\nno$/);
  assert.equal(await edge.visitor.all(), "");
  await edge.visitor.send("more");
  await edge.visitor.end();
  await edge.serving;
  assert.deepEqual([edge.streams[0]?.wasReset, edge.streams[0]?.released], [true, 0]);
});

Deno.test("bodies stream both ways at once", async () => {
  await using edge = new Edge();
  await edge.visitor.send(post("Transfer-Encoding: chunked"));
  const target = await edge.target(0);
  await target.head();
  await target.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  await edge.visitor.head();
  for (const word of ["one", "two", "six"]) {
    await edge.visitor.send(`3\r\n${word}\r\n`);
    await target.until(new RegExp(word));
    await target.send(`3\r\n${word}\r\n`);
    await edge.visitor.until(new RegExp(word));
  }
  await edge.visitor.send("0\r\n\r\n");
  await target.until(/0\r\n\r\n/);
  await target.send("0\r\n\r\n");
  await edge.visitor.until(/0\r\n\r\n/);
  // The answer began before the request was whole, and so said that it is the last.
  await edge.visitor.all();
});

Deno.test("a malformed request body is a 400 and resets the stream", async () => {
  await using edge = new Edge();
  await edge.visitor.send(post("Transfer-Encoding: chunked", "3\r\nabc\r\n"));
  const target = await edge.target(0);
  await target.until(/abc/);
  await edge.visitor.send("3\nabc\r\n0\r\n\r\n");
  assert.match(await edge.visitor.all(), /^HTTP\/1.1 400 [^]*Connection: close/);
  await assert.rejects(target.all());
});

Deno.test("a cut request body is a 400 and a reset of the stream, never a short request", async () => {
  await using edge = new Edge();
  await edge.visitor.send(post("Content-Length: 9", "half"));
  const target = await edge.target(0);
  await target.until(/half/);
  await edge.visitor.end();
  assert.match(await edge.visitor.all(), /^HTTP\/1.1 400 /);
  await assert.rejects(target.all());
});

Deno.test("a target that does not read stops the visitor, not the memory", async () => {
  await using edge = new Edge({ pair: { highWaterMark: 1_000 } });
  let sent = 0;
  const sending = (async () => {
    await edge.visitor.send(post("Content-Length: 1000000"));
    for (; sent < 1_000_000; sent += 1_000) await edge.visitor.send("x".repeat(1_000));
  })();
  await edge.target(0);
  for (let turn = 0; turn < 1_000; turn++) await Promise.resolve();
  assert.ok(sent <= 10_000, `${sent} bytes were taken from a visitor whose target reads nothing`);
  edge.visitor.duplex.reset();
  await assert.rejects(sending);
});

// The retry rule (design: when the target has just closed a kept-alive connection).

/** How an attached stream ends under a request: the target closes, and the client says what it had given to it. */
interface Closing {
  readonly request: string;
  /** Bytes of the request that the target was given; `undefined` when the stream was reset instead. */
  readonly given: number | undefined;
}

async function closeUnder(edge: Edge, { request, given }: Closing): Promise<void> {
  const { stream, target } = await warmUp(edge);
  const before = stream.sent;
  await edge.visitor.send(request);
  await target.until(/\r\n\r\n/);
  if (given === undefined) return target.duplex.reset();
  stream.written = before + given;
  await target.end();
}

const RETRIED: readonly (readonly [string, Closing])[] = [
  ["GET, nothing given", { request: GET, given: 0 }],
  ["GET, something given", { request: GET, given: 10 }],
  ["GET, stream reset", { request: GET, given: undefined }],
  ["POST, nothing given", { request: post("Content-Length: 4", "body"), given: 0 }],
  ["chunked POST, nothing given", { request: post("Transfer-Encoding: chunked", "4\r\nbody\r\n0\r\n\r\n"), given: 0 }],
  ["PUT, something given, whole body held", {
    request: post("Content-Length: 4", "body").replace("POST", "PUT"),
    given: 10,
  }],
];

for (const [name, closing] of RETRIED) {
  Deno.test(`sent again once on a fresh stream: ${name}`, async () => {
    await using edge = new Edge();
    await closeUnder(edge, closing);
    const fresh = await edge.target(1);
    const again = await fresh.until(closing.request.includes("body") ? /body(?:\r\n0\r\n\r\n)?$/ : /\r\n\r\n/);
    assert.ok(again.startsWith(closing.request.slice(0, 16)), again);
    await fresh.send(OK);
    assert.equal(await edge.visitor.until(/hi$/), OK);
    assert.equal(edge.streams.length, 2);
    // What ended cleanly leaves a usable channel, what was reset does not.
    assert.equal(edge.streams[0]?.finished, closing.given === undefined ? 0 : 1);
  });
}

const NOT_RETRIED: readonly (readonly [string, Closing])[] = [
  ["POST, something given", { request: post("Content-Length: 4", "body"), given: 10 }],
  ["POST, stream reset", { request: post("Content-Length: 4", "body"), given: undefined }],
  ["POST without body, something given", { request: post("Content-Length: 0"), given: 10 }],
  ["PUT whose body has not come whole", {
    request: post("Content-Length: 9", "body").replace("POST", "PUT"),
    given: 10,
  }],
  ["unknown method, something given", { request: GET.replace("GET", "FROB"), given: 10 }],
];

for (const [name, closing] of NOT_RETRIED) {
  Deno.test(`not sent again: ${name}`, async () => {
    await using edge = new Edge();
    await closeUnder(edge, closing);
    assert.match(await edge.visitor.until(/<\/html>\n/), /^HTTP\/1.1 502 [^]*E2007/);
    assert.equal(edge.streams.length, 1);
  });
}

Deno.test("sent again: a body that is still coming goes on on the fresh stream, in order and once", async () => {
  await using edge = new Edge();
  const { stream, target } = await warmUp(edge);
  const before = stream.sent;
  await edge.visitor.send(post("Content-Length: 12", "one-"));
  await target.until(/one-/);
  stream.written = before;
  await target.end();
  const fresh = await edge.target(1);
  await fresh.until(/\r\n\r\none-/);
  await edge.visitor.send("two-");
  await edge.visitor.send("six!");
  assert.equal(await fresh.until(/six!/), "two-six!");
  await fresh.send(NO_CONTENT);
  await edge.visitor.head();
});

Deno.test("a stream that was already gone when it was lent: GET is sent again, POST is not", async () => {
  for (const [request, answer] of [[GET, OK], [post("Content-Length: 4", "body"), undefined]] as const) {
    await using edge = new Edge();
    const { target } = await warmUp(edge);
    target.duplex.reset();
    await edge.visitor.send(request);
    if (answer === undefined) {
      assert.match(await edge.visitor.until(/<\/html>\n/), /^HTTP\/1.1 502 /);
      assert.equal(edge.streams.length, 1);
    } else {
      await (await edge.target(1)).send(answer);
      assert.equal(await edge.visitor.until(/hi$/), answer);
    }
  }
});

Deno.test("a stream that had ended cleanly before it was lent: any method is sent again", async () => {
  await using edge = new Edge();
  const { stream, target } = await warmUp(edge);
  stream.written = stream.sent;
  await target.end();
  await edge.visitor.send(post("Content-Length: 4", "body"));
  const fresh = await edge.target(1);
  assert.match(await fresh.until(/body$/), /^POST /);
  await fresh.send(OK);
  assert.equal(await edge.visitor.until(/hi$/), OK);
});

Deno.test("not sent again: a body of which more came than is held", async () => {
  await using edge = new Edge({ pair: { highWaterMark: 1_000_000 } });
  const { stream, target } = await warmUp(edge);
  const before = stream.sent;
  await edge.visitor.send(post("Content-Length: 200000", "x".repeat(100_000)));
  await target.until(/x{100000}/);
  stream.written = before;
  await target.end();
  assert.match(await edge.visitor.until(/<\/html>\n/), /^HTTP\/1.1 502 /);
  assert.equal(edge.streams.length, 1);
});

Deno.test("not sent again: a fresh stream, a second failure, and one that had begun to answer", async () => {
  await using first = new Edge();
  await first.visitor.send(GET);
  await (await first.target(0)).end();
  assert.match(await first.visitor.until(/<\/html>\n/), /^HTTP\/1.1 502 [^]*E2007/);

  await using second = new Edge();
  await closeUnder(second, { request: GET, given: 0 });
  await (await second.target(1)).end();
  assert.match(await second.visitor.until(/<\/html>\n/), /^HTTP\/1.1 502 [^]*E2007/);
  assert.equal(second.streams.length, 2);

  await using begun = new Edge();
  const { stream, target } = await warmUp(begun);
  await begun.visitor.send(GET);
  await target.head();
  await target.send("HTTP/1.1 2");
  stream.written = 0;
  await target.end();
  assert.match(await begun.visitor.until(/<\/html>\n/), /^HTTP\/1.1 502 /);
  assert.equal(begun.streams.length, 1);
});
