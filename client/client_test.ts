import assert from "node:assert/strict";
import { ControlChannel } from "../net/control_channel.ts";
import { DataChannel } from "../net/data_channel.ts";
import { parseDestination } from "../protocol/destination.ts";
import { CodedError, type ErrorName } from "../protocol/errors.ts";
import { connect, type Tunnel } from "./client.ts";
import type { ClientEvent, ConnectOptions } from "./options.ts";
import { type FakeServer, fakeServer } from "./testing/fake_server.ts";

function dial(server: FakeServer, options: Partial<ConnectOptions> = {}): Promise<Tunnel> {
  return connect({ ...server.address, token: "token-1", ...options });
}

async function until(holds: () => boolean): Promise<void> {
  for (let look = 0; !holds(); look++) {
    assert.ok(look < 2_000, "it never came to that");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

Deno.test("a client says who it is, publishes its rules, and knows its server's facts", async () => {
  await using server = await fakeServer();
  const connecting = dial(server, { rules: [{ kind: "tcp", port: 22_001, target: "22" }] });
  const greeted = await server.control();
  await using tunnel = await connecting;
  await using _closing = greeted;
  const { channel, hello } = greeted;
  assert.equal(hello.role, "serve");
  assert.equal(hello.host, Deno.hostname());
  assert.equal(hello.resume, undefined);
  assert.deepEqual([tunnel.id, tunnel.name, tunnel.hostname], ["tunnel-1", "calm-fox", "calm-fox-12345.example.com"]);
  const message = await channel.receive();
  assert.deepEqual(message, {
    kind: "rules",
    revision: 1,
    rules: [{ kind: "tcp", transport: "tcp", port: 22_001, target: "127.0.0.1:22", firewall: [], targetPort: 22 }],
  });
});

Deno.test("a client pings every heart beat although its server speaks all the time", async () => {
  await using server = await fakeServer();
  const connecting = dial(server);
  const greeted = await server.control({ heartbeatMs: 300 });
  await using _tunnel = await connecting;
  await using _closing = greeted;
  const { channel } = greeted;
  await channel.receive();
  const reading = channel.receive().catch(() => null);
  const talking = setInterval(() => {
    channel.send({ kind: "notice", level: "info", code: "E0000", message: "still here" }).catch(() => {
      // The test is over.
    });
  }, 50);
  try {
    // Nothing but pings comes from this client.
    for (let beat = 0; beat < 3; beat++) {
      const heard = channel.heardAt;
      await until(() => channel.heardAt > heard);
    }
  } finally {
    clearInterval(talking);
  }
  channel.reset();
  await reading;
});

Deno.test("doors open when the server accepts the client: one that is refused takes no port and complains of none", async () => {
  const door = { kind: "socks", listen: { hostname: "127.0.0.1", port: 0 } } as const;
  await using server = await fakeServer();
  const events: ClientEvent[] = [];
  const onEvent = (event: ClientEvent): void => void events.push(event);
  const refused = dial(server, { doors: [door], onEvent });
  const { duplex, initial } = await server.upgradedControl();
  const control = new ControlChannel(duplex, { client: false, secure: true, initial });
  assert.equal((await control.receive())?.kind, "hello");
  const error = new CodedError("ALREADY_RUNNING");
  await control.send({ kind: "bye", code: error.code, message: error.message, final: true });
  await assert.rejects(refused, { kind: "ALREADY_RUNNING" });
  assert.equal(events.some(({ kind }) => kind === "doors"), false);
  const connecting = dial(server, { doors: [door], onEvent });
  await using _first = await server.control();
  await using _tunnel = await connecting;
  await until(() => events.some(({ kind }) => kind === "doors"));
  assert.equal(events.findLast((event) => event.kind === "doors")?.states[0]?.state, "open");
});

Deno.test("a client that lost its control channel asks for its session again, with the secret it was given", async () => {
  await using server = await fakeServer();
  const events: ClientEvent[] = [];
  const connecting = dial(server, { onEvent: (event) => events.push(event) });
  const first = await server.control();
  await using _tunnel = await connecting;
  first.channel.reset();
  await using second = await server.control({ resumed: true });
  assert.deepEqual(second.hello.resume, { session: "session-1", secret: "secret-1" });
  assert.equal(second.hello.instance, first.hello.instance);
  await until(() => events.filter(({ kind }) => kind === "connected").length === 2);
});

for (const role of ["serve", "use"] as const) {
  Deno.test(`a client with role "${role}" connects through the mesh, and not while it is away from its server`, async () => {
    await using server = await fakeServer();
    const lost = Promise.withResolvers<void>();
    const onEvent = ({ kind }: ClientEvent): void => void (kind === "disconnected" && lost.resolve());
    const connecting = dial(server, { role, once: false, onEvent });
    const greeted = await server.control();
    await using tunnel = await connecting;
    const opening = tunnel.connect({ transport: "tcp", host: "REDIS.", port: 6379 });
    const { duplex, initial, bearer, target } = await server.dataChannel();
    assert.equal(bearer, "session-1.secret-1");
    assert.equal(target, "/tunnel/v1/data?opener=client");
    const asked: unknown[] = [];
    const channel = new DataChannel(duplex, {
      ...{ client: false, opener: false, secure: true, initial },
      async onConnect(stream, { destination }) {
        asked.push(destination);
        await stream.accept();
        await stream.write(new TextEncoder().encode("+OK"));
        await stream.closed;
      },
    });
    const redis = await opening;
    assert.deepEqual(asked, [parseDestination("redis:6379")]);
    assert.equal(new TextDecoder().decode(await redis.read() ?? undefined), "+OK");
    await assert.rejects(tunnel.connect({ transport: "tcp", host: "127.1", port: 1 }), { kind: "DESTINATION_INVALID" });
    greeted.channel.reset();
    await lost.promise;
    await assert.rejects(tunnel.connect(parseDestination("redis:6379")), { kind: "SERVER_UNREACHABLE" });
    channel.close();
    await tunnel.stop();
    await assert.rejects(tunnel.connect(parseDestination("redis:6379")), { kind: "SESSION_CLOSED" });
  });
}

for (const kind of ["ALREADY_RUNNING", "TAKEN_OVER", "REVOKED"] as const satisfies readonly ErrorName[]) {
  Deno.test(`a client that is told ${kind} ends and does not come back`, async () => {
    await using server = await fakeServer();
    const events: ClientEvent[] = [];
    const connecting = dial(server, { onEvent: (event) => events.push(event) });
    const { channel } = await server.control();
    await using tunnel = await connecting;
    const error = new CodedError(kind);
    await channel.send({ kind: "bye", code: error.code, message: error.message, final: true });
    assert.equal((await tunnel.closed)?.kind, kind);
    assert.equal(events.filter((event) => event.kind === "connecting").length, 1);
    await assert.rejects(tunnel.request("port.list", {}), { kind: "SESSION_CLOSED" });
  });
}

Deno.test("a final goodbye with a code of a newer version ends a client too", async () => {
  await using server = await fakeServer();
  const connecting = dial(server);
  const greeted = await server.control();
  await using tunnel = await connecting;
  await using _closing = greeted;
  const { channel } = greeted;
  await channel.send({ kind: "bye", code: "E9999", message: "No more", final: true });
  const error = await tunnel.closed;
  assert.equal(error?.message, "No more");
});

Deno.test("a client comes back after a goodbye that is not final", async () => {
  await using server = await fakeServer();
  const connecting = dial(server);
  const first = await server.control();
  await using _tunnel = await connecting;
  await first.channel.send({ kind: "bye", code: "E1505", message: "Restarting", final: false });
  await using second = await server.control();
  assert.equal(second.hello.instance, first.hello.instance);
});

Deno.test("a client that is stopped while it waits for its welcome stops", async () => {
  await using server = await fakeServer();
  const connecting = dial(server);
  const first = await server.control();
  const tunnel = await connecting;
  first.channel.reset();
  const { duplex } = await server.upgradedControl();
  const stopped = tunnel.stop();
  while (await duplex.read() !== null); // Its hello, and its end; the welcome never comes.
  duplex.reset();
  await stopped;
  assert.equal(await tunnel.closed, undefined);
});

Deno.test("requests in flight fail when a client ends, and are refused after it", async () => {
  await using server = await fakeServer();
  const connecting = dial(server);
  const { channel } = await server.control();
  const tunnel = await connecting;
  const asked = tunnel.request("port.list", {});
  await Promise.all([assert.rejects(asked, { kind: "SESSION_CLOSED" }), tunnel.stop(), channel.close()]);
  await assert.rejects(tunnel.request("port.list", {}), { kind: "SESSION_CLOSED" });
  await assert.rejects(tunnel.setRules([]), { kind: "SESSION_CLOSED" });
});

Deno.test("a signal ends a client: before it dials, while it tries, and while it runs", async () => {
  await assert.rejects(connect({ server: "127.0.0.1:9", token: "x", signal: AbortSignal.abort() }));
  const trying = new AbortController();
  const connecting = connect({
    server: "127.0.0.1:9",
    token: "x",
    signal: trying.signal,
    onEvent: ({ kind }) => kind === "disconnected" && trying.abort(),
  });
  await assert.rejects(connecting, { kind: "SESSION_CLOSED" });
  await using server = await fakeServer();
  const running = new AbortController();
  const dialled = dial(server, { signal: running.signal });
  const { channel } = await server.control();
  const tunnel = await dialled;
  running.abort();
  await channel.close();
  assert.equal(await tunnel.closed, undefined);
});

Deno.test("mistakes in rules are told before anything is dialled", async () => {
  const options = { server: "127.0.0.1:9", token: "x" };
  const wrong = connect({ ...options, rules: [{ kind: "tcp", port: 1, target: "nonsense" }] });
  await assert.rejects(wrong, { kind: "TARGET_INVALID" });
  const twice = connect({
    ...options,
    rules: [{ kind: "tcp", port: 1, target: "1" }, { kind: "tcp", port: 1, target: "2" }],
  });
  await assert.rejects(twice, { kind: "RULE_INVALID" });
});

Deno.test("setRules() tells what became of the last rules, also when the connection is lost meanwhile", async () => {
  await using server = await fakeServer();
  const connecting = dial(server);
  const first = await server.control();
  await using tunnel = await connecting;
  await first.channel.receive();
  const setting = tunnel.setRules([{ kind: "tcp", port: 22_001, target: "1" }]);
  assert.equal((await first.channel.receive())?.kind, "rules");
  first.channel.reset();
  await using second = await server.control();
  const again = await second.channel.receive();
  assert.ok(again?.kind === "rules" && again.rules[0]?.kind === "tcp");
  await second.channel.send({
    kind: "rules.applied",
    revision: again.revision,
    rules: [{ id: "tcp/22001", state: "inactive", code: "E4007" }],
  });
  assert.deepEqual(await setting, [{ id: "tcp/22001", state: "inactive", code: "E4007" }]);
});
