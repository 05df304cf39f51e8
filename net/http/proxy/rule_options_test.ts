import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes, scryptSync } from "node:crypto";
import type { HttpOptions } from "../../../protocol/http_options.ts";
import { compileHttpOptions } from "./rule_options.ts";
import { Edge, type EdgeOptions } from "./testing/http_proxy.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const ALICE = { user: "alice", hash: hashOf("wonderland") };
const RENE = { user: "ren\u00e9", hash: hashOf("\u00a3100") };

/** As `hashPassword()` makes it, with the least work that is allowed. */
function hashOf(password: string): string {
  const salt = randomBytes(16);
  const hash = scryptSync(password, salt, 32, { N: 2 ** 14, r: 8, p: 1 });
  return `$scrypt$ln=14,r=8,p=1$${[salt, hash].map((each) => each.toString("base64").replaceAll("=", "")).join("$")}`;
}

function get(fields: string = "", target: string = "/"): string {
  return `GET ${target} HTTP/1.1\r\nHost: a.example\r\n${fields}\r\n`;
}

function basic(text: string, name: string = "Authorization"): string {
  return `${name}: Basic ${Buffer.from(text).toString("base64")}\r\n`;
}

let nextAddress = 0;

/** Visitors of different tests do not pay for each other's mistakes. */
function edgeWith(options: HttpOptions, more: EdgeOptions = {}): Edge {
  return new Edge({ options, address: `198.51.100.${++nextAddress}`, ...more });
}

/** The status of the edge's own answer, after its whole page. */
async function refused(edge: Edge): Promise<string> {
  return await edge.visitor.until(/HTTP\/1.1 \d+[^]*<\/html>\n/);
}

/** One exchange that gets to the target; gives the head that the target saw. */
async function passed(edge: Edge, request: string): Promise<string> {
  await edge.visitor.send(request);
  const target = await edge.target(0);
  const head = await target.head();
  await target.send(OK);
  await edge.visitor.until(/hi$/);
  return head;
}

Deno.test("basic auth lets the right password in, removes it, and remembers it", async () => {
  await using edge = edgeWith({ basicAuth: [ALICE, RENE] });
  for (const credential of ["alice:wonderland", "ren\u00e9:\u00a3100", "alice:wonderland"]) {
    const head = await passed(edge, get(basic(credential) + "X-A: b\r\n"));
    assert.match(head, /X-A: b/);
    assert.doesNotMatch(head, /authorization/i);
  }
});

Deno.test("basic auth asks for a password without one, and refuses a wrong one, an unknown user, and another's", async () => {
  for (
    const fields of [
      "",
      basic("alice:wrong"),
      basic("bob:wonderland"),
      basic("ren\u00e9:wonderland"),
      basic("alice"),
      "Authorization: Bearer wonderland\r\n",
    ]
  ) {
    await using edge = edgeWith({ basicAuth: [ALICE, RENE] });
    await edge.visitor.send(get(fields));
    const page = await refused(edge);
    assert.match(
      page,
      /^HTTP\/1.1 401 Unauthorized\r\n[^]*\r\nWWW-Authenticate: Basic realm="[^"]+", charset="UTF-8"\r\n/,
    );
    assert.match(page, /E1401/);
    assert.equal(edge.streams.length, 0, "the target sees nothing");
    // The connection is good for another try.
    await passed(edge, get(basic("alice:wonderland")));
    assert.equal(edge.exchanges[0]?.error?.kind, "UNAUTHORIZED");
  }
});

Deno.test("one header decides, whatever others say (security R1)", async () => {
  const right = "alice:wonderland";
  const wrong = "alice:wrong";
  const proxy = "Proxy-Authorization";
  for (
    const [fields, lets] of [
      [basic(right) + basic(wrong, proxy), true],
      [basic(wrong) + basic(right, proxy), false],
      [basic(right, proxy), false],
      [basic(right) + basic(right), false],
      [basic(right) + basic(wrong), false],
      [basic(right, "Authorization_"), false],
      [`Connection: authorization\r\n${basic(right)}`, true],
    ] as const
  ) {
    await using edge = edgeWith({ basicAuth: [ALICE] });
    if (lets) assert.doesNotMatch(await passed(edge, get(fields)), /authorization/i);
    else {
      await edge.visitor.send(get(fields));
      assert.match(await refused(edge), /^HTTP\/1.1 401 /);
    }
  }
});

Deno.test("basic auth without users lets nobody in", async () => {
  await using edge = edgeWith({ basicAuth: [] });
  await edge.visitor.send(get(basic("alice:wonderland")));
  assert.match(await refused(edge), /^HTTP\/1.1 401 /);
});

Deno.test("WebSocket upgrades, CONNECT and HEAD need the password as well", async () => {
  for (
    const request of [
      get("Connection: Upgrade\r\nUpgrade: websocket\r\n"),
      "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
      "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ]
  ) {
    await using edge = edgeWith({ basicAuth: [ALICE] });
    await edge.visitor.send(request);
    assert.match(await refused(edge), /^HTTP\/1.1 401 /);
  }
  await using edge = edgeWith({ basicAuth: [ALICE] });
  await edge.visitor.send(get(basic("alice:wonderland") + "Connection: Upgrade\r\nUpgrade: websocket\r\n"));
  const target = await edge.target(0);
  assert.match(await target.head(), /Upgrade: websocket/);
  await target.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nwelcome");
  await edge.visitor.until(/welcome/);
});

Deno.test("many wrong passwords of one address are not checked any more; who was right before is let in", async () => {
  const options = { basicAuth: [ALICE] };
  await using edge = edgeWith(options);
  await passed(edge, get(basic("alice:wonderland")));
  const statuses: string[] = [];
  for (let count = 0; count < 30; count++) {
    await edge.visitor.send(get(basic(`alice:guess ${count}`)));
    statuses.push((await refused(edge)).slice(9, 12));
  }
  assert.deepEqual([statuses[0], statuses[19], statuses.at(-1)], ["401", "401", "429"]);
  await passed(edge, get(basic("alice:wonderland")));
});

Deno.test("all requests are redirected, when they may come in", async () => {
  const cases: readonly [redirect: NonNullable<HttpOptions["redirect"]>, target: string, location: string][] = [
    [{ url: "https://b.example", status: 302 }, "/x?y", "https://b.example/"],
    [{ url: "https://b.example", status: 308, keepPath: true }, "/x?y=1", "https://b.example/x?y=1"],
    [{ url: "https://b.example/docs/", status: 301, keepPath: true }, "/x", "https://b.example/docs/x"],
    [{ url: "https://b.example", status: 307, keepPath: true }, "//c.example/", "https://b.example//c.example/"],
    [{ url: "https://b.example/a b#c", status: 302 }, "/", "https://b.example/a%20b#c"],
  ];
  for (const [redirect, target, location] of cases) {
    await using edge = edgeWith({ redirect });
    for (let count = 0; count < 2; count++) {
      await edge.visitor.send(get("", target));
      const answer = await edge.visitor.head();
      assert.match(answer, new RegExp(`^HTTP/1.1 ${redirect.status} `));
      assert.equal(/\r\nLocation: (.*)\r\n/.exec(answer)?.[1], location);
      await edge.visitor.until(/\n/);
    }
  }
  await using edge = edgeWith({ basicAuth: [ALICE], redirect: { url: "https://b.example", status: 302 } });
  await edge.visitor.send(get());
  assert.match(await refused(edge), /^HTTP\/1.1 401 /);
  await edge.visitor.send(get(basic("alice:wonderland")));
  assert.match(await edge.visitor.head(), /^HTTP\/1.1 302 /);
});

Deno.test("a body that says it is too large is refused before anything is opened", async () => {
  for (const expect of ["", "Expect: 100-continue\r\n"]) {
    await using edge = edgeWith({ maxBodyBytes: 4 });
    await edge.visitor.send(`POST / HTTP/1.1\r\nHost: a.example\r\n${expect}Content-Length: 5\r\n\r\n`);
    assert.match(await refused(edge), /^HTTP\/1.1 413 Content Too Large\r\n[^]*E1413/);
    assert.equal(edge.streams.length, 0);
  }
  await using edge = edgeWith({ maxBodyBytes: 4 });
  await passed(edge, "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\nabcd");
});

for (const maxRead of [1, 1_000_000]) {
  Deno.test(`a chunked body is counted as it comes, without its framing, ${maxRead} bytes at once`, async () => {
    const post = "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n";
    {
      await using edge = edgeWith({ maxBodyBytes: 4 }, { pair: { maxRead } });
      const body = "2;extension=1\r\nab\r\n2\r\ncd\r\n0\r\nX-Sum: 12345\r\n\r\n";
      assert.match(await passed(edge, post + body), /chunked/);
    }
    {
      await using edge = edgeWith({ maxBodyBytes: 4 }, { pair: { maxRead } });
      await edge.visitor.send(`${post}4\r\nabcd\r\n`);
      const target = await edge.target(0);
      await target.until(/d\r\n/);
      await edge.visitor.send("1\r\ne\r\n");
      assert.match(await refused(edge), /^HTTP\/1.1 413 /);
      await assert.rejects(target.all(), { kind: "STREAM_RESET" });
    }
    await using edge = edgeWith({ maxBodyBytes: 4 }, { pair: { maxRead } });
    await edge.visitor.send(`${post}4\r\nabcd\r\n`);
    const target = await edge.target(0);
    await target.until(/d\r\n/);
    await target.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    await edge.visitor.until(/half/);
    await edge.visitor.send("1\r\ne\r\n");
    // An answer has begun: it cannot be taken back, only cut.
    await assert.rejects(edge.visitor.all(), { kind: "STREAM_RESET" });
    await edge.serving;
    assert.equal(edge.exchanges[0]?.error?.kind, "BODY_TOO_LARGE");
  });
}

Deno.test("prefixes of the path are stripped and added; a path without them is not there", async () => {
  await using edge = edgeWith({ stripPrefix: "/app", addPrefix: "/v1" });
  assert.match(await passed(edge, get("", "/app/x?y")), /^GET \/v1\/x\?y HTTP\/1.1\r\n/);
  assert.match(await passed(edge, get("", "http://a.example/app")), /^GET \/v1\/ HTTP\/1.1\r\n/);
  for (const target of ["/apple", "/", "/app/../x"]) {
    await edge.visitor.send(get("", target));
    assert.match(await refused(edge), /^HTTP\/1.1 404 [^]*E1440/);
  }
});

Deno.test("request headers are set and removed, in every spelling, also behind the body", async () => {
  await using edge = edgeWith({
    requestFields: { set: [["X-Role", "admin"], ["Authorization", "Bearer x"]], remove: ["X-Debug"] },
  });
  const body = "0\r\nX-Role: trailer\r\nX-Kept: 1\r\n\r\n";
  const fields = "x-role: a\r\nX_ROLE: b\r\nx_debug: 1\r\nX-DEBUG: 2\r\nX-Other: 3\r\nAuthorization: Basic x\r\n";
  await edge.visitor.send(`POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n${fields}\r\n${body}`);
  const target = await edge.target(0);
  const head = await target.head();
  assert.deepEqual(head.match(/^(x.role|x.debug|x-other|authorization):.*$/gim), [
    "X-Other: 3",
    "X-Role: admin",
    "Authorization: Bearer x",
  ]);
  assert.equal(await target.until(/0\r\n[^]*\r\n\r\n/), "0\r\nX-Kept: 1\r\n\r\n");
});

Deno.test("a password is not shown to the target, but another credential may be set for it", async () => {
  await using edge = edgeWith({ basicAuth: [ALICE], requestFields: { set: [["Authorization", "Bearer inner"]] } });
  const head = await passed(edge, get(basic("alice:wonderland")));
  assert.deepEqual(head.match(/^authorization:.*$/gim), ["Authorization: Bearer inner"]);
});

Deno.test("answer headers are set and removed, but not on what the edge says itself", async () => {
  await using edge = edgeWith({
    stripPrefix: "/app",
    responseFields: { set: [["Strict-Transport-Security", "max-age=1"]], remove: ["Server", "x-powered-by"] },
  });
  await edge.visitor.send(get("", "/app/"));
  const target = await edge.target(0);
  await target.head();
  await target.send(
    "HTTP/1.1 200 OK\r\nServer: x\r\nX-Powered-By: y\r\nStrict-Transport-Security: none\r\nX-Kept: 1\r\nTransfer-Encoding: chunked\r\n\r\n" +
      "0\r\nServer: z\r\nX-Sum: 1\r\n\r\n",
  );
  assert.equal(
    await edge.visitor.until(/X-Sum: 1\r\n\r\n/),
    "HTTP/1.1 200 OK\r\nX-Kept: 1\r\nTransfer-Encoding: chunked\r\nStrict-Transport-Security: max-age=1\r\n\r\n0\r\nX-Sum: 1\r\n\r\n",
  );
  await edge.visitor.send(get());
  assert.doesNotMatch(await refused(edge), /Strict-Transport/);
});

Deno.test("compileHttpOptions() refuses what the edge owns, and names it", () => {
  const request = [
    ...["Host", "Connection", "Upgrade", "Content-Length", "transfer-encoding", "TE", "Trailer", "Expect"],
    ...["Keep-Alive", "Proxy-Authorization", "Forwarded", "X-Forwarded-For", "x_forwarded_host", "X-Forwarded-Prefix"],
  ];
  const response = ["Connection", "Upgrade", "Content-Length", "Transfer-Encoding", "Trailer", "Keep-Alive"];
  for (const [kind, names] of [["requestFields", request], ["responseFields", response]] as const) {
    for (const name of names) {
      for (const edits of [{ set: [[name, "1"]] as [string, string][] }, { remove: [name] }]) {
        assert.throws(() => compileHttpOptions({ [kind]: edits }), (error: Error & { kind?: string }) => {
          assert.equal(error.kind, "RULE_INVALID");
          assert.ok(error.message.includes(`"${name}"`), error.message);
          return true;
        });
      }
    }
  }
});

Deno.test("compileHttpOptions() refuses what it cannot carry out, so that the rule stays closed", () => {
  const redirect = { url: "https://b.example", status: 302 } as const;
  const broken: readonly HttpOptions[] = [
    { basicAuth: [{ user: "alice", hash: "wonderland" }] },
    { basicAuth: [{ user: "alice", hash: "" }] },
    { basicAuth: [{ user: "alice" } as never] },
    { basicAuth: [ALICE, ALICE] },
    { basicAuth: [{ ...ALICE, user: "a:b" }] },
    { basicAuth: [{ ...ALICE, user: "a\n" }] },
    { redirect: { ...redirect, url: "b.example" } },
    { redirect: { ...redirect, url: "javascript:alert(1)" } },
    { redirect: { ...redirect, url: "https://user:secret@b.example" } },
    { redirect: { ...redirect, url: "https://b.example?x", keepPath: true } },
    { redirect: { ...redirect, status: 200 as never } },
    { stripPrefix: "app" },
    { stripPrefix: "/" },
    { addPrefix: "/app/" },
    { addPrefix: "/a?b" },
    { addPrefix: "/.." },
    { maxBodyBytes: -1 },
    { maxBodyBytes: 0.5 },
    { requestFields: { set: [["X Y", "1"]] } },
    { requestFields: { set: [["X-Y", "1\r\nHost: b"]] } },
    { responseFields: { remove: ["a:b"] } },
  ];
  for (const options of broken) {
    assert.throws(() => compileHttpOptions(options), { kind: "RULE_INVALID" }, JSON.stringify(options));
  }
});

Deno.test("a rule without options has nothing to apply", () => {
  assert.equal(compileHttpOptions(undefined), undefined);
});
