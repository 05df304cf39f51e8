import assert from "node:assert/strict";
import tls from "node:tls";
import { pipe } from "../../net/pipe.ts";
import { listen } from "../../net/listen.ts";
import { SocketDuplex } from "../../net/socket_duplex.ts";
import { TEST_NAME } from "../../net/testing/socket_pairs.ts";
import type { Duplex } from "../../net/duplex.ts";
import type { ChannelStream } from "../../net/channel_stream.ts";
import { parseDestination, toDestination } from "../../protocol/destination.ts";
import { CodedError } from "../../protocol/errors.ts";
import type { MeshIdentity } from "./identity.ts";
import type { MeshSetup } from "./testing/mesh_setup.ts";
import { ANONYMOUS, fakeIdentity, fakeTunnel, httpRule, tcpRule } from "./testing/fake_rules.ts";
import {
  connect,
  echo,
  encode,
  exchange,
  localServer,
  opener,
  prepareCertificate,
  readAll,
  setUpMesh,
  toPort,
  waiting,
} from "./testing/mesh_setup.ts";

const ALICE = fakeIdentity(fakeTunnel("laptop"));
const BOB = fakeIdentity(fakeTunnel("desk", { owner: "bob", tags: ["ci"] }));
const DATABASE = fakeTunnel("database", { tags: ["db"] });

async function open(setup: MeshSetup, destination: string, identity: MeshIdentity = ALICE): Promise<Duplex> {
  return (await setup.mesh.open(identity, parseDestination(destination), waiting())).duplex;
}

async function ask(duplex: Duplex, host: string, path = "/"): Promise<string> {
  return await exchange(duplex, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
}

/** A client whose HTTP target answers with its own name and what it was asked. */
function site(name: string): ReturnType<typeof opener> {
  return opener(async (stream) => {
    await stream.accept();
    for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
      const head = new TextDecoder().decode(bytes.slice());
      const forwarded = /^X-Forwarded-Host: (.*)\r$/mi.exec(head)?.[1] ?? "";
      const told = forwarded === /^Host: (.*)\r$/mi.exec(head)?.[1] ? "" : `|${forwarded}`;
      const body = `${name}|${/^Host: (.*)\r$/mi.exec(head)?.[1]}|${
        /^X-Forwarded-For: (.*)\r$/mi.exec(head)?.[1]
      }${told}`;
      await stream.write(encode(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`));
    }
    await stream.closeWrite();
  });
}

Deno.test("a stream to a TCP rule reaches its target, with half-close, and says who comes", async () => {
  await using target = await localServer();
  await using setup = setUpMesh();
  const session = opener(toPort(target.port));
  setup.online(tcpRule(DATABASE, 22_001, { service: "redis", targetPort: 6_379 }, session));
  for (const destination of ["redis:6379", "other:22001", "database.example.test:6379", "a.database.example.test:1"]) {
    assert.equal(await exchange(await open(setup, destination), "you"), "hello you", destination);
  }
  assert.deepEqual(session.opens[0], {
    ...{ kind: "open", rule: "tcp/22001", revision: 1, protocol: "tcp" },
    visitor: { address: "192.0.2.1", port: 0 },
    source: { tunnel: "id-laptop", owner: "alice" },
  });
  await setup.mesh.visits.idle();
  assert.equal(setup.mesh.streams, 0);
});

Deno.test("the firewall of a rule is for visitors: neither its drops nor an edit of it concern the mesh", async () => {
  await using setup = setUpMesh();
  const firewall = [{ action: "allow", network: "203.0.113.1" }] as const;
  const redis = setup.online(tcpRule(DATABASE, 22_001, { firewall: [...firewall] }, opener(echo)));
  const duplex = await open(setup, "redis:22001");
  redis.update({ ...redis.rule, firewall: [{ action: "drop", network: "0.0.0.0/0" }] });
  assert.equal(await exchange(duplex, "still here"), "still here");
});

Deno.test("a refusal of the client is the refusal of the mesh", async () => {
  await using setup = setUpMesh();
  const error = new CodedError("TARGET_REFUSED", "Cannot reach the target 127.0.0.1:6379: connection refused");
  const redis = setup.online(tcpRule(DATABASE, 22_001, {}, opener((stream) => stream.refuse(error))));
  await assert.rejects(open(setup, "redis:22001"), { kind: "TARGET_REFUSED", message: error.message });
  assert.equal(redis.visits, 0);
  assert.equal(setup.mesh.streams, 0);
});

Deno.test("other owners and those without credentials are denied, and the client is not asked", async () => {
  await using setup = setUpMesh();
  const session = opener(echo);
  setup.online(tcpRule(DATABASE, 22_001, { service: "redis" }, session));
  setup.online(httpRule(DATABASE, "wiki.example.test", {}, session));
  for (const identity of [BOB, ANONYMOUS]) {
    for (const destination of ["redis:1", "x:22001", "database.example.test:1", "wiki.example.test:80"]) {
      await assert.rejects(open(setup, destination, identity), { kind: "DESTINATION_DENIED" });
    }
  }
  assert.equal(session.opens.length, 0);
});

Deno.test("anonymous reaches what a line grants it, and looks like a visitor to the client", async () => {
  const policy = [{ from: ["anonymous"], to: ["service:redis"], action: "allow" }] as const;
  await using setup = setUpMesh({ mesh: { policy } });
  const session = opener(echo);
  setup.online(tcpRule(DATABASE, 22_001, { service: "redis" }, session));
  setup.online(tcpRule(DATABASE, 22_002, { service: "mysql" }, session));
  assert.equal(await exchange(await open(setup, "redis:1", ANONYMOUS), "hi"), "hi");
  await assert.rejects(open(setup, "mysql:1", ANONYMOUS), { kind: "DESTINATION_DENIED" });
  assert.equal(session.opens[0]?.source, undefined);
});

Deno.test("a service of several tunnels: those take turns that are not draining, and the next is tried for one that cannot", async () => {
  await using setup = setUpMesh();
  const sessions = ["a", "b", "c"].map(() => opener(echo));
  const [, , draining] = ["a", "b", "c"].map((name, index) =>
    setup.online(tcpRule(fakeTunnel(name), 22_001 + index, { service: "redis" }, sessions[index]))
  );
  const counts = () => sessions.map(({ opens }) => opens.length);
  for (let count = 0; count < 6; count++) assert.equal(await exchange(await open(setup, "redis:1"), "x"), "x");
  assert.deepEqual(counts(), [2, 2, 2]);
  Object.assign(draining!.session, { draining: true });
  for (let count = 0; count < 4; count++) await exchange(await open(setup, "redis:1"), "x");
  assert.equal(counts()[2], 2);
  setup.online(tcpRule(fakeTunnel("d"), 22_004, { service: "redis" }, {
    open: () => Promise.reject(new CodedError("TUNNEL_BUSY")),
  }));
  for (let count = 0; count < 6; count++) assert.equal(await exchange(await open(setup, "redis:1"), "x"), "x");
});

/** A client that takes streams and never answers; a stream that is given up ends. */
function hanging(): ReturnType<typeof opener> {
  return opener(async (stream) => {
    await stream.closed;
  });
}

Deno.test("a tunnel that does not answer has the next one tried beside it, and may still be the one", async () => {
  await using setup = await setUpMesh({ patienceMs: 1 });
  const stuck = hanging();
  const answer = Promise.withResolvers<void>();
  const slow = opener(async (stream) => {
    await answer.promise;
    await echo(stream);
  });
  const rule = setup.online(tcpRule(fakeTunnel("a"), 22_001, { service: "redis" }, stuck));
  setup.online(tcpRule(fakeTunnel("b"), 22_002, { service: "redis" }, opener(echo)));
  for (let count = 0; count < 2; count++) assert.equal(await exchange(await open(setup, "redis:1"), "x"), "x");
  assert.equal(stuck.opens.length, 1);
  assert.equal(rule.visits, 0);
  setup.online(tcpRule(fakeTunnel("c"), 22_003, { service: "slow" }, slow));
  const refusal = new CodedError("TARGET_REFUSED");
  setup.online(tcpRule(
    fakeTunnel("d"),
    22_004,
    { service: "slow" },
    opener((stream) => {
      answer.resolve();
      return stream.refuse(refusal);
    }),
  ));
  for (let count = 0; count < 2; count++) assert.equal(await exchange(await open(setup, "slow:1"), "x"), "x");
  await setup.mesh.visits.idle();
  assert.equal(setup.mesh.streams, 0);
});

Deno.test("while a stream is opened the end of one tunnel is not the end of the stream, and one that may be gone is tried last", async () => {
  await using setup = await setUpMesh();
  const asked = Promise.withResolvers<void>();
  const stuck = opener(async (stream) => {
    asked.resolve();
    await stream.closed;
  });
  const gone = setup.online(tcpRule(fakeTunnel("a"), 22_001, { service: "redis" }, stuck));
  const other = opener(echo);
  setup.online(tcpRule(fakeTunnel("b"), 22_002, { service: "redis" }, other));
  setup.services.byName("redis");
  const opening = open(setup, "redis:1");
  await asked.promise;
  setup.offline(gone);
  assert.equal(await exchange(await opening, "x"), "x");
  const doubted = hanging();
  setup.online(tcpRule(fakeTunnel("c"), 22_003, { service: "redis" }, { ...doubted, doubtful: true }));
  for (let count = 0; count < 4; count++) assert.equal(await exchange(await open(setup, "redis:1"), "x"), "x");
  assert.deepEqual([stuck.opens.length, other.opens.length, doubted.opens.length], [1, 5, 0]);
});

Deno.test("a stream that waits for several tunnels ends when it is not wanted, or not allowed, any more", async () => {
  await using setup = await setUpMesh({ patienceMs: 1 });
  const asked = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const rules = ["a", "b"].map((name, index) =>
    setup.online(tcpRule(
      fakeTunnel(name),
      22_001 + index,
      { service: "redis" },
      opener(async (stream) => {
        asked[index]!.resolve();
        await stream.closed;
      }),
    ))
  );
  const unwanted = new AbortController();
  const opening = setup.mesh.open(ALICE, toDestination("redis", 1), { signal: unwanted.signal });
  await Promise.all(asked.map(({ promise }) => promise));
  unwanted.abort();
  await assert.rejects(opening, { kind: "STREAM_RESET" });
  const again = open(setup, "redis:1");
  setup.mesh.update({ policy: [{ from: ["*"], to: ["*"], action: "deny" }] });
  await assert.rejects(again, { kind: "DESTINATION_DENIED" });
  await Promise.all(rules.map(async (rule) => {
    while (rule.visits > 0) await new Promise((resolve) => setTimeout(resolve));
  }));
  assert.equal(setup.mesh.streams, 0);
});

Deno.test("of a service's tunnels only those are used that the policy allows", async () => {
  const policy = [{ from: ["tag:ci"], to: ["tag:db"], action: "allow" }] as const;
  await using setup = setUpMesh({ mesh: { policy } });
  const [plain, tagged] = [opener(echo), opener(echo)];
  setup.online(tcpRule(fakeTunnel("plain"), 22_001, { service: "redis" }, plain));
  setup.online(tcpRule(DATABASE, 22_002, { service: "redis" }, tagged));
  for (let count = 0; count < 4; count++) await exchange(await open(setup, "redis:1", BOB), "x");
  assert.deepEqual([plain.opens.length, tagged.opens.length], [0, 4]);
});

Deno.test("the end of a rule ends its streams", async () => {
  await using setup = setUpMesh();
  const redis = setup.online(tcpRule(DATABASE, 22_001, {}, opener(echo)));
  const duplex = await open(setup, "redis:22001");
  setup.offline(redis);
  await assert.rejects(async () => await duplex.read(), { kind: "TUNNEL_OFFLINE" });
  await assert.rejects(open(setup, "redis:22001"), { kind: "DESTINATION_UNKNOWN" });
});

Deno.test("a rule that goes while a stream to it is opened, and whoever goes meanwhile, open nothing", async () => {
  await using setup = setUpMesh();
  const answering = Promise.withResolvers<void>();
  async function silent(stream: ChannelStream): Promise<void> {
    answering.resolve();
    await stream.read();
  }
  const redis = setup.online(tcpRule(DATABASE, 22_001, {}, opener(silent)));
  const opening = open(setup, "redis:22001");
  await answering.promise;
  setup.offline(redis);
  await assert.rejects(opening, { kind: "TUNNEL_OFFLINE" });
  assert.equal(setup.mesh.streams, 0);
  const gone = AbortSignal.abort();
  setup.online(tcpRule(DATABASE, 22_002, {}, opener(echo)));
  const late = setup.mesh.open(ALICE, toDestination("redis", 22_002), { signal: gone });
  await assert.rejects(late, { kind: "STREAM_RESET" });
});

Deno.test("an edit of the policy ends the streams that are no longer allowed, and no other", async () => {
  await using setup = setUpMesh({ mesh: { policy: [{ from: ["tag:ci"], to: ["tag:db"], action: "allow" }] } });
  setup.online(tcpRule(DATABASE, 22_001, {}, opener(echo)));
  setup.online(httpRule(DATABASE, "wiki.example.test", {}, site("wiki")));
  const ours = await open(setup, "redis:22001", ALICE);
  const theirs = [await open(setup, "redis:22001", BOB), await open(setup, "wiki.example.test:80", BOB)];
  const gone = theirs.map((duplex) => assert.rejects(async () => await duplex.read()));
  assert.throws(() => setup.mesh.update({ policy: [{ from: ["nobody"], to: ["*"], action: "deny" }] }), {
    kind: "CONFIG_INVALID",
  });
  assert.equal(setup.mesh.streams, 3, "what is not valid changes nothing");
  setup.mesh.update({});
  await Promise.all(gone);
  assert.equal(await exchange(ours, "still here"), "still here");
  await assert.rejects(open(setup, "redis:22001", BOB), { kind: "DESTINATION_DENIED" });
});

Deno.test("an edit of the allow-list ends the streams to what it has no more", async () => {
  await using target = await localServer();
  const lookUp = () => Promise.resolve(["127.0.0.1"]);
  await using setup = setUpMesh({ mesh: { allow: ["127.0.0.1", "db.srv.local", "b.srv.local"] }, lookUp });
  const streams = await Promise.all(
    ["127.0.0.1", "db.srv.local", "b.srv.local"].map((host) => open(setup, `${host}:${target.port}`)),
  );
  for (const each of streams) assert.equal(new TextDecoder().decode((await each.read())!), "hello ");
  const [literal, gone, kept] = streams;
  setup.mesh.update({ allow: ["127.0.0.1/32", "b.srv.local"] });
  await assert.rejects(async () => await gone!.read(), { kind: "STREAM_RESET" });
  assert.equal(await exchange(kept!, "still here"), "still here");
  // The name is allowed still, and its address is not.
  setup.mesh.update({ allow: ["b.srv.local"] });
  await assert.rejects(async () => await literal!.read(), { kind: "STREAM_RESET" });
  await assert.rejects(open(setup, `b.srv.local:${target.port}`), { kind: "DESTINATION_FORBIDDEN" });
});

Deno.test("a removed tunnel loses its streams and those of its one-shots; one with another owner what it may no longer reach", async () => {
  await using setup = setUpMesh();
  setup.online(tcpRule(DATABASE, 22_001, {}, opener(echo)));
  const child = fakeIdentity({ ...fakeTunnel("child"), parent: "id-laptop" });
  const other = fakeIdentity(fakeTunnel("other"));
  const [first, second, third] = await Promise.all(
    [ALICE, child, other].map((each) => open(setup, "redis:22001", each)),
  );
  setup.mesh.endTunnel("id-laptop", new CodedError("REVOKED"));
  for (const each of [first, second]) await assert.rejects(async () => await each!.read(), { kind: "REVOKED" });
  setup.mesh.updateTunnel({ ...fakeTunnel("other"), name: "renamed" });
  await third!.write(encode("x"));
  assert.ok(await third!.read());
  setup.mesh.updateTunnel(fakeTunnel("other", { owner: "bob" }));
  await assert.rejects(async () => await third!.read(), { kind: "DESTINATION_DENIED" });
});

Deno.test("streams of one tunnel, and of one address without credentials, are counted and bounded", async () => {
  const policy = [{ from: ["anonymous"], to: ["port:22001"], action: "allow" }] as const;
  await using setup = setUpMesh({ mesh: { policy }, limits: { streamsPerSession: 2, visitorsPerAddress: 1 } });
  setup.online(tcpRule(DATABASE, 22_001, {}, opener(echo)));
  const [first] = [await open(setup, "x:22001"), await open(setup, "x:22001"), await open(setup, "x:22001", ANONYMOUS)];
  assert.equal(setup.mesh.streams, 3);
  for (const identity of [ALICE, ANONYMOUS]) {
    await assert.rejects(open(setup, "x:22001", identity), { kind: "LIMIT_EXCEEDED" });
  }
  await open(setup, "x:22001", fakeIdentity(fakeTunnel("other")));
  assert.equal(await exchange(first!, "bye"), "bye");
  first!.close();
  await first!.closed;
  await open(setup, "x:22001");
});

Deno.test("a server without a mesh, or one that drains, opens nothing", async () => {
  await using setup = setUpMesh({ mesh: false });
  setup.online(tcpRule(DATABASE, 22_001, {}, opener(echo)));
  await assert.rejects(open(setup, "x:22001"), { kind: "MESH_DISABLED" });
  assert.throws(() => setup.mesh.services(ALICE), { kind: "MESH_DISABLED" });
  setup.mesh.update({});
  const duplex = await open(setup, "x:22001");
  setup.mesh.update(false);
  await assert.rejects(async () => await duplex.read(), { kind: "MESH_DISABLED" });
  setup.mesh.update({});
  setup.mesh.drain();
  await assert.rejects(open(setup, "x:22001"), { kind: "SERVER_DRAINING" });
});

Deno.test("on port 80 the edge answers: private rules as well, each request by its own Host, past the firewall", async () => {
  await using setup = setUpMesh();
  const wiki = site("wiki");
  setup.online(
    httpRule(DATABASE, "wiki.example.test", { private: true, firewall: [{ action: "drop", network: "::/0" }] }, wiki),
  );
  setup.online(
    httpRule(
      DATABASE,
      "blog.example.test",
      { service: "blog", firewall: [{ action: "allow", network: "::1" }] },
      site("blog"),
    ),
  );
  assert.match(
    await ask(await open(setup, "wiki.example.test:80"), "wiki.example.test"),
    /\r\n\r\nwiki\|wiki\.example\.test\|192\.0\.2\.1$/,
  );
  assert.match(await ask(await open(setup, "wiki.example.test:80"), "blog.example.test"), /\r\n\r\nblog\|/);
  assert.match(await ask(await open(setup, "blog:8080"), "blog"), /\r\n\r\nblog\|blog\|/);
  assert.deepEqual(wiki.opens[0]?.source, { tunnel: "id-laptop", owner: "alice" });
});

Deno.test("a Host that names nothing leads to what the stream was opened for, and the target is told that name", async () => {
  await using setup = setUpMesh({ mesh: { policy: [{ from: ["tag:ci"], to: ["service:blog"], action: "allow" }] } });
  setup.online(httpRule(DATABASE, "blog.example.test", { service: "blog" }, site("blog")), { below: true });
  setup.online(httpRule(DATABASE, "api.example.test", { service: "api", hostHeader: "inner" }, site("api")));
  const moved = setup.online(httpRule(DATABASE, "moved.example.test", { redirect: true }, site("moved")));
  for (const host of ["127.0.0.1:8080", "[::1]", "localhost:8080"]) {
    const answer = await ask(await open(setup, "blog:80", BOB), host);
    assert.ok(answer.endsWith(`\r\n\r\nblog|blog.example.test|192.0.2.1|${host}`), answer);
  }
  // What leads others elsewhere is not told.
  for (const host of ["nobody.example.test", "192.0.2.66:8080"]) {
    assert.match(await ask(await open(setup, "blog:80", BOB), host), /\nblog\|blog\.example\.test\|192\.0\.2\.1$/);
  }
  const below = await open(setup, "a.blog.example.test:80");
  assert.match(await ask(below, "127.0.0.1"), /\r\n\r\nblog\|a\.blog\.example\.test\|/);
  assert.match(await ask(await open(setup, "api:80"), "127.0.0.1:8080"), /\r\n\r\napi\|inner\|/);
  const redirected = await ask(await open(setup, "moved.example.test:80"), "127.0.0.1:8080");
  assert.match(redirected, /\r\nLocation: https:\/\/moved\.example\.test\//);
  // The name of another rule is another rule, whether it may be reached or not.
  assert.match(await ask(await open(setup, "blog:80"), "api"), /\r\n\r\napi\|/);
  assert.match(await ask(await open(setup, "blog:80", BOB), "api"), /E4020/);
  const late = await open(setup, "moved.example.test:80");
  setup.offline(moved);
  assert.match(await ask(late, "127.0.0.1:8080"), /^HTTP\/1\.1 404 /);
});

Deno.test("what a visitor says of itself is not believed, wherever it comes from", async () => {
  await using setup = setUpMesh();
  setup.online(httpRule(DATABASE, "wiki.example.test", {}, site("wiki")));
  const duplex = await open(setup, "wiki.example.test:80");
  const request = "GET / HTTP/1.1\r\nHost: wiki.example.test\r\nX-Forwarded-For: 10.0.0.1\r\nConnection: close\r\n\r\n";
  assert.match(await exchange(duplex, request), /\|192\.0\.2\.1$/);
});

Deno.test("a connection that was opened for one site gives no other that the policy denies (R9)", async () => {
  const policy = [{ from: ["tag:ci"], to: ["host:wiki.example.test"], action: "allow" }] as const;
  await using setup = setUpMesh({ mesh: { policy } });
  const secret = site("secret");
  setup.online(httpRule(DATABASE, "wiki.example.test", {}, site("wiki")));
  setup.online(httpRule(DATABASE, "secret.example.test", { service: "secret" }, secret));
  const duplex = await open(setup, "wiki.example.test:80", BOB);
  await duplex.write(encode("GET / HTTP/1.1\r\nHost: wiki.example.test\r\n\r\n"));
  assert.match(new TextDecoder().decode((await duplex.read())!), /^HTTP\/1\.1 200 /);
  for (const host of ["secret.example.test", "secret"]) {
    assert.match(await ask(await open(setup, "wiki.example.test:80", BOB), host), /E4020/);
  }
  assert.equal(secret.opens.length, 0);
  assert.match(await ask(duplex, "secret.example.test"), /E4020/);
});

Deno.test("a name that a line allows below a site goes on after an edit of another line", async () => {
  const policy = [{ from: ["tag:ci"], to: ["host:sub.wiki.example.test"], action: "allow" }] as const;
  await using setup = setUpMesh({ mesh: { policy } });
  setup.online(httpRule(DATABASE, "wiki.example.test", {}, site("wiki")), { below: true });
  const duplex = await open(setup, "sub.wiki.example.test:80", BOB);
  await duplex.write(encode("GET / HTTP/1.1\r\nHost: sub.wiki.example.test\r\n\r\n"));
  assert.match(new TextDecoder().decode((await duplex.read())!), /^HTTP\/1\.1 200 /);
  setup.mesh.update({ policy: [...policy, { from: ["tag:db"], to: ["*"], action: "deny" }] });
  assert.match(await ask(duplex, "sub.wiki.example.test"), /^HTTP\/1\.1 200 /);
});

Deno.test("a redirect to HTTPS and an offline target are answered as for a visitor", async () => {
  await using setup = setUpMesh();
  setup.online(httpRule(DATABASE, "wiki.example.test", { redirect: true }, site("wiki")));
  setup.online(
    httpRule(DATABASE, "blog.example.test", {}, opener((stream) => stream.refuse(new CodedError("TARGET_REFUSED")))),
  );
  assert.match(await ask(await open(setup, "wiki.example.test:80"), "wiki.example.test"), /^HTTP\/1\.1 301 /);
  assert.match(await ask(await open(setup, "blog.example.test:80"), "blog.example.test"), /^HTTP\/1\.1 502 [^]*E2001/);
});

/** A TLS client at the end of a mesh stream, for one name. */
async function secured(
  duplex: Duplex,
  { name, authority }: { name: string; authority: string },
): Promise<SocketDuplex> {
  const { promise, resolve } = Promise.withResolvers<Duplex>();
  await using bound = await listen({ hostname: "127.0.0.1", port: 0 }, (socket) => resolve(SocketDuplex.plain(socket)));
  const raw = (await connect(bound.address.port)).handBack();
  void pipe(await promise, duplex, { lingerMs: 10_000 }).catch(() => {
    // Both ends were reset, which the TLS client sees.
  });
  const secure = tls.connect({ socket: raw, servername: name, ca: authority, ALPNProtocols: ["http/1.1"] });
  await new Promise((done, failed) => secure.once("secureConnect", done).once("error", failed));
  return SocketDuplex.secure(secure, raw);
}

Deno.test("on port 443 TLS ends at the server for names that it has a certificate for", async () => {
  const authority = await prepareCertificate();
  await using setup = setUpMesh();
  setup.online(httpRule(DATABASE, TEST_NAME, { tls: "server", private: true }, site("wiki")));
  const duplex = await secured(await open(setup, `${TEST_NAME}:443`), { name: TEST_NAME, authority });
  assert.match(await ask(duplex, TEST_NAME), new RegExp(`^HTTP/1\\.1 200 [^]*wiki\\|${TEST_NAME}\\|192\\.0\\.2\\.1$`));
});

Deno.test("on port 443 TLS of a rule that ends elsewhere is passed on, and no other name is served", async () => {
  const authority = await prepareCertificate();
  const policy = [{ from: ["tag:ci"], to: ["host:pass.example.test"], action: "allow" }] as const;
  await using setup = setUpMesh({ mesh: { policy } });
  const hello: string[] = [];
  const target = opener(async (stream, { protocol }) => {
    await stream.accept();
    hello.push(`${protocol} ${(await stream.read())![0]}`);
    await stream.write(encode("passed"));
    await stream.closeWrite();
    await readAll(stream).catch(() => "");
  });
  setup.online(httpRule(DATABASE, "pass.example.test", { tls: "target" }, target));
  setup.online(httpRule(DATABASE, TEST_NAME, {}, site("wiki")));
  const raw = await open(setup, "pass.example.test:443", BOB);
  await raw.write(await clientHello("pass.example.test"));
  assert.equal(await readAll(raw), "passed");
  assert.deepEqual(hello, ["tls 22"]);
  assert.deepEqual(target.opens[0]?.source, { tunnel: "id-desk", owner: "bob" });
  for (const name of [TEST_NAME, "nobody.example.test", "tunnel.test"]) {
    const duplex = await open(setup, "pass.example.test:443", BOB);
    await assert.rejects(secured(duplex, { name, authority }), /unrecognized|alert/i, name);
  }
});

Deno.test("what is no TLS on port 443 ends with an alert", async () => {
  await using setup = setUpMesh();
  setup.online(httpRule(DATABASE, "pass.example.test", { tls: "target" }, opener(echo)));
  const duplex = await open(setup, "pass.example.test:443");
  await duplex.write(encode("GET / HTTP/1.1\r\n\r\n"));
  assert.deepEqual([...(await duplex.read())!], [21, 3, 3, 0, 2, 2, 112]);
});

/** The first bytes that a TLS client sends for a name. */
async function clientHello(name: string): Promise<Uint8Array> {
  const { promise, resolve } = Promise.withResolvers<SocketDuplex>();
  await using bound = await listen({ hostname: "127.0.0.1", port: 0 }, (socket) => resolve(SocketDuplex.plain(socket)));
  const socket = tls.connect({ port: bound.address.port, host: "127.0.0.1", servername: name });
  socket.on("error", () => {});
  const accepted = await promise;
  const bytes = (await accepted.read())!.slice();
  accepted.reset();
  socket.destroy();
  return bytes;
}

Deno.test("services() lists what somebody may reach, and nothing else", async () => {
  // The last two never lead anywhere.
  const allow = ["10.1.0.0/16:5432", "db.srv.local", "*.secret.local:1-9", "127.0.0.1:9400", "localhost"];
  const policy = [
    { from: ["tag:ci"], to: ["service:redis"], action: "allow" },
    { from: ["*"], to: ["host:*.secret.local"], action: "deny" },
  ] as const;
  await using setup = setUpMesh({ mesh: { allow, policy }, ownPorts: [9_400] });
  setup.online(tcpRule(DATABASE, 22_001, { service: "redis" }));
  setup.online(tcpRule(DATABASE, 22_002, {}, { draining: true }));
  setup.online(httpRule(DATABASE, "wiki.example.test", { tls: "client", service: "site" }));
  const outside = [
    { kind: "external", name: "10.1.0.0/16", port: 5432, online: true },
    { kind: "external", name: "db.srv.local", online: true },
  ];
  const common = { owner: "alice", tunnel: "database" };
  const redis = { kind: "tcp", name: "redis", port: 22_001, ...common, online: true };
  assert.deepEqual(setup.mesh.services(BOB), { services: [...outside, redis] });
  assert.deepEqual(setup.mesh.services(ANONYMOUS), { services: [] });
  assert.deepEqual(setup.mesh.services(ALICE), {
    services: [
      outside[0],
      { kind: "tcp", name: "database.example.test", port: 22_002, ...common, online: false },
      outside[1],
      redis,
      { kind: "http", name: "site", port: 80, ...common, online: true },
      { kind: "http", name: "wiki.example.test", port: 443, ...common, online: true },
    ],
  });
  for (let port = 20_000; port < 21_000; port++) setup.online(tcpRule(DATABASE, port));
  const { services, more } = setup.mesh.services(ALICE);
  assert.deepEqual([services.length, more], [1_000, 6]);
});
