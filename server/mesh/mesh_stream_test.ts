import assert from "node:assert/strict";
import type { ChannelStream } from "../../net/channel_stream.ts";
import { DataChannel } from "../../net/data_channel.ts";
import type { LogFields, Logger } from "../../net/log.ts";
import { memoryPair } from "../../net/memory_duplex.ts";
import { queuedWrites } from "../../net/testing/queued_writes.ts";
import { toDestination } from "../../protocol/destination.ts";
import { CodedError } from "../../protocol/errors.ts";
import { Metrics } from "../metrics.ts";
import type { Mesh } from "./mesh.ts";
import { serveMeshStream } from "./mesh_stream.ts";
import { fakeIdentity, fakeTunnel, tcpRule } from "./testing/fake_rules.ts";
import { echo, encode, exchange, localServer, opener, setUpMesh } from "./testing/mesh_setup.ts";

const ALICE = fakeIdentity(fakeTunnel("laptop"));
const DATABASE = fakeTunnel("database");

/** A client's channel into a mesh, what was counted, and what was logged. */
function client(mesh: Pick<Mesh, "open">): Disposable & {
  connect(host: string, port: number): ChannelStream;
  readonly metrics: Metrics;
  readonly events: [event: string, fields: LogFields | undefined][];
} {
  const metrics = new Metrics();
  const events: [string, LogFields | undefined][] = [];
  const note = (event: string, fields?: LogFields): void => void events.push([event, fields]);
  const log: Logger = { debug: note, info: note, warn: note, error: note };
  const [near, far] = memoryPair();
  new DataChannel(queuedWrites(far), {
    ...{ client: false, opener: false, secure: true },
    onConnect: (stream, open) =>
      serveMeshStream(stream, open, { identity: ALICE, mesh, log, lingerMs: 10_000, metrics }),
  });
  const channel = new DataChannel(queuedWrites(near), { client: true, opener: true, secure: true });
  return {
    ...{ metrics, events },
    connect: (host, port) => channel.connect(toDestination(host, port)),
    [Symbol.dispose]: () => channel.close(),
  };
}

Deno.test("a client's stream is joined with a rule behind another tunnel, and its channel carries the next", async () => {
  await using setup = setUpMesh();
  setup.online(tcpRule(DATABASE, 22_001, { service: "redis" }, opener(echo)));
  using alice = client(setup.mesh);
  for (let count = 0; count < 3; count++) {
    const stream = alice.connect("redis", 6_379);
    await stream.opened();
    assert.equal(await exchange(stream, "ping"), "ping");
    assert.equal(stream.finWritten, 4);
  }
  assert.deepEqual(alice.metrics.bytes, { up: 12, down: 12 });
});

Deno.test("one direction may end long before the other", async () => {
  await using setup = setUpMesh();
  const answer = Promise.withResolvers<void>();
  setup.online(tcpRule(
    DATABASE,
    22_001,
    {},
    opener(async (stream) => {
      await stream.accept();
      while (await stream.read() !== null);
      await answer.promise;
      await stream.write(encode("later"));
      await stream.closeWrite();
    }),
  ));
  using alice = client(setup.mesh);
  const stream = alice.connect("redis", 22_001);
  await stream.opened();
  await stream.closeWrite();
  answer.resolve();
  assert.equal(new TextDecoder().decode((await stream.read())!), "later");
  assert.equal(await stream.read(), null);
});

Deno.test("a refusal has its code, is counted and logged, and leaves the channel good", async () => {
  await using setup = setUpMesh();
  using alice = client(setup.mesh);
  for (let count = 0; count < 2; count++) {
    await assert.rejects(alice.connect("mysql", 3_306).opened(), { kind: "DESTINATION_UNKNOWN" });
  }
  assert.deepEqual([...alice.metrics.refusals], [["E4019", 2]]);
  const [event, fields] = alice.events[0]!;
  assert.deepEqual([event, fields?.from, fields?.to, fields?.code], [
    ...["mesh stream refused", "id-laptop", "mysql:3306", "E4019"],
  ]);
});

Deno.test("what the mesh ends is ended with its reason, wherever it leads", async () => {
  await using target = await localServer();
  const lookUp = () => Promise.resolve(["127.0.0.1"]);
  await using setup = setUpMesh({ mesh: { allow: ["127.0.0.1", "db.srv.local"] }, lookUp });
  setup.online(tcpRule(DATABASE, 22_001, {}, opener(echo)));
  for (const [host, port] of [["redis", 22_001], ["db.srv.local", target.port]] as const) {
    using alice = client(setup.mesh);
    const stream = alice.connect(host, port);
    await stream.opened();
    if (port === target.port) await stream.read();
    setup.mesh.endTunnel("id-laptop", new CodedError("REVOKED"));
    await assert.rejects(async () => await stream.read(), { kind: "REVOKED" });
  }
});

Deno.test("a reset of either end is one of the other", async () => {
  await using setup = setUpMesh();
  const ended = Promise.withResolvers<unknown>();
  setup.online(tcpRule(
    DATABASE,
    22_001,
    {},
    opener(async (stream) => {
      await stream.accept();
      await Promise.resolve(stream.read()).then(() => stream.read()).catch(ended.resolve);
    }),
  ));
  setup.online(tcpRule(
    DATABASE,
    22_002,
    {},
    opener(async (stream) => {
      await stream.accept();
      stream.reset(new CodedError("TARGET_CLOSED"));
    }),
  ));
  using alice = client(setup.mesh);
  const stream = alice.connect("redis", 22_001);
  await stream.opened();
  await stream.write(encode("x"));
  stream.reset();
  assert.equal((await ended.promise as CodedError).kind, "STREAM_RESET");
  using other = client(setup.mesh);
  const cut = other.connect("redis", 22_002);
  await cut.opened();
  await assert.rejects(async () => await cut.read(), { kind: "TARGET_CLOSED" });
});

Deno.test("a client that goes while its stream is opened leaves nothing behind", async () => {
  const asked = Promise.withResolvers<AbortSignal>();
  const alice = client({
    open: (_identity, _destination, { signal }) => {
      asked.resolve(signal);
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    },
  });
  const opening = assert.rejects(alice.connect("redis", 1).opened());
  const signal = await asked.promise;
  alice[Symbol.dispose]();
  await opening;
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
});
