import assert from "node:assert/strict";
import { CodedError } from "../protocol/errors.ts";
import { parseRequestHead } from "../protocol/http/head.ts";
import { latin1 } from "../protocol/http/latin1.ts";
import type { Duplex } from "./duplex.ts";
import { memoryPair, type MemoryPairOptions } from "./memory_duplex.ts";
import { acceptUpgrade, parseRefusal, requestUpgrade } from "./upgrade.ts";

const REQUEST = { host: "server.example", path: "/tunnel/v1/control", bearer: "secret" };
const ENCODER = new TextEncoder();

/** What one side sends up to its empty line. */
async function readHead(duplex: Duplex): Promise<string> {
  let text = "";
  while (!text.includes("\r\n\r\n")) {
    const bytes = await duplex.read();
    assert.ok(bytes !== null);
    text += latin1(bytes);
  }
  return text;
}

/** Runs the client against a server that answers as it is told. */
async function dial(
  answer: (head: string) => Uint8Array | string,
  options: MemoryPairOptions & { end?: boolean } = {},
): Promise<{ initial: Uint8Array; head: string }> {
  const [near, far] = memoryPair({ highWaterMark: 1_000_000, ...options });
  const upgrading = requestUpgrade(near, REQUEST);
  const failing = Promise.allSettled([upgrading]);
  const head = await readHead(far);
  const text = answer(head);
  const bytes = typeof text === "string" ? ENCODER.encode(text) : text;
  if (bytes.length > 0) await far.write(bytes);
  if (options.end === true) await far.closeWrite();
  await failing;
  near.reset();
  return { initial: await upgrading, head };
}

function accept(head: string): Uint8Array {
  const parsed = parseRequestHead(head);
  return acceptUpgrade({ head: parsed, protocols: parsed.fields.get("upgrade") ?? "" });
}

Deno.test("requestUpgrade() and acceptUpgrade() agree, wherever the answer is cut, and bytes behind it are kept", async () => {
  for (const maxRead of [1, 2, 3, 50, 1000]) {
    const { initial, head } = await dial((head) => Uint8Array.from([...accept(head), 0x81, 0x00, 0x82]), { maxRead });
    assert.match(head, /^GET \/tunnel\/v1\/control HTTP\/1\.1\r\nHost: server\.example\r\n/);
    assert.match(head, /\r\nAuthorization: Bearer secret\r\n/);
    // What came in the same read stays; the rest is read from the connection.
    assert.deepEqual([...initial], [0x81, 0x00, 0x82].slice(0, initial.length));
    if (maxRead === 1000) assert.equal(initial.length, 3);
  }
});

Deno.test("acceptUpgrade() answers as RFC 6455 1.3 shows", () => {
  const head = parseRequestHead(
    "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat, spokes.v1\r\n" +
      "Sec-WebSocket-Version: 13\r\n\r\n",
  );
  const answer = latin1(acceptUpgrade({ head, protocols: "websocket" }));
  assert.match(answer, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
  assert.match(answer, /\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/);
  assert.match(answer, /\r\nSec-WebSocket-Protocol: spokes\.v1\r\n/);
});

const GOOD: Readonly<Record<string, string>> = {
  "Host": "server.example",
  "Upgrade": "WebSocket",
  "Connection": "keep-alive, Upgrade",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Protocol": "spokes.v1",
  "Sec-WebSocket-Version": "13",
};

function acceptWith(changes: Record<string, string | null>, line = "GET / HTTP/1.1"): Uint8Array {
  const fields = Object.entries({ ...GOOD, ...changes }).filter(([, value]) => value !== null);
  return accept(`${line}\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`);
}

Deno.test("acceptUpgrade() refuses what is no handshake for us", () => {
  assert.ok(acceptWith({}).length > 0);
  const wrong: [Record<string, string | null>, string?][] = [
    [{}, "POST / HTTP/1.1"],
    [{}, "GET / HTTP/1.0"],
    [{ "Upgrade": "h2c" }],
    [{ "Sec-WebSocket-Version": "8" }],
    [{ "Sec-WebSocket-Version": null }],
    [{ "Sec-WebSocket-Key": null }],
    [{ "Sec-WebSocket-Key": "short==" }],
    [{ "Sec-WebSocket-Key": `${GOOD["Sec-WebSocket-Key"]}, ${GOOD["Sec-WebSocket-Key"]}` }],
    [{ "Sec-WebSocket-Protocol": null }],
    [{ "Sec-WebSocket-Protocol": "spokes.v2" }],
    [{ "Sec-WebSocket-Protocol": "spokes.v11" }],
  ];
  for (const [changes, line] of wrong) {
    assert.throws(() => acceptWith(changes, line), isKind("UPGRADE_REQUIRED"), JSON.stringify([changes, line]));
  }
});

function isKind(kind: CodedError["kind"], message?: string | RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof CodedError, String(error));
    assert.equal(error.kind, kind);
    if (message !== undefined) assert.match(error.message, new RegExp(message));
    return true;
  };
}

function json(status: string, body: string): string {
  return `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${
    ENCODER.encode(body).length
  }\r\n\r\n${body}`;
}

Deno.test("requestUpgrade() throws the server's refusal, wherever it is cut", async () => {
  const body = JSON.stringify({ error: { code: "E3001", message: "Schlüssel “ungültig”" } });
  for (const maxRead of [1, 2, 3, 1000]) {
    await assert.rejects(
      () => dial(() => json("401 Unauthorized", body), { maxRead }),
      (error: CodedError) => {
        assert.deepEqual([error.code, error.message], ["E3001", "Schlüssel “ungültig”"]);
        return true;
      },
    );
  }
});

Deno.test("requestUpgrade() reads a chunked refusal, and one that the close ends", async () => {
  const body = '{"error":{"code":"E3001","message":"no"}}';
  const chunked = `HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n${
    body.length.toString(16)
  }\r\n${body}\r\n0\r\n\r\n`;
  await assert.rejects(() => dial(() => chunked), { code: "E3001" });
  await assert.rejects(() => dial(() => `HTTP/1.1 403 Forbidden\r\n\r\n${body}`, { end: true }), { code: "E3001" });
});

Deno.test("requestUpgrade() tells another server from ours", async () => {
  const key = (head: string): string => latin1(accept(head));
  const others: ((head: string) => string)[] = [
    () => json("200 OK", "<h1>Welcome to nginx!</h1>"),
    () => json("404 Not Found", '{"error":"nope"}'),
    () => json("401 Unauthorized", '{"error":{"code":7,"message":[]}}'),
    () => json("502 Bad Gateway", "null"),
    () => "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n",
    () => "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    (head) => key(head).replace(/Sec-WebSocket-Accept: .../, "Sec-WebSocket-Accept: AAA"),
    (head) => key(head).replace("spokes.v1", "chat"),
    (head) => key(head).replace("Upgrade: websocket", "Upgrade: h2c"),
  ];
  for (const other of others) {
    await assert.rejects(() => dial(other), isKind("UPGRADE_REQUIRED", "not a spokes server"));
  }
});

Deno.test("requestUpgrade() fails on what is no HTTP, on a cut, and on silence that ends", async () => {
  await assert.rejects(() => dial(() => "SSH-2.0-OpenSSH_9.6\r\n"), CodedError);
  await assert.rejects(() => dial(() => "HTTP/1.1 101 Switch", { end: true }), CodedError);
  await assert.rejects(() => dial(() => "", { end: true }), isKind("SERVER_UNREACHABLE"));
  await assert.rejects(() => dial(() => `HTTP/1.1 200 OK\r\nX: ${"x".repeat(100_000)}`), CodedError);
});

Deno.test("requestUpgrade() does not read an endless refusal", async () => {
  const endless = `HTTP/1.1 500 No\r\nContent-Length: 900000\r\n\r\n${"x".repeat(60_000)}`;
  await assert.rejects(() => dial(() => endless), isKind("UPGRADE_REQUIRED"));
});

Deno.test("parseRefusal() takes nothing but our form, and cuts a long message", () => {
  assert.equal(parseRefusal("<html>"), undefined);
  assert.equal(parseRefusal("null"), undefined);
  assert.equal(parseRefusal("{}"), undefined);
  assert.equal(parseRefusal('{"error":null}'), undefined);
  const long = parseRefusal(JSON.stringify({ error: { code: "E3001", message: "m".repeat(5000) } }));
  assert.equal(long?.message.length, 1024);
});
