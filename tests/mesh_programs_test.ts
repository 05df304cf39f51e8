import assert from "node:assert/strict";
import {
  connectTcp,
  echoTarget,
  eventually,
  fill,
  programTest,
  run,
  sha256,
  SOAK,
  spawnPktriot,
  startServer,
  startTunnel,
  tcpTarget,
  type TestServer,
  type TestTunnel,
  type Wire,
} from "./harness.ts";
import { MARIADB_PROGRAMS, startMariadb, startRedis } from "./harness/databases.ts";
import { iperf3BothWays } from "./harness/iperf3.ts";
import { offer, openDoors, portMap } from "./harness/mesh.ts";

const MEBIBYTE = 1024 * 1024;
const TRANSFER_BYTES = 50 * MEBIBYTE;

/** A service behind one tunnel, and a local port beside another that leads to it. */
interface Mapped extends AsyncDisposable {
  readonly port: number;
  readonly server: TestServer;
  readonly here: TestTunnel;
}

async function mapped(target: string): Promise<Mapped> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startServer());
  await offer(stack.use(await startTunnel(server)), { service: target });
  const here = stack.use(await startTunnel(server));
  const [port = 0] = await openDoors(here, portMap("service:1"));
  const all = stack.move();
  return { port, server, here, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

programTest(
  "redis-cli and redis-benchmark through a port map to a private service",
  ["redis-server", "redis-cli", "redis-benchmark"],
  async () => {
    await using redis = await startRedis();
    await using map = await mapped(redis.address);
    const at = ["-p", `${map.port}`];
    const cli = async (...args: string[]) => (await run("redis-cli", [...at, ...args])).stdout;
    assert.equal(await cli("ping"), "PONG\n");
    assert.equal(await cli("set", "key", "value"), "OK\n");
    assert.equal(await cli("get", "key"), "value\n");
    for (const pipelined of [1, 16]) {
      const count = SOAK ? 200_000 : 2_000;
      const options = ["-t", "set,get", "-n", `${count}`, "-c", "50", "-P", `${pipelined}`, "--csv"];
      const { code, stdout, stderr } = await run("redis-benchmark", [...at, ...options]);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^"SET",[^]*^"GET",/m, stderr);
    }
  },
);

programTest(
  "the MariaDB client through a port map: the server speaks first, rows come back",
  MARIADB_PROGRAMS,
  async () => {
    await using mariadb = await startMariadb();
    await using map = await mapped(mariadb.address);
    const at = ["--host=127.0.0.1", `--port=${map.port}`, "--protocol=tcp", "--skip-ssl", "--user=root", "--batch"];
    const sql = async (text: string) => {
      const { code, stdout, stderr } = await run("mariadb", at, { stdin: text });
      assert.equal(code, 0, stderr);
      return stdout;
    };
    const [large, rows] = ["x".repeat(MEBIBYTE), 1_000];
    await sql(`CREATE DATABASE shop; USE shop; CREATE TABLE notes (id INT PRIMARY KEY, text LONGTEXT);
    INSERT INTO notes VALUES (0, '${large}');
    INSERT INTO notes SELECT seq, REPEAT('row', seq) FROM seq_1_to_${rows};`);
    assert.equal(
      await sql(`SELECT COUNT(*), SUM(LENGTH(text)) FROM shop.notes`),
      [
        ...["COUNT(*)\tSUM(LENGTH(text))", `${rows + 1}\t${MEBIBYTE + 3 * rows * (rows + 1) / 2}`, ""],
      ].join("\n"),
    );
    const all = (await sql("SELECT text FROM shop.notes ORDER BY id")).split("\n");
    assert.deepEqual([all.length, all[1] === large, all[2], all[rows + 1]], [
      ...[rows + 3, true, "row", "row".repeat(rows)],
    ]);
  },
);

programTest("iperf3 through a port map, in both directions", ["iperf3"], async () => {
  await iperf3BothWays((SOAK ? 4096 : 128) * MEBIBYTE, mapped);
});

programTest(
  "nc through a port map: either side may end first, and still gets what the other says",
  ["nc"],
  async () => {
    const bytes = fill(3 * MEBIBYTE);
    await using last = await tcpTarget(async (wire) => {
      const { bytes } = await wire.readToEnd();
      await wire.send(bytes);
    });
    await using toLast = await mapped(last.address);
    const { bytes: answer, code } = await run("nc", ["-N", "127.0.0.1", `${toLast.port}`], { stdin: bytes });
    assert.deepEqual([code, sha256(answer)], [0, sha256(bytes)]);

    const heard = Promise.withResolvers<string>();
    await using first = await tcpTarget(async (wire) => {
      await wire.send("bye");
      await wire.endWrite();
      heard.resolve(sha256((await wire.readToEnd()).bytes));
    });
    await using toFirst = await mapped(first.address);
    await using visitor = await connectTcp(toFirst.port);
    const { text, end } = await visitor.readToEnd();
    assert.deepEqual([text, end], ["bye", "end"]);
    await visitor.send(bytes);
    await visitor.endWrite();
    assert.equal(await heard.promise, sha256(bytes));
  },
);

Deno.test("50 MB go both ways at once through a port map, unchanged", async () => {
  const [up, down] = [fill(TRANSFER_BYTES, 1), fill(TRANSFER_BYTES, 2)];
  async function exchange(wire: Wire, bytes: Uint8Array): Promise<string> {
    const sending = wire.send(bytes).then(() => wire.endWrite());
    const received = await wire.readToEnd();
    await sending;
    return `${received.end} ${sha256(received.bytes)}`;
  }
  const inside = Promise.withResolvers<string>();
  await using target = await tcpTarget(async (wire) => inside.resolve(await exchange(wire, down)));
  await using map = await mapped(target.address);
  await using visitor = await connectTcp(map.port);
  assert.equal(await exchange(visitor, up), `end ${sha256(down)}`);
  assert.equal(await inside.promise, `end ${sha256(up)}`);
});

Deno.test("a reset of the service is a reset for the program, and the other way round; nothing is left of the stream", async () => {
  await using target = await tcpTarget();
  await using map = await mapped(target.address);
  for (const first of ["program", "service"] as const) {
    await using program = await connectTcp(map.port);
    await program.send("hello");
    const service = await target.accept();
    await service.readUntil("hello");
    const [one, other] = first === "program" ? [program, service] : [service, program];
    await one.send("some");
    await other.readUntil("some");
    one.reset();
    assert.deepEqual((await other.readToEnd()).end, "reset", first);
  }
  await eventually(async () => await map.server.metric("spokes_mesh_streams") === 0, "the streams to end");
});

Deno.test("a program that leaves before its service is reached takes the stream with it", async () => {
  await using target = await tcpTarget();
  await using map = await mapped(target.address);
  for (let count = 0; count < 20; count++) (await connectTcp(map.port)).reset();
  const { log } = map.here;
  await eventually(() => [...log.all("door visitor cut"), ...log.all("door left")].length === 20, "all to be seen");
  await eventually(async () => await map.server.metric("spokes_mesh_streams") === 0, "the streams to end");
  await eventually(() => target.open === 0, "the connections of the service to end");
});

Deno.test("kill -9 of the client behind which the service is: the program's connection is reset, and its next one works again", async () => {
  await using echo = await echoTarget();
  await using server = await startServer();
  await using here = await startTunnel(server);
  await using owner = await startTunnel(server);
  const { port } = await owner.tunnel.request("port.allocate", {});
  await owner.tunnel.stop();
  await using there = await spawnPktriot(server, {
    identity: owner.identity,
    rules: [{ kind: "tcp", port, target: echo.address, service: "echo", private: true }],
  });
  const [local = 0] = await openDoors(here, portMap("echo:7"));
  await using program = await connectTcp(local);
  await program.send("hello");
  await program.readUntil("hello");
  await there.kill("SIGKILL");
  assert.equal((await program.readToEnd()).end, "reset");
  await there.again();
  await using next = await connectTcp(local);
  await next.send("again");
  assert.equal(await next.readUntil("again"), "again");
});
