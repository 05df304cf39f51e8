import assert from "node:assert/strict";
import { CodedError, type ErrorName } from "../protocol/errors.ts";
import { connectRefusal, negotiateConnect } from "./connect_proxy.ts";
import type { Duplex } from "./duplex.ts";
import { memoryPair } from "./memory_duplex.ts";
import type { ProxyOptions, ProxyRequest } from "./proxy_request.ts";
import { pushback } from "./testing/pushback.ts";

const REQUEST = "CONNECT redis:6379 HTTP/1.1\r\nHost: redis:6379\r\n\r\n";
const OLD_REQUEST = "CONNECT [2001:db8::1]:22 HTTP/1.0\r\n\r\n";
const BOB = `CONNECT redis:6379 HTTP/1.1\r\nHost: redis:6379\r\nProxy-Authorization: Basic ${
  btoa("bob:secret")
}\r\n\r\n`;

type Outcome = { request: ProxyRequest<string>; error?: undefined } | { request?: undefined; error: CodedError };

function visit(options: ProxyOptions<string> = {}): {
  client: Duplex;
  near: Duplex;
  outcome: Promise<Outcome>;
  send: (text: string) => Promise<void>;
  received: () => Promise<string>;
} {
  const [end, client] = memoryPair();
  const near = pushback(end);
  const outcome = negotiateConnect(near, options)
    .then((request): Outcome => ({ request }), (error): Outcome => ({ error }));
  return {
    ...{ client, near, outcome },
    send: async (text) => await client.write(new TextEncoder().encode(text)),
    async received() {
      let text = "";
      try {
        for (let bytes = await client.read(); bytes !== null; bytes = await client.read()) {
          text += new TextDecoder().decode(bytes);
        }
        await client.closeWrite();
        return text;
      } catch {
        return `${text}(reset)`;
      }
    },
  };
}

function bob(user: string, password: string): string | null {
  return user === "bob" && password === "secret" ? "identity of bob" : null;
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setTimeout(resolve));
}

for (
  const [name, text, host, port] of [
    ["a CONNECT", REQUEST, "redis", 6379],
    ["a CONNECT as nc sends it", OLD_REQUEST, "2001:db8::1", 22],
  ] as const
) {
  Deno.test(`${name} is taken wherever it is split, and what is behind it is read next`, async () => {
    for (let cut = 1; cut <= text.length; cut++) {
      const { client, near, outcome, send } = visit();
      await send(text.slice(0, cut));
      await settle();
      await send(`${text.slice(cut)}SSH-2.0`);
      const { request } = await outcome;
      assert.deepEqual(request?.destination, { transport: "tcp", host, port }, `cut after ${cut}`);
      let behind = "";
      while (behind.length < 7) behind += new TextDecoder().decode(await near.read() ?? undefined);
      assert.equal(behind, "SSH-2.0");
      await request.succeed();
      const answer = new TextDecoder().decode(await client.read() ?? undefined);
      assert.equal(answer, "HTTP/1.1 200 Connection established\r\n\r\n");
      client.reset();
    }
  });

  Deno.test(`${name} that ends before it is whole is refused, wherever it ends`, async () => {
    for (let cut = 0; cut < text.length; cut++) {
      const { client, outcome, send, received } = visit();
      await send(text.slice(0, cut));
      await client.closeWrite();
      assert.equal((await outcome).error?.kind, cut === 0 ? "STREAM_RESET" : "BAD_REQUEST", `cut after ${cut}`);
      assert.match(await received(), cut === 0 ? /^\(reset\)$/ : /^HTTP\/1\.1 400 Bad Request\r\n/);
    }
  });

  Deno.test(`${name} that stops anywhere is cut at the deadline`, async () => {
    const visits = [];
    for (let cut = 0; cut < text.length; cut++) {
      const waiting = visit({ deadlineMs: 20 });
      await waiting.send(text.slice(0, cut));
      visits.push(waiting);
    }
    for (const { outcome, received } of visits) {
      assert.equal((await outcome).error?.kind, "REQUEST_TIMEOUT");
      assert.equal(await received(), "(reset)");
    }
  });
}

Deno.test("a user and password of the proxy tell who it is", async () => {
  const { client, outcome, send } = visit({ authenticate: bob });
  await send(BOB);
  assert.equal((await outcome).request?.identity, "identity of bob");
  client.reset();
});

Deno.test("where one may come without a password, a wrong or malformed one is refused all the same", async () => {
  const options = { authenticate: bob, anonymous: () => "nobody" };
  for (const [sent, identity] of [[REQUEST, "nobody"], [BOB, "identity of bob"]] as const) {
    const { client, outcome, send } = visit(options);
    await send(sent);
    assert.equal((await outcome).request?.identity, identity);
    client.reset();
  }
  for (const credential of [`Basic ${btoa("bob:guess")}`, "Bearer bob", "Basic", "Basic !"]) {
    const { outcome, send, received } = visit(options);
    await send(REQUEST.replace("\r\n\r\n", `\r\nProxy-Authorization: ${credential}\r\n\r\n`));
    assert.match(await received(), /^HTTP\/1\.1 407 /, credential);
    assert.equal((await outcome).error?.kind, "PROXY_UNAUTHORIZED");
  }
});

const REFUSALS: readonly [name: string, sent: string, answer: RegExp, kind: ErrorName][] = [
  [
    "a GET",
    "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
    /^HTTP\/1\.1 405 .*\r\nAllow: CONNECT\r\n/s,
    "METHOD_NOT_ALLOWED",
  ],
  ["no password", REQUEST, /^HTTP\/1\.1 407 .*\r\nProxy-Authenticate: Basic /s, "PROXY_UNAUTHORIZED"],
  ["a wrong password", BOB.replace(btoa("bob:secret"), btoa("bob:guess")), /^HTTP\/1\.1 407 /, "PROXY_UNAUTHORIZED"],
  [
    "two passwords",
    BOB.replace("\r\n\r\n", "\r\nProxy-Authorization: Basic eA==\r\n\r\n"),
    /^HTTP\/1\.1 407 /,
    "PROXY_UNAUTHORIZED",
  ],
  ["a destination without a port", REQUEST.replaceAll(":6379", ""), /^HTTP\/1\.1 400 /, "BAD_REQUEST"],
  ["port 0", REQUEST.replaceAll(":6379", ":0"), /^HTTP\/1\.1 400 /, "BAD_REQUEST"],
  ["a short address", OLD_REQUEST.replace("[2001:db8::1]", "127.1"), /^HTTP\/1\.1 400 /, "BAD_REQUEST"],
  ["another Host", REQUEST.replace("Host: redis", "Host: other"), /^HTTP\/1\.1 400 /, "BAD_REQUEST"],
  ["garbage", "\x05\x01\x00", /^HTTP\/1\.1 400 /, "BAD_REQUEST"],
  ["an endless line", `CONNECT ${"a".repeat(9_000)}`, /^HTTP\/1\.1 414 /, "URI_TOO_LONG"],
  ["HTTP/2", "PRI * HTTP/2.0\r\n\r\n", /^HTTP\/1\.1 505 /, "VERSION_NOT_SUPPORTED"],
];

for (const [name, sent, answer, kind] of REFUSALS) {
  Deno.test(`${name} is refused with a status and a code, and the connection ends`, async () => {
    const { outcome, send, received } = visit({ authenticate: bob });
    await send(sent);
    const text = await received();
    assert.match(text, answer);
    const { error } = await outcome;
    assert.equal(error?.kind, kind);
    assert.ok(text.endsWith(`\r\n\r\n${error.code} ${error.message}\n`), text);
  });
}

Deno.test("a destination that cannot be reached is told by its status", async () => {
  const statuses: readonly [kind: ErrorName, status: number][] = [
    ["DESTINATION_DENIED", 403],
    ["DESTINATION_FORBIDDEN", 403],
    ["MESH_DISABLED", 403],
    ["DESTINATION_UNKNOWN", 502],
    ["TARGET_REFUSED", 502],
    ["SERVER_UNREACHABLE", 502],
    ["TUNNEL_OFFLINE", 503],
    ["TARGET_TIMEOUT", 504],
  ];
  for (const [kind, status] of statuses) {
    const { outcome, send, received } = visit();
    await send(REQUEST);
    const { request } = await outcome;
    const failed = request!.fail(new CodedError(kind));
    assert.match(await received(), new RegExp(`^HTTP/1\\.1 ${status} `), kind);
    await failed;
  }
});

Deno.test("a reason from elsewhere cannot add lines to an answer", () => {
  const text = new TextDecoder().decode(
    connectRefusal(new CodedError("TARGET_REFUSED", "no\r\nSet-Cookie: a=b\r\n\r\nä")),
  );
  assert.equal(text.split("\r\n\r\n").length, 2);
  assert.ok(text.endsWith("E2001 no??Set-Cookie: a=b?????\n"), text);
});
