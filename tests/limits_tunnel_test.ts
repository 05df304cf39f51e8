import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type CodedError, connect, enrol, type Enrolment, parseInvite } from "../mod.ts";
import { DataChannel } from "../net/data_channel.ts";
import type { Duplex } from "../net/duplex.ts";
import {
  connectTcp,
  eventually,
  readResponse,
  request,
  requestText,
  startServer,
  startTunnel,
  tcpTarget,
  type TestServer,
} from "./harness.ts";
import { dialData, dialEndpoint, RawClient } from "./harness/raw_client.ts";

const HOUR_MS = 3_600_000;

async function enrolled(server: TestServer): Promise<Enrolment> {
  const invite = parseInvite(await server.invite());
  return await enrol(invite, invite.token);
}

async function kindOf(work: Promise<unknown>): Promise<string> {
  return await work.then(() => "fulfilled", (error: CodedError) => error.kind);
}

Deno.test("a TLS handshake that stalls is cut: before a byte, within the ClientHello, and after it", async () => {
  await using server = await startServer({ limits: { tlsHandshakeMs: 200, headMs: HOUR_MS } });
  const { ca } = await enrolled(server);
  await using silent = await connectTcp(server.tlsPort);
  await using slow = await connectTcp(server.tlsPort);
  await slow.send(new Uint8Array([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]));
  // A whole ClientHello, whose sender then says no more: taken from a client that is stopped behind it.
  const hello = await clientHello();
  await using half = await connectTcp(server.tlsPort);
  await half.send(hello);
  for (const wire of [silent, slow, half]) assert.equal((await wire.readToEnd()).end, "reset");
  const finished = await dialEndpoint(server.tlsPort, { ca });
  await finished.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  assert.ok(await finished.read() !== null, "who has finished it has another deadline");
  finished.close();
});

/** The first flight of a TLS client to the tunnel endpoint. */
async function clientHello(): Promise<Uint8Array> {
  await using trap = await tcpTarget();
  const client = await dialEndpoint(trap.port, {});
  const written = Promise.resolve(client.write(new Uint8Array(1))).catch(() => {
    // Nobody answers its handshake.
  });
  const wire = await trap.accept();
  const first = await wire.read();
  client.close();
  await written;
  assert.ok(first !== null);
  return first;
}

Deno.test("a connection to the tunnel endpoint that asks for nothing is let go", async () => {
  await using server = await startServer({ limits: { headMs: 200 } });
  const { ca } = await enrolled(server);
  for (const text of ["", "POST /tunnel/v1/enrol HTTP/1.1\r\nHo"]) {
    const connection = await dialEndpoint(server.tlsPort, { ca });
    if (text !== "") await connection.write(Buffer.from(text));
    assert.equal(await Promise.resolve(connection.read()).catch(() => null), null);
    connection.close();
  }
});

Deno.test("a control channel whose client never says hello is let go", async () => {
  await using server = await startServer({ limits: { headMs: 200 } });
  await using client = await RawClient.dial(server.tlsPort, await enrolled(server));
  assert.equal(await client.ended(), null);
});

Deno.test("connections that belong to no session count, whatever they have proved; a session does not", async () => {
  await using server = await startServer({ limits: { unauthenticated: 3, headMs: HOUR_MS } });
  // Early drop begins at half of them: it must not meet those that there is room for.
  const random = Math.random;
  Math.random = () => 0.999;
  try {
    const identity = await enrolled(server);
    await using joined = await RawClient.dial(server.tlsPort, identity);
    const { session, secret } = await joined.join();
    const channels = [];
    for (let count = 0; count < 5; count++) {
      channels.push(await dialData(server.tlsPort, identity, { credential: `${session}.${secret}` }));
    }
    await using _authenticated = await RawClient.dial(server.tlsPort, identity);
    const silent = await shakenHands(server, identity);
    const other = await shakenHands(server, identity);
    await eventually(async () => !await takes(server, identity), "the endpoint to be full");
    assert.ok(await server.metric('spokes_refusals_total{code="E1429"}') > 0);
    silent.close();
    await eventually(() => takes(server, identity), "room for another");
    other.close();
    for (const { transport } of channels) transport.reset();
  } finally {
    Math.random = random;
  }
});

/** A connection to the endpoint that asks for nothing. */
async function shakenHands(server: TestServer, { ca }: Enrolment): Promise<Duplex> {
  const connection = await dialEndpoint(server.tlsPort, ca === undefined ? {} : { ca });
  await connection.write(Buffer.from("GET "));
  return connection;
}

/** Whether the endpoint takes a connection and answers it. */
async function takes(server: TestServer, { ca }: Enrolment): Promise<boolean> {
  const connection = await dialEndpoint(server.tlsPort, ca === undefined ? {} : { ca });
  try {
    await connection.write(Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    return await connection.read() !== null;
  } catch {
    return false;
  } finally {
    connection.close();
  }
}

Deno.test("wrong credentials are penalised by their address, right ones only have to wait", async () => {
  await using server = await startServer();
  const identity = await enrolled(server);
  const wrong = `${identity.token.slice(0, -6)}AAAAAA`;
  const answers: string[] = [];
  for (let count = 0; count < 8; count++) {
    answers.push(await kindOf(RawClient.dial(server.tlsPort, identity, { token: wrong })));
  }
  assert.deepEqual(answers.slice(0, 3), ["TOKEN_INVALID", "TOKEN_INVALID", "TOKEN_INVALID"]);
  assert.equal(answers.at(-1), "TOO_MANY_ATTEMPTS");
  assert.equal(await kindOf(RawClient.dial(server.tlsPort, identity)), "TOO_MANY_ATTEMPTS");
  assert.ok(await server.metric('spokes_refusals_total{code="E3012"}') >= 2);
  assert.equal(await server.metric("spokes_credential_failures_total"), answers.indexOf("TOO_MANY_ATTEMPTS"));
  // A client of ours comes back by itself later: it is not a final refusal.
  const waiting = new AbortController();
  const events: string[] = [];
  const connecting = connect({
    server: `127.0.0.1:${server.tlsPort}`,
    token: identity.token,
    ...(identity.ca === undefined ? {} : { ca: identity.ca }),
    signal: waiting.signal,
    onEvent: ({ kind }) => events.push(kind),
  });
  await eventually(() => events.filter((kind) => kind === "disconnected").length >= 2, "a second attempt");
  waiting.abort();
  assert.equal(await kindOf(connecting), "SESSION_CLOSED");
});

Deno.test("data channels that come late for their session do not penalise their address", async () => {
  await using server = await startServer();
  const identity = await enrolled(server);
  await using client = await RawClient.dial(server.tlsPort, identity);
  const { session, secret } = await client.join();
  await using again = await RawClient.dial(server.tlsPort, identity);
  await again.join();
  for (let count = 0; count < 10; count++) {
    const kind = await kindOf(dialData(server.tlsPort, identity, { credential: `${session}.${secret}` }));
    assert.equal(kind, "SESSION_UNKNOWN");
  }
  await using later = await RawClient.dial(server.tlsPort, identity);
  await later.join({ role: "use" });
});

Deno.test("guesses of a live session's secret are penalised", async () => {
  await using server = await startServer();
  const identity = await enrolled(server);
  await using client = await RawClient.dial(server.tlsPort, identity);
  const { session } = await client.join();
  for (let count = 0; count < 4; count++) {
    const guess = dialData(server.tlsPort, identity, { credential: `${session}.${"A".repeat(43)}` });
    assert.equal(await kindOf(guess), "TOKEN_INVALID");
  }
  assert.equal(await kindOf(RawClient.dial(server.tlsPort, identity)), "TOO_MANY_ATTEMPTS");
});

Deno.test("streams of a session: one too many gets 503, a TCP visitor a close; others of other tunnels go on", async () => {
  await using target = await tcpTarget();
  await using server = await startServer({ limits: { streamsPerSession: 1 } });
  await using tunnel = await startTunnel(server);
  await using other = await startTunnel(server);
  await tunnel.http(() => new Response("ok"));
  const port = await tunnel.tcp(target.address);
  await using first = await connectTcp(port);
  await first.send("x");
  await (await target.accept()).readExactly(1);
  const full = await request(server.httpPort, { host: tunnel.hostname });
  assert.equal(full.status, 503);
  assert.match(full.text, /E1504/);
  await using second = await connectTcp(port);
  assert.equal((await second.readToEnd()).end, "reset");
  assert.equal((await request(server.httpPort, { host: other.hostname })).status, 200);
  first.reset();
  await eventually(async () => (await request(server.httpPort, { host: tunnel.hostname })).status === 200, "room");
});

Deno.test("opens a second: those beyond wait for the next seconds, and those beyond the queue are refused", async () => {
  await using target = await tcpTarget(async (wire) => {
    await wire.readUntil("\r\n\r\n");
    await wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    await wire.endWrite();
  });
  await using server = await startServer({ limits: { opensPerSecond: 5, channelQueue: 5 } });
  await using tunnel = await startTunnel(server, [{ kind: "http", target: target.address }]);
  const statuses = await Promise.all(
    Array.from({ length: 20 }, () => request(server.httpPort, { host: tunnel.hostname }).then(({ status }) => status)),
  );
  const taken = statuses.filter((status) => status === 200).length;
  assert.ok(taken >= 5 && taken < 20, `${taken} of 20`);
  assert.ok(statuses.every((status) => status === 200 || status === 503));
  await eventually(async () => (await request(server.httpPort, { host: tunnel.hostname })).status === 200, "room");
});

Deno.test("a stream that gets no channel in time is refused, and so is one too many in the queue at once", async () => {
  await using server = await startServer({ limits: { channelWaitMs: 300, channelQueue: 2 } });
  const identity = await enrolled(server);
  // A client that never opens a data channel.
  await using client = await RawClient.dial(server.tlsPort, identity);
  const { tunnel: { hostname } } = await client.join();
  await client.control.send({
    kind: "rules",
    revision: 1,
    rules: [{ kind: "http", domain: hostname, target: "", firewall: [] }],
  });
  await client.next("rules.applied");
  const waiting = [1, 2].map(() => request(server.httpPort, { host: hostname }));
  await eventually(async () => await server.metric("spokes_streams_waiting") === 2, "two streams to wait");
  const refused = await request(server.httpPort, { host: hostname });
  assert.equal(refused.status, 503);
  assert.match(refused.text, /Too many visitors wait/);
  for (const { status, text } of await Promise.all(waiting)) {
    assert.equal(status, 503);
    assert.match(text, /E1504/);
  }
});

Deno.test("a client that does not answer an open gets its visitor a 504", async () => {
  await using server = await startServer({ limits: { openAnswerMs: 200, stallMs: HOUR_MS } });
  const identity = await enrolled(server);
  await using client = await RawClient.dial(server.tlsPort, identity);
  const { session, secret, tunnel: { hostname } } = await client.join();
  await client.control.send({
    kind: "rules",
    revision: 1,
    rules: [{ kind: "http", domain: hostname, target: "", firewall: [] }],
  });
  await client.next("rules.applied");
  const { transport, initial } = await dialData(server.tlsPort, identity, { credential: `${session}.${secret}` });
  const opened = Promise.withResolvers<void>();
  const silence = Promise.withResolvers<void>();
  const channel = new DataChannel(transport, {
    ...{ client: true, opener: false, secure: true, initial },
    onStream: async () => {
      opened.resolve();
      await silence.promise;
    },
  });
  await using visitor = await connectTcp(server.httpPort);
  await visitor.send(requestText({ host: hostname }));
  await opened.promise;
  const response = await readResponse(visitor);
  assert.equal(response.status, 504);
  assert.match(response.text, /E2002/);
  silence.resolve();
  channel.close();
});

Deno.test("a tunnel has at most 1,000 rules, and a message at most its size: more ends the session only", async () => {
  await using server = await startServer();
  await using other = await startTunnel(server);
  const identity = await enrolled(server);
  await using client = await RawClient.dial(server.tlsPort, identity);
  const { tunnel: { hostname } } = await client.join();
  const rules = Array.from({ length: 1_001 }, (_, at) => ({
    ...{ kind: "http" as const, domain: `r${at}.${hostname}`, target: "", firewall: [] },
  }));
  await client.control.send({ kind: "rules", revision: 1, rules });
  const bye = await client.ended();
  assert.equal(bye?.code, "E3009");
  await server.log.waitFor("control ended", { code: "E3009" });
  assert.equal((await request(server.httpPort, { host: other.hostname })).status, 200);
});
