import assert from "node:assert/strict";
import { Fields } from "../../protocol/http/field.ts";
import { parseRequestHead, parseResponseHead, type RequestHead, type ResponseHead } from "../../protocol/http/head.ts";
import { cleanTrailers, setUpgrade, stripRequest, stripResponse } from "./hop_by_hop.ts";

function request(lines: string, version = "1.1"): RequestHead {
  return parseRequestHead(`GET / HTTP/${version}\r\nHost: a.example\r\n${lines}\r\n\r\n`);
}

function response(lines: string, status = 200, version = "1.1"): ResponseHead {
  return parseResponseHead(`HTTP/${version} ${status} X\r\n${lines}\r\n\r\n`);
}

const HOST = "Host: a.example\r\n";
const REQUEST_LINES = [
  "Connection: close",
  "Keep-Alive: timeout=5",
  "Proxy-Connection: keep-alive",
  "Proxy-Authenticate: Basic",
  "Proxy-Authentication-Info: a",
  "Proxy-Authorization: Basic YTpi",
  "TE: trailers",
  "Upgrade: websocket",
  "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
  "Expect: 100-continue",
];

for (const line of REQUEST_LINES) {
  Deno.test(`stripRequest() and stripResponse() drop "${line}"`, () => {
    const head = request(line);
    stripRequest(head);
    assert.equal(head.fields.toText(), HOST);
    const answer = response(line);
    stripResponse(answer);
    assert.equal(answer.fields.size, 0);
  });
}

Deno.test("stripRequest() drops what Connection names, before anything is added", () => {
  const head = request(
    "Connection: X-Secret, keep-alive,x-other\r\nX-Secret: 1\r\nX-Other: 2\r\nX-Kept: 3\r\nConnection: X-Third\r\nX-Third: 4",
  );
  assert.equal(stripRequest(head).keepAlive, true);
  assert.equal(head.fields.toText(), `${HOST}X-Kept: 3\r\n`);
});

Deno.test("Connection cannot remove fields that others depend on (Traefik CVE-2024-45410)", () => {
  const kept = [
    "Host",
    "Content-Length",
    "Transfer-Encoding",
    "Cookie",
    "Authorization",
    "Content-Type",
    "Cache-Control",
  ];
  const head = request(`Connection: ${kept.join(", ")}\r\n${kept.slice(1).map((name) => `${name}: 1`).join("\r\n")}`);
  stripRequest(head);
  assert.deepEqual([...head.fields].map((field) => field.name), kept);
  const answer = response("Connection: Content-Length, Set-Cookie\r\nContent-Length: 1\r\nSet-Cookie: a=b");
  stripResponse(answer);
  assert.equal(answer.fields.size, 2);
});

Deno.test("stripRequest() says whether the connection stays", () => {
  for (
    const [lines, version, keepAlive] of [
      ["A: b", "1.1", true],
      ["Connection: keep-alive", "1.1", true],
      ["Connection: Close", "1.1", false],
      ["Connection: keep-alive, close", "1.1", false],
      ["A: b", "1.0", false],
      ["Connection: Keep-Alive", "1.0", true],
    ] as const
  ) {
    assert.equal(stripRequest(request(lines, version)).keepAlive, keepAlive, lines);
    assert.equal(stripResponse(response(lines, 200, version)).keepAlive, keepAlive, lines);
  }
});

Deno.test("an upgrade is real only when Connection says so, in HTTP/1.1, and never to h2c", () => {
  for (
    const [lines, version, upgrade] of [
      ["Connection: Upgrade\r\nUpgrade: websocket", "1.1", "websocket"],
      ["Connection: keep-alive, upgrade\r\nUpgrade: WebSocket", "1.1", "WebSocket"],
      ["Connection: upgrade\r\nUpgrade: SPDY/3.1, foo", "1.1", "SPDY/3.1, foo"],
      ["Connection: upgrade\r\nUpgrade: websocket, h2c", "1.1", "websocket"],
      ["Connection: upgrade, http2-settings\r\nUpgrade: H2C\r\nHTTP2-Settings: AAM", "1.1", undefined],
      ["Connection: upgrade\r\nUpgrade: HTTP/2.0", "1.1", undefined],
      ["Upgrade: websocket", "1.1", undefined],
      ["Connection: upgrade", "1.1", undefined],
      ["Connection: upgrade\r\nUpgrade: websocket", "1.0", undefined],
    ] as const
  ) {
    const head = request(lines, version);
    assert.equal(stripRequest(head).upgrade, upgrade, lines);
    assert.equal(head.fields.toText(), HOST);
  }
});

Deno.test("stripResponse() keeps the protocol of a 101 and of a 426 only", () => {
  const lines = "Connection: upgrade\r\nUpgrade: websocket";
  assert.equal(stripResponse(response(lines, 101)).upgrade, "websocket");
  assert.equal(stripResponse(response(lines, 426)).upgrade, "websocket");
  assert.equal(stripResponse(response(lines, 200)).upgrade, undefined);
});

Deno.test("setUpgrade() sends the two fields of an upgrade", () => {
  const fields = new Fields();
  setUpgrade(fields, "websocket");
  assert.equal(fields.toText(), "Connection: Upgrade\r\nUpgrade: websocket\r\n");
});

Deno.test("stripRequest() notes Expect and TE", () => {
  const hop = stripRequest(request("Expect: 100-Continue\r\nTE: deflate;q=0.5, trailers"));
  assert.deepEqual([hop.expectsContinue, hop.acceptsTrailers], [true, true]);
  const other = stripRequest(request("Expect: something\r\nTE: xtrailers"));
  assert.deepEqual([other.expectsContinue, other.acceptsTrailers], [false, false]);
  assert.equal(stripRequest(request("Expect: 100-continue", "1.0")).expectsContinue, false);
});

Deno.test("cleanTrailers() keeps what carries no decision", () => {
  const trailers = new Fields(
    [
      "Content-Length",
      "Host",
      "Transfer-Encoding",
      "Authorization",
      "Set-Cookie",
      "Connection",
      "X-Forwarded-For",
      "X_Real_IP",
    ]
      .map((name) => ({ name, value: "1" })),
  );
  assert.equal(cleanTrailers(trailers), undefined);
  trailers.append("X-Checksum", "1");
  assert.equal(cleanTrailers(trailers)?.toText(), "X-Checksum: 1\r\n");
  assert.equal(cleanTrailers(undefined), undefined);
});
