import assert from "node:assert/strict";
import { latin1 } from "../../protocol/http/latin1.ts";
import { latin1Bytes } from "../../protocol/http/serialise.ts";
import type { Duplex } from "../duplex.ts";
import { memoryPair } from "../memory_duplex.ts";
import { type FetchHandler, serveFetch, type ServeFetchOptions } from "./fetch_server.ts";

const GET = "GET / HTTP/1.1\r\nHost: a.example\r\n";

async function readAll(duplex: Duplex): Promise<string> {
  let text = "";
  for (let bytes = await duplex.read(); bytes !== null; bytes = await duplex.read()) text += latin1(bytes);
  return text;
}

/** Reads until the text so far matches. */
async function readUntil(duplex: Duplex, pattern: RegExp): Promise<string> {
  let text = "";
  while (!pattern.test(text)) {
    const bytes = await duplex.read();
    assert.ok(bytes !== null, `ended before ${pattern}: ${text}`);
    text += latin1(bytes);
  }
  return text;
}

function echo(request: Request): Response {
  return new Response(request.body, { headers: { "content-type": "text/plain" } });
}

function hello(): Response {
  return new Response("hello", { headers: { "content-length": "5", "date": "now" } });
}

/** Everything the server says to `text`, after which the peer has nothing more to send. */
async function talk(handler: FetchHandler, text: string, options: ServeFetchOptions = {}): Promise<string> {
  const [near, far] = memoryPair({ highWaterMark: 1_000_000 });
  const serving = serveFetch(near, handler, options);
  await far.write(latin1Bytes(text));
  await far.closeWrite();
  const answer = await readAll(far);
  await serving;
  return answer;
}

Deno.test("serveFetch() serves pipelined requests in turn on one connection", async () => {
  const urls: string[] = [];
  const answer = await talk((request) => {
    urls.push(request.url);
    return hello();
  }, `${GET}\r\nGET //b.example/c?d HTTP/1.1\r\nHost: A.example:81\r\n\r\n`);
  const one = "HTTP/1.1 200 \r\ncontent-length: 5\r\ncontent-type: text/plain;charset=UTF-8\r\ndate: now\r\n\r\nhello";
  assert.equal(answer, one + one);
  assert.deepEqual(urls, ["http://a.example/", "http://a.example:81//b.example/c?d"]);
});

Deno.test("serveFetch() closes when asked to, and keeps HTTP/1.0 alive when asked to", async () => {
  assert.match(await talk(hello, `${GET}Connection: close\r\n\r\n${GET}\r\n`), /^[^]*connection: close\r\n\r\nhello$/);
  const old = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
  assert.equal((await talk(hello, old + old)).match(/connection: keep-alive\r\n\r\nhello/g)?.length, 2);
  assert.match(await talk(hello, "GET / HTTP/1.0\r\n\r\n"), /connection: close\r\n\r\nhello$/);
});

Deno.test("serveFetch() streams bodies both ways, chunked", async () => {
  const chunks = "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
  const answer = await talk(echo, `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`);
  assert.match(answer, /transfer-encoding: chunked\r\n/);
  assert.ok(answer.endsWith(`\r\n\r\n${chunks}`), answer);
});

Deno.test("serveFetch() ends an HTTP/1.0 body of unknown length with the connection", async () => {
  const answer = await talk(echo, "POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi");
  assert.doesNotMatch(answer, /transfer-encoding|content-length/);
  assert.match(answer, /connection: close\r\n\r\nhi$/);
});

Deno.test("serveFetch() sends no body for HEAD, 204 and 304", async () => {
  assert.match(await talk(hello, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"), /content-length: 5\r\n[^]*\r\n\r\n$/);
  for (const status of [204, 304]) {
    const answer = await talk(() => new Response(null, { status }), `${GET}\r\n`);
    assert.match(answer, new RegExp(`^HTTP/1.1 ${status} \r\n`));
    assert.doesNotMatch(answer, /content-length|transfer-encoding/);
  }
});

Deno.test("serveFetch() sends 100 Continue when the handler reads, and not before", async () => {
  const [near, far] = memoryPair();
  const serving = serveFetch(near, echo);
  await far.write(latin1Bytes("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"));
  assert.equal(await readUntil(far, /\r\n\r\n/), "HTTP/1.1 100 Continue\r\n\r\n");
  await far.write(latin1Bytes("hi"));
  await far.closeWrite();
  assert.match(await readAll(far), /^HTTP\/1.1 200[^]*2\r\nhi\r\n0\r\n\r\n$/);
  await serving;

  const refused = await talk(hello, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  assert.match(refused, /^HTTP\/1.1 200 [^]*connection: close\r\n\r\nhello$/);
});

Deno.test("serveFetch() closes after an answer to a body that nobody read", async () => {
  const answer = await talk(hello, `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello${GET}\r\n`);
  assert.equal(answer.match(/HTTP\/1.1/g)?.length, 1);
  assert.match(answer, /connection: close/);
});

Deno.test("serveFetch() caps request bodies, declared and chunked", async () => {
  const read: FetchHandler = async (request) => new Response(await request.text());
  const declared = await talk(read, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", {
    maxBodyBytes: 4,
  });
  assert.match(declared, /^HTTP\/1.1 413 /);
  const chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\nabc\r\n0\r\n\r\n";
  assert.match(await talk(read, chunked, { maxBodyBytes: 4 }), /^HTTP\/1.1 413 /);
});

Deno.test("serveFetch() answers bad requests with their code and closes", async () => {
  let called = 0;
  const count: FetchHandler = () => {
    called++;
    return hello();
  };
  for (
    const [text, status] of [
      ["GET / HTTP/1.1\r\n\r\n", "400 Bad Request"],
      ["\x16\x03\x01", "400 Bad Request"],
      ["GET / HTTP/3.0\r\nHost: a\r\n\r\n", "505 HTTP Version Not Supported"],
      [`${GET}Content-Length: 1\r\nContent-Length: 1\r\n\r\n`, "400 Bad Request"],
      [`${GET}Transfer-Encoding: gzip, chunked\r\n\r\n`, "501 Not Implemented"],
    ] as const
  ) {
    const answer = await talk(count, text + `${GET}\r\n`);
    assert.ok(answer.startsWith(`HTTP/1.1 ${status}\r\n`), answer);
    assert.match(answer, /connection: close\r\n\r\n[^]*E1\d+: /);
    assert.equal(answer.match(/HTTP\/1.1 /g)?.length, 1);
  }
  assert.equal(called, 0);
});

Deno.test("serveFetch() answers 500 without details when the handler throws, and goes on", async () => {
  const answer = await talk(() => {
    throw new Error("secret detail");
  }, `${GET}\r\n${GET}\r\n`);
  assert.equal(answer.match(/HTTP\/1.1 500 Internal Server Error\r\n/g)?.length, 2);
  assert.doesNotMatch(answer, /secret/);
});

Deno.test("serveFetch() refuses CONNECT and TRACE, which fetch cannot express", async () => {
  assert.match(await talk(hello, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"), /^HTTP\/1.1 501 /);
  assert.match(await talk(hello, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"), /^HTTP\/1.1 501 /);
});

Deno.test("a response body that fails or is shorter than declared is reset, not ended", async () => {
  const failing = (): Response =>
    new Response(
      new ReadableStream({
        pull(controller) {
          controller.error(new Error("disk"));
        },
      }),
    );
  const short = (): Response => new Response("hell", { headers: { "content-length": "5" } });
  for (const handler of [failing, short]) {
    const [near, far] = memoryPair();
    const serving = serveFetch(near, handler);
    await far.write(latin1Bytes(`${GET}\r\n`));
    await assert.rejects(readAll(far));
    await serving;
  }
});

Deno.test("serveFetch() writes no faster than the peer reads", async () => {
  const [near, far] = memoryPair({ highWaterMark: 1_000 });
  let pulled = 0;
  const serving = serveFetch(near, () =>
    new Response(
      new ReadableStream({
        pull(controller) {
          pulled++;
          controller.enqueue(new Uint8Array(1_000));
        },
      }, { highWaterMark: 0 }),
    ));
  await far.write(latin1Bytes(`${GET}\r\n`));
  await far.read();
  for (let turn = 0; turn < 100; turn++) await Promise.resolve();
  assert.ok(pulled <= 4, `${pulled} pieces were made for a reader that took one`);
  far.reset();
  await serving;
});

Deno.test("the signal of a request tells that the visitor has gone", async () => {
  const [near, far] = memoryPair();
  const serving = serveFetch(near, async (request) => {
    const gone = new Promise((resolve) => request.signal.addEventListener("abort", resolve, { once: true }));
    far.reset();
    await gone;
    return hello();
  });
  await far.write(latin1Bytes(`${GET}\r\n`));
  await serving;
});

Deno.test("serveFetch() ends with its signal, also a stalled connection", async () => {
  const [near, far] = memoryPair();
  const stop = new AbortController();
  const serving = serveFetch(near, hello, { signal: stop.signal });
  await far.write(latin1Bytes("GET / HT"));
  stop.abort();
  await assert.rejects(readAll(far));
  await serving;
});

Deno.test("each phase has a deadline: head, body, handler, slow reader, idle", async () => {
  const body = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf";
  const never: FetchHandler = (request) =>
    new Promise((_, reject) => request.signal.addEventListener("abort", reject, { once: true }));
  const big: FetchHandler = () => new Response("x".repeat(10_000));
  const read: FetchHandler = async (request) => new Response(await request.text());
  const phases: [FetchHandler, string, ServeFetchOptions][] = [
    [hello, "", { headMs: 1 }],
    [hello, "GET / HT", { headMs: 1 }],
    [read, body, { stallMs: 1 }],
    [never, `${GET}\r\n`, { stallMs: 1 }],
    [big, `${GET}\r\n`, { stallMs: 1 }],
  ];
  await Promise.all(phases.map(async ([handler, text, options]) => {
    const [near, far] = memoryPair({ highWaterMark: 100 });
    const serving = serveFetch(near, handler, options);
    if (text !== "") await far.write(latin1Bytes(text));
    await serving;
    await far.closed;
  }));
});

Deno.test("an idle connection ends cleanly, and a request that crosses the end is not looked at", async () => {
  const [near, far] = memoryPair();
  let served = 0;
  const serving = serveFetch(near, () => {
    served++;
    return hello();
  }, { keepAliveMs: 1 });
  await far.write(latin1Bytes(`${GET}\r\n`));
  assert.match(await readAll(far), /hello$/);
  await far.write(latin1Bytes(`${GET}\r\n`));
  await far.closeWrite();
  await serving;
  assert.equal(served, 1);
});

Deno.test("onUpgrade may take the connection with what came behind the head, or refuse", async () => {
  const upgrade = `${GET}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\nframe`;
  const [near, far] = memoryPair();
  let rest = "";
  const serving = serveFetch(near, hello, {
    onUpgrade: ({ protocols, take }) => {
      rest = `${protocols} ${latin1(take())}`;
      return undefined;
    },
  });
  await far.write(latin1Bytes(upgrade));
  await serving;
  assert.equal(rest, "websocket frame");
  // The connection was left as it is.
  await near.write(latin1Bytes("pong"));
  assert.equal(latin1(await far.read() ?? new Uint8Array(0)), "pong");

  const refused = await talk(hello, `${GET}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n${GET}\r\n`, {
    onUpgrade: () => new Response(null, { status: 401 }),
  });
  assert.match(refused, /^HTTP\/1.1 401 [^]*HTTP\/1.1 200 /);
});
