import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { type CodedError, createChild, enrol, type Enrolment, parseInvite } from "../mod.ts";
import type { ConnDuplex } from "../net/conn_duplex.ts";
import { SILENT } from "../net/log.ts";
import { FramePeer } from "../net/testing/frame_peer.ts";
import { encodeFrame, OPCODE, type Opcode } from "../protocol/frame.ts";
import { MAX_CONTROL_MESSAGE_BYTES, MAX_STREAM_MESSAGE_BYTES } from "../protocol/limits.ts";
import type { Rule } from "../protocol/rule.ts";
import type { StreamMessage } from "../protocol/stream_message.ts";
import {
  connectTcp,
  echoTarget,
  eventually,
  httpTarget,
  request,
  SOAK,
  startServer,
  startTunnel,
  type TestServer,
} from "./harness.ts";
import { dialData, dialEndpoint, helloOf, RawClient } from "./harness/raw_client.ts";

async function enrolled(server: TestServer): Promise<Enrolment> {
  const invite = parseInvite(await server.invite());
  return await enrol(invite, invite.token);
}

async function kindOf(work: Promise<unknown>): Promise<string> {
  return await work.then(() => "fulfilled", (error: CodedError) => error.kind);
}

function openFiles(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

function frame(
  opcode: Opcode,
  payload: string | Uint8Array,
  change: (bytes: Uint8Array) => void = () => {},
): Uint8Array {
  const bytes = encodeFrame(Buffer.from(payload as string), { opcode, masked: true });
  change(bytes);
  return bytes;
}

function message(value: unknown): Uint8Array {
  return frame(OPCODE.text, JSON.stringify(value));
}

function notFinal(bytes: Uint8Array): void {
  bytes[0]! &= 0x7f;
}

function repeat(count: number, bytes: Uint8Array): Uint8Array {
  return Buffer.concat(Array.from({ length: count }, () => bytes));
}

/** What breaks the rules on any WebSocket of ours. */
const BROKEN_FRAMES: readonly (readonly [what: string, bytes: Uint8Array])[] = [
  ["a frame without a mask", encodeFrame(Buffer.from("{}"), { opcode: OPCODE.text, masked: false })],
  ["a reserved bit", frame(OPCODE.text, "{}", (bytes) => bytes[0]! |= 0x40)],
  ["a reserved type", frame(OPCODE.text, "{}", (bytes) => bytes[0] = 0x83)],
  ["a ping in pieces", frame(OPCODE.ping, "", notFinal)],
  ["a continuation of nothing", frame(OPCODE.continuation, "{}")],
  ["text that is no JSON", frame(OPCODE.text, "{")],
  ["text that is not UTF-8", frame(OPCODE.text, new Uint8Array([0xff, 0xfe]))],
  ["a flood of pings", repeat(200, frame(OPCODE.ping, "x"))],
  ["a length of 2^63", Buffer.from([0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])],
  ["a length in a longer form than needed", Buffer.from([0x81, 0xfe, 0, 2, 0, 0, 0, 0, 0x7b, 0x7d])],
  [
    "65 pieces",
    Buffer.concat([frame(OPCODE.text, "{", notFinal), repeat(70, frame(OPCODE.continuation, " ", notFinal))]),
  ],
  [
    "endless empty pieces",
    Buffer.concat([frame(OPCODE.text, "{", notFinal), repeat(200, frame(OPCODE.continuation, "", notFinal))]),
  ],
];

const BROKEN_CONTROL: typeof BROKEN_FRAMES = [
  ...BROKEN_FRAMES,
  ["a second hello", message(helloOf())],
  ["a message of the server's", message({ kind: "pool", count: 1 })],
  ["a welcome", message({ kind: "rules.applied", revision: 1, rules: [] })],
  ["a message without a kind", message({ revision: 1 })],
  ["a kind that is no string", message({ kind: ["rules"] })],
  ["rules of a wrong shape", message({ kind: "rules", revision: -1, rules: [] })],
  [
    "a rule of a wrong shape",
    message({ kind: "rules", revision: 1, rules: [{ kind: "tcp", port: 70_000, target: "" }] }),
  ],
  ["a request whose id is no number", message({ kind: "request", id: "1", method: "port.list", params: {} })],
  ["binary", frame(OPCODE.binary, "{}")],
  [
    "a message over 1 MiB",
    Buffer.concat([
      frame(OPCODE.text, " ".repeat(60_000), notFinal),
      repeat(20, frame(OPCODE.continuation, " ".repeat(60_000), notFinal)),
    ]),
  ],
  ["a frame over 1 MiB", Buffer.concat([bigFrameHeader(MAX_CONTROL_MESSAGE_BYTES + 1), new Uint8Array(1000)])],
];

const BROKEN_DATA: typeof BROKEN_FRAMES = [
  ...BROKEN_FRAMES,
  [
    "a stream towards the server",
    message({ kind: "open", rule: "tcp/22", revision: 1, protocol: "tcp", visitor: { address: "192.0.2.1", port: 1 } }),
  ],
  ["bytes without a stream", frame(OPCODE.binary, "bytes")],
  ["an answer without a stream", message({ kind: "ok" })],
  ["an error without a stream", message({ kind: "error", code: "E2001", message: "" })],
  ["a fin without a stream", message({ kind: "fin", written: 0 })],
  ["a fin of less than nothing", message({ kind: "fin", written: -1 })],
  ["a message over 16 KiB", frame(OPCODE.text, " ".repeat(MAX_STREAM_MESSAGE_BYTES + 1))],
  ["a message of an unknown kind", message({ kind: "__proto__" })],
];

function bigFrameHeader(length: number): Uint8Array {
  const header = Buffer.alloc(14);
  header[0] = 0x81;
  header[1] = 0xff;
  header.writeBigUInt64BE(BigInt(length), 2);
  return header;
}

/** Reads until the connection is gone. */
async function drained(transport: ConnDuplex): Promise<void> {
  try {
    while (await transport.read() !== null);
  } catch {
    // Gone is gone.
  }
  transport.close();
}

Deno.test("a violation on a control channel ends its session, with a logged code, and no other", async (t) => {
  await using server = await startServer();
  await using other = await startTunnel(server);
  const identity = await enrolled(server);
  for (const [what, bytes] of BROKEN_CONTROL) {
    await t.step(what, async () => {
      const from = server.log.entries.length;
      await using client = await RawClient.dial(server.tlsPort, identity);
      const { session } = await client.join();
      await client.transport.write(bytes);
      await drained(client.transport);
      await server.log.waitFor("control ended", { code: "E3009" }, { from });
      await server.log.waitFor("tunnel disconnected", { code: "E3009", tunnel: identity.tunnel }, { from });
      await using again = await RawClient.dial(server.tlsPort, identity);
      assert.notEqual((await again.join()).session, session);
    });
  }
  assert.equal((await request(server.httpPort, { host: other.hostname })).status, 200);
  assert.equal(other.events.filter(({ kind }) => kind === "disconnected").length, 0);
});

Deno.test("what comes before hello is refused: nothing is given to who does not say who they are", async (t) => {
  await using server = await startServer();
  const identity = await enrolled(server);
  for (
    const [what, bytes] of [
      ["rules", message({ kind: "rules", revision: 1, rules: [] })],
      ["a request", message({ kind: "request", id: 1, method: "port.allocate", params: {} })],
      ["a hello of another protocol", message({ ...helloOf(), protocol: 2 })],
      ["a hello of another role", message({ ...helloOf(), role: "admin" })],
      ["a hello that is too long", message({ ...helloOf(), host: "x".repeat(2000) })],
    ] as const
  ) {
    await t.step(what, async () => {
      const from = server.log.entries.length;
      await using client = await RawClient.dial(server.tlsPort, identity);
      await client.transport.write(bytes);
      await drained(client.transport);
      await server.log.waitFor("control ended", { code: "E3009" }, { from });
      assert.equal(await server.metric("spokes_sessions"), 0);
    });
  }
});

Deno.test("a violation on a data channel ends its session, with a logged code, and no other (R9)", async (t) => {
  await using server = await startServer();
  await using other = await startTunnel(server);
  const identity = await enrolled(server);
  for (const [what, bytes] of BROKEN_DATA) {
    await t.step(what, async () => {
      const from = server.log.entries.length;
      await using client = await RawClient.dial(server.tlsPort, identity);
      const { session, secret } = await client.join();
      const { transport } = await dialData(server.tlsPort, identity, { credential: `${session}.${secret}` });
      await transport.write(bytes);
      await drained(transport);
      const bye = await client.ended();
      assert.equal(bye?.code, "E3009");
      await server.log.waitFor("tunnel disconnected", { code: "E3009", tunnel: identity.tunnel }, { from });
    });
  }
  assert.equal((await request(server.httpPort, { host: other.hostname })).status, 200);
  assert.equal(other.events.filter(({ kind }) => kind === "disconnected").length, 0);
});

Deno.test("rules from a session that only uses a tunnel end that session, not the one that serves", async () => {
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  await using user = await RawClient.dial(server.tlsPort, tunnel.identity);
  await user.join({ role: "use" });
  await user.transport.write(message({ kind: "rules", revision: 1, rules: [] }));
  assert.equal((await user.ended())?.code, "E3009");
  assert.equal((await request(server.httpPort, { host: tunnel.hostname })).status, 200);
});

Deno.test("a data channel needs the secret of its own session (R11)", async () => {
  await using server = await startServer();
  const [mine, theirs] = [await enrolled(server), await enrolled(server)];
  await using client = await RawClient.dial(server.tlsPort, mine);
  await using victim = await RawClient.dial(server.tlsPort, theirs);
  const [own, other] = [await client.join(), await victim.join()];
  const attempts: [credential: string, kind: string][] = [
    [`${other.session}.${own.secret}`, "TOKEN_INVALID"],
    [`${other.session}.`, "TOKEN_INVALID"],
    [`${other.session}.${other.secret.slice(0, -1)}`, "TOKEN_INVALID"],
    [other.session, "SESSION_UNKNOWN"],
    [`.${other.secret}`, "SESSION_UNKNOWN"],
    [`__proto__.${other.secret}`, "SESSION_UNKNOWN"],
    [mine.token, "SESSION_UNKNOWN"],
  ];
  for (const [credential, kind] of attempts) {
    assert.equal(await kindOf(dialData(server.tlsPort, mine, { credential })), kind, credential);
    if (kind === "TOKEN_INVALID") continue;
  }
  assert.equal(await server.metric("spokes_data_channels"), 0);
});

Deno.test("streams are opened from the side that was fixed at the dial, and by a client only into the mesh (R9, R19)", async () => {
  await using server = await startServer();
  const identity = await enrolled(server);
  for (const opener of ["", "CLIENT", "SERVER", "server%00"]) {
    await using client = await RawClient.dial(server.tlsPort, identity);
    const { session, secret } = await client.join();
    const dialled = dialData(server.tlsPort, identity, { credential: `${session}.${secret}`, opener });
    assert.equal(await kindOf(dialled), "UPGRADE_REQUIRED", opener);
  }
  const visitor = { address: "192.0.2.1", port: 1 };
  const open: StreamMessage = { kind: "open", rule: "tcp/22", revision: 1, protocol: "tcp", visitor };
  const connect: StreamMessage = { kind: "connect", destination: { transport: "tcp", host: "127.0.0.1", port: 9400 } };
  for (const [opener, first] of [["client", open], ["server", connect], ["server", open]] as const) {
    await using client = await RawClient.dial(server.tlsPort, identity);
    const { session, secret } = await client.join();
    const { transport } = await dialData(server.tlsPort, identity, { credential: `${session}.${secret}`, opener });
    await new FramePeer(transport, { client: true }).say(first);
    assert.equal((await client.ended())?.code, "E3009", `${first.kind} where the ${opener} opens`);
    transport.reset();
  }
});

Deno.test("a tunnel cannot publish what belongs to another, nor below it, nor what is reserved", async () => {
  await using target = await echoTarget();
  await using server = await startServer();
  await using owner = await startTunnel(server);
  await owner.http(() => new Response("owner"));
  const blog = await owner.http(() => new Response("owner"), { domain: `blog.${server.domain}` });
  const port = await owner.tcp(target.address);
  await using thief = await startTunnel(server);
  const wanted: [domain: string, code: string][] = [
    [owner.hostname, "E4001"],
    [`a.${owner.hostname}`, "E4001"],
    [blog, "E4001"],
    [`a.${blog}`, "E4001"],
    [server.domain, "E4002"],
    [`www.${server.domain}`, "E4002"],
    [`_acme-challenge.${server.domain}`, "E4003"],
    ["bank.example", "E4016"],
    ["__proto__", "E4003"],
    [`xn--zzzzzzzz.${server.domain}`, "E4003"],
    ["127.0.0.1", "E4003"],
  ];
  const states = await thief.tunnel.setRules(
    wanted.map(([domain]) => ({ kind: "http", domain, target: () => new Response("thief") })),
  );
  for (const [index, [domain, code]] of wanted.entries()) {
    const state = states[index];
    assert.equal(`${state?.state} ${state?.code}`, `inactive ${code}`, domain);
    const answer = await request(server.httpPort, { host: domain });
    assert.doesNotMatch(answer.text, /thief/, domain);
  }
  const [taken, free] = await thief.tunnel.setRules([
    { kind: "tcp", port, target: target.address },
    { kind: "tcp", port: port + 1, target: target.address },
  ]);
  assert.equal(taken?.code, "E4006");
  assert.equal(free?.code, "E4007", "a port must be allocated first");
  assert.equal(await kindOf(thief.tunnel.request("port.release", { port })), "PORT_TAKEN");
  assert.equal(await kindOf(thief.tunnel.request("name.release", { domain: blog })), "NAME_NOT_ALLOWED");
  assert.equal(await kindOf(thief.tunnel.request("name.check", { domain: blog })), "NAME_TAKEN");
});

Deno.test("names and ports stay their tunnel's while it is away, and rest when they are released (R12)", async () => {
  await using server = await startServer();
  await using owner = await startTunnel(server);
  const domain = await owner.http(() => new Response("owner"), { domain: `shop.${server.domain}` });
  const { port } = await owner.tunnel.request("port.allocate", {});
  await owner.tunnel.stop();
  await eventually(async () => await server.metric("spokes_sessions") === 0, "the owner to be gone");
  await using other = await startTunnel(server);
  assert.equal(
    await kindOf(
      other.http(() => new Response("other"), { domain }).catch((error) => {
        throw Object.assign(error, { kind: /E4001/.test(error.message) ? "NAME_TAKEN" : error.message });
      }),
    ),
    "NAME_TAKEN",
  );
  assert.equal(await kindOf(other.tunnel.request("port.allocate", { port })), "PORT_TAKEN");
  await using back = await startTunnel(server, [], { identity: owner.identity });
  await back.tunnel.request("name.release", { domain });
  assert.equal(
    await kindOf(other.tunnel.request("rule.check", { rule: { kind: "http", domain, target: "" } })),
    "fulfilled",
  );
  const [state] = await other.tunnel.setRules([{ kind: "http", domain, target: () => new Response("other") }]);
  assert.equal(state?.code, "E4005");
});

Deno.test("a one-shot has no more rights than its parent, and none over the parent's other names", async () => {
  await using server = await startServer();
  await using parent = await startTunnel(server);
  const child = await createChild(parent.address, parent.identity.token);
  await using running = await startTunnel(server, [], { identity: { ...child, ca: parent.identity.ca! } });
  assert.equal(await kindOf(createChild(parent.address, child.token)), "USAGE");
  assert.equal(await kindOf(running.tunnel.request("name.release", { domain: parent.hostname })), "NAME_NOT_ALLOWED");
  await using stranger = await startTunnel(server);
  const [state] = await running.tunnel.setRules([{
    kind: "http",
    domain: stranger.hostname,
    target: () => new Response(),
  }]);
  assert.equal(state?.code, "E4001");
});

Deno.test("tunnels with one display name are not mixed up (R22)", async () => {
  await using server = await startServer();
  await using first = await startTunnel(server);
  await using second = await startTunnel(server);
  for (const { tunnel } of [first, second]) await tunnel.request("tunnel.rename", { name: "my laptop" });
  await first.http(() => new Response("first"));
  await second.http(() => new Response("second"));
  assert.equal((await request(server.httpPort, { host: first.hostname })).text, "first");
  assert.equal((await request(server.httpPort, { host: second.hostname })).text, "second");
  assert.notEqual(
    (await first.tunnel.request("tunnel.info", {})).id,
    (await second.tunnel.request("tunnel.info", {})).id,
  );
});

Deno.test("requests: unknown methods and wrong parameters are answered with a code; too many at once are a violation", async () => {
  await using server = await startServer();
  await using client = await RawClient.dial(server.tlsPort, await enrolled(server));
  await client.join();
  const cases: [method: string, params: unknown, code: string][] = [
    ["__proto__", {}, "E3014"],
    ["constructor", {}, "E3014"],
    ["toString", {}, "E3014"],
    ["port.allocate", { port: "22000" }, "E1400"],
    ["port.allocate", { port: 2 ** 31 }, "E1400"],
    ["port.allocate", { port: 1 }, "E4008"],
    ["port.allocate", null, "E1400"],
    ["tunnel.rename", { name: "\u202Eevil" }, "E5007"],
    ["name.check", { domain: "<script>" }, "E1400"],
    ["rule.check", {
      rule: { kind: "http", domain: "a.example", target: "", firewall: [{ action: "allow", network: "x" }] },
    }, "E4013"],
  ];
  for (const [id, [method, params, code]] of cases.entries()) {
    await client.control.send({ kind: "request", id, method, params });
    const { error } = await client.next("response");
    assert.equal(error?.code, code, `${method} ${JSON.stringify(params)}`);
  }
  const flood = Buffer.concat(
    Array.from({ length: 200 }, (_, id) => message({ kind: "request", id, method: "port.allocate", params: {} })),
  );
  await client.transport.write(flood);
  assert.equal((await client.ended())?.code, "E3009");
});

Deno.test("unknown kinds of messages and unknown fields are ignored: that is how versions evolve", async () => {
  await using server = await startServer();
  await using client = await RawClient.dial(server.tlsPort, await enrolled(server));
  await client.join();
  for (const kind of ["metrics", "__proto__", "constructor"]) {
    await client.transport.write(frame(OPCODE.text, `{"kind":"${kind}","__proto__":{"admin":true}}`));
  }
  await client.transport.write(message({ kind: "request", id: 7, method: "port.list", params: { more: 1 }, more: 2 }));
  assert.deepEqual((await client.next("response")).result, { ports: [] });
});

Deno.test("rules that are sent faster than they are applied cost one state, not all of them", async () => {
  await using server = await startServer();
  await using client = await RawClient.dial(server.tlsPort, await enrolled(server));
  const { tunnel: { hostname } } = await client.join();
  const rules = (revision: number): Rule[] => [
    { kind: "http", domain: `r${revision}.${hostname}`, target: "", firewall: [] },
  ];
  const last = 300;
  const flood = Array.from(
    { length: last },
    (_, at) => message({ kind: "rules", revision: at + 1, rules: rules(at + 1) }),
  );
  await client.transport.write(Buffer.concat(flood));
  const applied: number[] = [];
  do {
    const { revision, rules: [state] } = await client.next("rules.applied");
    assert.equal(state?.id, `http/r${revision}.${hostname}`);
    applied.push(revision);
  } while (applied.at(-1) !== last);
  assert.ok(applied.length < last / 2, `${applied.length} states were applied`);
  assert.deepEqual(applied, applied.toSorted((a, b) => a - b));
});

Deno.test("random bytes on every port neither end the process nor raise its memory (R2)", async () => {
  const count = SOAK ? 20_000 : 150;
  const errors: string[] = [];
  // Nothing of the test's own may grow with the count.
  await using server = await startServer({ logger: { ...SILENT, error: (event) => errors.push(event) } });
  await using target = await httpTarget(() => new Response("ok"));
  await using tunnel = await startTunnel(server, [], { logger: SILENT });
  await tunnel.http(() => new Response("ok"));
  const tcpPort = await tunnel.tcp(target.address);
  const { ca } = tunnel.address;
  async function plain(port: number, bytes: Uint8Array): Promise<void> {
    try {
      await using wire = await connectTcp(port);
      await wire.send(bytes);
      await wire.endWrite();
      await wire.readToEnd();
    } catch {
      // A reset is a fine answer to nonsense.
    }
  }
  async function behindTls(bytes: Uint8Array): Promise<void> {
    const connection = await dialEndpoint(server.tlsPort, { ca });
    try {
      await connection.write(bytes);
      await connection.closeWrite();
      while (await connection.read() !== null);
    } catch {
      // The same.
    }
    connection.close();
  }
  async function round(): Promise<void> {
    const bytes = randomBytes(Math.floor(Math.random() * 2000));
    const hello = Buffer.concat([Buffer.from([22, 3, 1, bytes.length >> 8, bytes.length & 255, 1]), bytes]);
    const head = Buffer.concat([Buffer.from("GET / HTTP/1.1\r\nHost: "), bytes, Buffer.from("\r\n\r\n")]);
    await Promise.all([
      ...[server.httpPort, server.tlsPort, server.adminPort, tcpPort].map((port) => plain(port, bytes)),
      plain(server.tlsPort, hello),
      plain(server.httpPort, head),
      behindTls(bytes),
      behindTls(Buffer.concat([Buffer.from("GET /tunnel/v1/control HTTP/1.1\r\nHost: x\r\nX: "), bytes])),
    ]);
  }
  for (let warm = 0; warm < Math.max(30, count / 10); warm++) await round();
  const before = Deno.memoryUsage().rss;
  const files = openFiles();
  for (let at = 0; at < count; at++) {
    await round();
    // The runtime gives the files of closed TLS connections back when it is idle for a moment.
    if (at % 50 === 49) await eventually(() => openFiles() < files + 50, "files to be closed");
  }
  assert.ok(Deno.memoryUsage().rss - before < 128 * 1024 * 1024, "memory stays where it was");
  assert.equal((await request(server.httpPort, { host: tunnel.hostname })).text, "ok");
  assert.equal(tunnel.events.filter(({ kind }) => kind === "disconnected").length, 0);
  await eventually(async () => await server.metric("spokes_http_visitors") === 0, "visitors to be gone");
  assert.deepEqual(errors, []);
});
