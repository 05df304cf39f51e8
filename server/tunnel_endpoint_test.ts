import assert from "node:assert/strict";
import type { Duplex } from "../net/duplex.ts";
import { SILENT } from "../net/log.ts";
import { memoryPair } from "../net/memory_duplex.ts";
import type { TlsConnection } from "../net/tls_front.ts";
import { requestUpgrade } from "../net/upgrade.ts";
import { CodedError } from "../protocol/errors.ts";
import { DOORS, MAX_CHANNELS_PER_SESSION } from "../protocol/limits.ts";
import { Authenticator } from "./authenticator.ts";
import { DEFAULT_SERVER_LIMITS } from "./limits.ts";
import { Metrics } from "./metrics.ts";
import { type SessionSetup, setUpSessions } from "./testing/session_setup.ts";
import { TunnelEndpoint } from "./tunnel_endpoint.ts";

/** An endpoint, and a way to connect to it. */
function endpointOf({ state, sessions, proofs, mesh }: SessionSetup) {
  const metrics = new Metrics();
  const endpoint = new TunnelEndpoint({
    ...{ state, sessions, proofs, mesh, limits: DEFAULT_SERVER_LIMITS, log: SILENT },
    authenticator: new Authenticator({ state, metrics, log: SILENT }),
    about: { hostname: "example.test", version: "0", domain: "example.test", httpPort: 80, tlsPort: 443 },
  });
  const admitted = { count: 0 };
  function connect(options: { highWaterMark?: number } = {}): Duplex {
    const [near, far] = memoryPair(options);
    admitted.count++;
    let counted = true;
    endpoint.take({
      duplex: near as TlsConnection["duplex"],
      serverName: "example.test",
      peer: { address: "192.0.2.1", port: 1 },
      admitted: {
        [Symbol.dispose]() {
          if (counted) admitted.count--;
          counted = false;
        },
      },
    });
    return far;
  }
  return { endpoint, connect, admitted, metrics };
}

Deno.test("a data channel whose session ends while it is upgraded is closed, not forgotten", async () => {
  await using setup = await setUpSessions();
  const { endpoint, connect } = endpointOf(setup);
  const { session: id, secret } = await setup.dial(await setup.enrolled()).join();
  // Room for one byte: the 101 cannot be written before we read it.
  const connection = connect({ highWaterMark: 1 });
  const key = btoa("0123456789abcdef");
  await connection.write(new TextEncoder().encode(
    `GET ${DOORS.data}?opener=server HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Protocol: spokes.v1\r\n` +
      `Authorization: Bearer ${id}.${secret}\r\n\r\n`,
  ));
  const first = await connection.read();
  assert.deepEqual(first, new Uint8Array([0x48]), "the H of its answer");
  await setup.sessions.all[0]!.end(new CodedError("SESSION_CLOSED"));
  await assert.rejects(async () => {
    while (await connection.read() !== null);
    throw new Error("it ended cleanly");
  }, { kind: "STREAM_RESET" });
  await endpoint.cut();
});

Deno.test("a connection belongs to its session as soon as its data channel does", async () => {
  await using setup = await setUpSessions();
  const { endpoint, connect, admitted } = endpointOf(setup);
  const { session: id, secret } = await setup.dial(await setup.enrolled()).join();
  const connection = connect();
  await requestUpgrade(connection, { host: "x", path: `${DOORS.data}?opener=server`, bearer: `${id}.${secret}` });
  assert.equal(admitted.count, 0);
  assert.equal(setup.sessions.all[0]?.pool.counts.channels, 1);
  await new Promise((resolve) => setTimeout(resolve)); // The upgrade is over for the endpoint, too.
  await endpoint.cut();
  assert.equal(setup.sessions.all[0]?.pool.counts.channels, 1, "a session's channels are its own to end");
});

Deno.test("a control channel counts as a connection of nobody until its client has said hello", async () => {
  await using setup = await setUpSessions();
  const { endpoint, connect, admitted } = endpointOf(setup);
  const { token } = await setup.state.enrol((await setup.state.enrolmentTokens.create()).token);
  const connection = connect();
  await requestUpgrade(connection, { host: "x", path: DOORS.control, bearer: token });
  assert.equal(admitted.count, 1);
  const cut = endpoint.cut();
  await assert.rejects(async () => await connection.read(), { kind: "STREAM_RESET" });
  await cut;
});

Deno.test("a draining endpoint takes no enrolment and no session, on connections of before too", async () => {
  await using setup = await setUpSessions();
  const { endpoint, connect } = endpointOf(setup);
  const { token: enrolment, record } = await setup.state.enrolmentTokens.create();
  const { token } = await setup.state.enrol((await setup.state.enrolmentTokens.create()).token);
  const [before, control] = [connect(), connect()];
  endpoint.drain();
  await before.write(new TextEncoder().encode(
    `POST ${DOORS.enrol} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${enrolment}\r\nContent-Length: 0\r\n\r\n`,
  ));
  const answer = await before.read();
  assert.match(new TextDecoder().decode(answer!), /^HTTP\/1\.1 503 /);
  const stored = (await setup.state.enrolmentTokens.list()).find(({ id }) => id === record.id);
  assert.equal(stored?.used, 0, "it was not used up for nothing");
  const upgrade = requestUpgrade(control, { host: "x", path: DOORS.control, bearer: token });
  await assert.rejects(upgrade, { kind: "SERVER_DRAINING" });
  await endpoint.cut();
});

Deno.test("wrong credentials are counted and penalised; what is only late is not", async () => {
  await using setup = await setUpSessions();
  const { endpoint, connect, metrics } = endpointOf(setup);
  async function dial(path: string, bearer: string): Promise<string> {
    const connection = connect();
    const kind = await requestUpgrade(connection, { host: "x", path, bearer }).then(() => "", (error) => error.kind);
    connection.reset();
    return kind;
  }
  for (let count = 0; count < 20; count++) {
    assert.equal(await dial(`${DOORS.data}?opener=server`, "gone.x"), "SESSION_UNKNOWN");
  }
  assert.equal(metrics.authFailures, 0);
  const kinds: string[] = [];
  for (let count = 0; count < 6; count++) kinds.push(await dial(DOORS.control, "wrong"));
  assert.deepEqual([...new Set(kinds)], ["TOKEN_INVALID", "TOO_MANY_ATTEMPTS"]);
  assert.equal(metrics.authFailures, kinds.indexOf("TOO_MANY_ATTEMPTS"));
  await endpoint.cut();
});

Deno.test("channels on which the client opens streams count against the same limit of a session", async () => {
  await using setup = await setUpSessions();
  const { endpoint, connect } = endpointOf(setup);
  const { session: id, secret } = await setup.dial(await setup.enrolled()).join();
  const session = setup.sessions.all[0]!;
  const bearer = `${id}.${secret}`;
  await requestUpgrade(connect(), { host: "x", path: `${DOORS.data}?opener=client`, bearer });
  assert.deepEqual(session.incoming.counts, { channels: 1, idle: 1, streams: 0 });
  assert.equal(session.pool.counts.channels, 0);
  for (let count = 1; count < MAX_CHANNELS_PER_SESSION; count++) {
    session.attachChannel(memoryPair()[0], new Uint8Array(0), { secure: true, opener: "client" });
  }
  for (const opener of ["server", "client"]) {
    const dial = requestUpgrade(connect(), { host: "x", path: `${DOORS.data}?opener=${opener}`, bearer });
    await assert.rejects(dial, { kind: "LIMIT_EXCEEDED" });
  }
  await session.end(new CodedError("SESSION_CLOSED"));
  assert.equal(session.incoming.size, 0);
  await endpoint.cut();
});
