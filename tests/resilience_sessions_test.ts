import assert from "node:assert/strict";
import { join } from "node:path";
import { CodedError, connect, enrol, type ErrorName, parseInvite } from "../mod.ts";
import { openServerState } from "../server/state/server_state.ts";
import { openSqliteStore } from "../server/store/sqlite_store.ts";
import { STORE_FILE } from "../server/store/state_folder.ts";
import {
  connectTcp,
  echoTarget,
  eventually,
  request,
  SOAK,
  startServer,
  startTunnel,
  tempDir,
  type TestServer,
  type TestTunnel,
  within,
} from "./harness.ts";
import { linkProxy } from "./harness/link_proxy.ts";
import { dialData, RawClient } from "./harness/raw_client.ts";

async function assertRefused(work: Promise<unknown>, kind: ErrorName): Promise<CodedError> {
  const error = await within(work.then(() => undefined, (reason) => reason), `a refusal with ${kind}`);
  assert.ok(error instanceof CodedError, String(error));
  assert.equal(error.kind, kind, error.message);
  return error;
}

/** Another client of the same tunnel. */
function another(tunnel: TestTunnel, options: { takeover?: boolean; server?: string } = {}) {
  return connect({ ...tunnel.address, token: tunnel.identity.token, ...options });
}

/** An identity without a running client. */
async function enrolled(server: TestServer) {
  const invite = parseInvite(await server.invite());
  return await enrol(invite, invite.token);
}

function openFiles(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

Deno.test("a second start is refused with host and time, and the first goes on", async () => {
  await using server = await startServer();
  await using first = await startTunnel(server);
  const error = await assertRefused(another(first), "ALREADY_RUNNING");
  const { serving } = await first.tunnel.request("tunnel.info", {});
  assert.equal(error.message, `This tunnel is already running on ${Deno.hostname()} since ${serving?.since}`);
  assert.equal((await request(server.httpPort, { host: first.hostname })).status, 200);
  assert.equal(first.events.filter(({ kind }) => kind === "disconnected").length, 0);
});

Deno.test("a takeover replaces the running client, which is told and does not come back", async () => {
  await using server = await startServer();
  await using first = await startTunnel(server);
  await using second = await another(first, { takeover: true });
  const reason = await within(first.tunnel.closed, "the first client to end");
  assert.equal(reason?.kind, "TAKEN_OVER");
  assert.equal(first.events.filter(({ kind }) => kind === "connecting").length, 1, "it never dialled again");
  assert.equal((await request(server.httpPort, { host: second.hostname })).status, 200);
  assert.equal(await server.metric("spokes_sessions"), 1);
});

Deno.test("a client that took over does not do so again after it lost its connection", async () => {
  await using server = await startServer({ limits: { resumeMs: 200 } });
  await using proxy = await linkProxy(server.tlsPort);
  await using first = await startTunnel(server);
  await using second = await another(first, { takeover: true, server: proxy.address });
  await first.tunnel.closed;
  proxy.accept = "reset";
  proxy.links[0]!.cut();
  await server.log.waitFor("tunnel disconnected", { code: "E3015" });
  await using third = await another(first);
  proxy.accept = "join";
  assert.equal((await within(second.closed, "the second client to end"))?.kind, "ALREADY_RUNNING");
  assert.equal((await request(server.httpPort, { host: third.hostname })).status, 200);
});

Deno.test("a holder that does not answer a ping is replaced without a takeover", async () => {
  await using server = await startServer({ limits: { takeoverPingMs: 200 } });
  await using proxy = await linkProxy(server.tlsPort);
  await using first = await startTunnel(server, [], { server: proxy.address });
  for (const link of proxy.links) link.freeze();
  proxy.accept = "ignore";
  await using second = await another(first);
  assert.equal((await request(server.httpPort, { host: second.hostname })).status, 200);
  assert.equal(await server.metric("spokes_tunnels_online"), 1);
});

Deno.test("the same instance replaces its own session at once", async () => {
  await using server = await startServer({ limits: { takeoverPingMs: 3_600_000 } });
  const identity = await enrolled(server);
  await using first = await RawClient.dial(server.tlsPort, identity);
  const before = await first.join({ instance: "one" });
  await using second = await RawClient.dial(server.tlsPort, identity);
  const after = await second.join({ instance: "one" });
  assert.notEqual(after.session, before.session);
  const bye = await first.ended();
  assert.equal(bye?.final, false, "it may come back: it is the same client");
  await assertRefused(
    dialData(server.tlsPort, identity, { credential: `${before.session}.${before.secret}` }),
    "SESSION_UNKNOWN",
  );
});

Deno.test("a session cannot be resumed with a wrong secret, nor by another tunnel", async () => {
  await using server = await startServer();
  const [mine, other] = [await enrolled(server), await enrolled(server)];
  await using first = await RawClient.dial(server.tlsPort, mine);
  const { session, secret } = await first.join();
  await using thief = await RawClient.dial(server.tlsPort, other);
  assert.equal((await thief.join({ resume: { session, secret } })).resumed, false);
  await using guesser = await RawClient.dial(server.tlsPort, mine);
  const guessed = await guesser.join({ role: "use", resume: { session, secret: "x".repeat(43) } });
  assert.equal(guessed.resumed, false);
  await using right = await RawClient.dial(server.tlsPort, mine);
  const resumed = await right.join({ resume: { session, secret } });
  assert.equal(resumed.resumed, true);
  assert.equal(resumed.session, session);
});

Deno.test("many reconnects over half-open links leave sessions, channels and files where they were (R4)", async () => {
  const rounds = SOAK ? 10_000 : 60;
  await using server = await startServer({ limits: { takeoverPingMs: 3_600_000 } });
  const identity = await enrolled(server);
  const halfOpen: RawClient[] = [];
  async function reconnect(): Promise<void> {
    const client = await RawClient.dial(server.tlsPort, identity);
    halfOpen.push(client);
    const { session, secret } = await client.join({ instance: "one" });
    await dialData(server.tlsPort, identity, { credential: `${session}.${secret}` }).then(({ transport }) =>
      transport.reset()
    );
    // The one before is never closed by us: its machine has lost its network, as far as the server can know.
    if (halfOpen.length > 1) await halfOpen.shift()![Symbol.asyncDispose]();
  }
  for (let round = 0; round < 10; round++) await reconnect();
  const settled = (): Promise<boolean> =>
    server.metric("spokes_data_channels").then(async (channels) =>
      channels === 0 && await server.metric("spokes_sessions") === 1
    );
  await eventually(settled, "the server to settle");
  const before = openFiles();
  for (let round = 0; round < rounds; round++) await reconnect();
  await eventually(settled, "the server to settle");
  await eventually(() => openFiles() <= before + 5, `open files to fall to ${before}`);
  for (const client of halfOpen) await client[Symbol.asyncDispose]();
});

Deno.test("a removed tunnel loses its session and its streams at once, and its client ends (P11)", async () => {
  await using folder = await tempDir();
  await using target = await echoTarget();
  const stateDir = join(folder.path, "state");
  await using server = await startServer({ stateDir });
  await using tunnel = await startTunnel(server);
  await using visitor = await connectTcp(await tunnel.tcp(target.address));
  await visitor.send("ping");
  await visitor.readUntil("ping");
  // What `spokes tunnel rm` does, on a connection of its own to the same file.
  await using store = await openSqliteStore(join(stateDir, STORE_FILE));
  using state = await openServerState(store, {
    domain: server.domain,
    hostname: server.domain,
    ports: { from: 1, to: 2 },
  });
  assert.equal(await state.tunnels.remove(tunnel.tunnel.id), true);
  assert.equal((await visitor.readToEnd()).end, "reset");
  assert.equal((await within(tunnel.tunnel.closed, "the client to end"))?.kind, "REVOKED");
  assert.equal(await server.metric("spokes_sessions"), 0);
  await assertRefused(another(tunnel), "TOKEN_INVALID");
  assert.equal((await request(server.httpPort, { host: tunnel.hostname })).status, 404);
  const invite = parseInvite(await server.invite());
  const [token] = (await state.enrolmentTokens.list()).filter(({ used }) => used === 0);
  await state.enrolmentTokens.remove(token!.id);
  await assertRefused(enrol(invite, invite.token), "TOKEN_INVALID");
});

Deno.test("a tunnel that is removed between its token and its hello gets no session", async () => {
  await using folder = await tempDir();
  const stateDir = join(folder.path, "state");
  await using server = await startServer({ stateDir });
  const identity = await enrolled(server);
  await using client = await RawClient.dial(server.tlsPort, identity);
  await using store = await openSqliteStore(join(stateDir, STORE_FILE));
  await store.delete(`tunnels.${identity.tunnel}`);
  const answer = await client.hello();
  assert.equal(answer?.kind === "bye" && answer.final && answer.code, "E3008");
  assert.equal(await server.metric("spokes_sessions"), 0);
});

Deno.test("a rotated token: the session goes on, the old token works until the new one was used", async () => {
  await using server = await startServer();
  await using tunnel = await startTunnel(server);
  const { token } = await tunnel.tunnel.request("token.rotate", {});
  await (await connect({ ...tunnel.address, token: tunnel.identity.token, role: "use" })).stop();
  await (await connect({ ...tunnel.address, token, role: "use" })).stop();
  await assertRefused(
    connect({ ...tunnel.address, token: tunnel.identity.token, role: "use" }),
    "TOKEN_INVALID",
  );
  assert.equal((await request(server.httpPort, { host: tunnel.hostname })).status, 200);
});

Deno.test("enrolment tokens: used up, expired and made up ones are refused, each with its code", async () => {
  await using server = await startServer();
  const once = parseInvite(await server.invite());
  await enrol(once, once.token);
  await assertRefused(enrol(once, once.token), "TOKEN_USED");
  const short = parseInvite(await server.invite({ expiresInMs: 1 }));
  await eventually(
    () => enrol(short, short.token).then(() => undefined, (error) => error.kind === "TOKEN_EXPIRED"),
    "",
  );
  await assertRefused(enrol(once, `${once.token.slice(0, -4)}AAAA`), "TOKEN_INVALID");
});

Deno.test("a tunnel token does not enrol, an enrolment token does not connect, neither opens data channels", async () => {
  await using server = await startServer();
  const invite = parseInvite(await server.invite({ uses: 2 }));
  const identity = await enrol(invite, invite.token);
  await assertRefused(enrol(invite, identity.token), "TOKEN_INVALID");
  await assertRefused(RawClient.dial(server.tlsPort, identity, { token: invite.token }), "TOKEN_INVALID");
  await assertRefused(dialData(server.tlsPort, identity, { credential: identity.token }), "SESSION_UNKNOWN");
});

Deno.test("64 commands may use a tunnel beside its start, and no more", async () => {
  await using server = await startServer();
  const identity = await enrolled(server);
  await using stack = new AsyncDisposableStack();
  for (let count = 0; count < 64; count++) {
    const client = stack.use(await RawClient.dial(server.tlsPort, identity));
    await client.join({ role: "use" });
  }
  const next = stack.use(await RawClient.dial(server.tlsPort, identity));
  const answer = await next.hello({ role: "use" });
  assert.equal(answer?.kind === "bye" && answer.code, "E3011");
  const serving = stack.use(await RawClient.dial(server.tlsPort, identity));
  await serving.join({ role: "serve" });
});
