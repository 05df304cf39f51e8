import assert from "node:assert/strict";
import { userInfo } from "node:os";
import { join } from "node:path";
import {
  fill,
  programTest,
  run,
  sha256,
  SOAK,
  spawn,
  startServer,
  startTunnel,
  tcpTarget,
  tempDir,
} from "./harness.ts";
import { startRedis } from "./harness/databases.ts";
import { iperf3BothWays } from "./harness/iperf3.ts";
import { startSshd } from "./harness/sshd.ts";

const MEBIBYTE = 1024 * 1024;

/** A local service behind a port of the server. */
interface Published extends AsyncDisposable {
  readonly port: number;
}

async function publish(target: string): Promise<Published> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startServer());
  const tunnel = stack.use(await startTunnel(server));
  const port = await tunnel.tcp(target);
  const all = stack.move();
  return { port, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

programTest("ssh and scp through the tunnel", ["ssh", "scp", "sshd", "ssh-keygen"], async () => {
  await using sshd = await startSshd();
  await using published = await publish(sshd.address);
  const { folder, options } = sshd;
  const login = `${userInfo().username}@127.0.0.1`;
  const ssh = (command: string, stdin: string | Uint8Array = "") =>
    run("ssh", [...options, "-p", `${published.port}`, login, command], { stdin });
  const hello = await ssh("echo hello; exit 7");
  assert.deepEqual([hello.stdout, hello.code], ["hello\n", 7], hello.stderr);
  const bytes = fill(8 * MEBIBYTE);
  const through = await ssh("cat", bytes);
  assert.deepEqual([through.code, sha256(through.bytes)], [0, sha256(bytes)], through.stderr);
  const file = await folder.write("file", bytes);
  const there = join(folder.path, "there");
  const remote = `scp://${login}:${published.port}/${there}`;
  const up = await run("scp", ["-q", ...options, file, remote]);
  assert.equal(up.code, 0, up.stderr);
  const back = join(folder.path, "back");
  const down = await run("scp", ["-q", ...options, remote, back]);
  assert.equal(down.code, 0, down.stderr);
  assert.equal(sha256(await Deno.readFile(back)), sha256(bytes));
});

programTest("redis-cli through the tunnel: ping, a large value, pub/sub", ["redis-server", "redis-cli"], async () => {
  await using redis = await startRedis();
  await using published = await publish(redis.address);
  const at = ["-p", `${published.port}`];
  const cli = (args: string[], stdin?: string) =>
    run("redis-cli", [...at, ...args], stdin === undefined ? {} : { stdin });
  assert.equal((await cli(["ping"])).stdout, "PONG\n");
  const value = sha256("large").repeat(MEBIBYTE / 64);
  assert.equal((await cli(["-x", "set", "large"], value)).stdout, "OK\n");
  assert.equal((await cli(["get", "large"])).stdout, `${value}\n`);
  await using subscriber = spawn("redis-cli", [...at, "subscribe", "news"]);
  await subscriber.printed(/subscribe\nnews\n1\n/);
  for (const message of ["first", "second"]) {
    assert.equal((await cli(["publish", "news", message])).stdout, "1\n");
    await subscriber.printed(new RegExp(`message\nnews\n${message}\n`));
  }
});

programTest("iperf3 through the tunnel, in both directions", ["iperf3"], async () => {
  await iperf3BothWays((SOAK ? 4096 : 128) * MEBIBYTE, publish);
});

programTest("nc ends its input and still gets the whole answer", ["nc"], async () => {
  await using target = await tcpTarget(async (wire) => {
    const { bytes } = await wire.readToEnd();
    await wire.send(`${bytes.length} ${sha256(bytes)}\n`);
    await wire.send(bytes);
  });
  await using published = await publish(target.address);
  const bytes = fill(3 * MEBIBYTE);
  const { bytes: answer, code } = await run("nc", ["-N", "127.0.0.1", `${published.port}`], { stdin: bytes });
  const line = `${bytes.length} ${sha256(bytes)}\n`;
  assert.equal(code, 0);
  assert.equal(new TextDecoder().decode(answer.subarray(0, line.length)), line);
  assert.equal(sha256(answer.subarray(line.length)), sha256(bytes));
});

programTest("socat behind a unix socket and a port, both ends its own", ["socat"], async () => {
  await using folder = await tempDir();
  const path = join(folder.path, "cat.sock");
  await using service = spawn("socat", ["-d", "-d", `UNIX-LISTEN:${path},fork`, "EXEC:cat"]);
  await service.printed(/listening on/);
  await using published = await publish(`unix:${path}`);
  const { stdout, code } = await run("socat", ["-t", "20", "-", `TCP:127.0.0.1:${published.port}`], {
    stdin: "there and back\n",
  });
  assert.deepEqual([stdout, code], ["there and back\n", 0]);
});
