import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import net from "node:net";
import { join } from "node:path";
import type { Duplex } from "../../net/duplex.ts";
import { SILENT } from "../../net/log.ts";
import { memoryPair } from "../../net/memory_duplex.ts";
import { hashPassword } from "../../net/password.ts";
import { type Destination, formatDestination, parseDestination } from "../../protocol/destination.ts";
import { CodedError } from "../../protocol/errors.ts";
import type { Door, DoorState, PortMap, ProxyDoor } from "./door.ts";
import { Doors, type DoorsOptions } from "./doors.ts";
import type { MeshConnect } from "./serve_visitor.ts";

const LOOPBACK = { hostname: "127.0.0.1", port: 0 };
const MAP: PortMap = { kind: "map", listen: LOOPBACK, destination: parseDestination("redis:6379") };
const SOCKS: ProxyDoor = { kind: "socks", listen: LOOPBACK };

/** A mesh whose every destination says its name, and then sends back what it gets. */
function greeter(destination: Destination): Promise<Duplex> {
  const [near, far] = memoryPair({ keep: true });
  void (async () => {
    try {
      // As every real mesh: the runtime fails a write to a socket in the very turn in which it was accepted, if its end has come already.
      await new Promise((resolve) => setTimeout(resolve, 1));
      await far.write(new TextEncoder().encode(`${formatDestination(destination)}\n`));
      for (let bytes = await far.read(); bytes !== null; bytes = await far.read()) await far.write(bytes.slice());
      await far.closeWrite();
    } catch {
      // The visitor has reset it.
    }
  })();
  return Promise.resolve(near);
}

/** A mesh that never answers. */
function never(_destination: Destination, { signal }: { signal: AbortSignal }): Promise<Duplex> {
  const { promise, reject } = Promise.withResolvers<Duplex>();
  signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  return promise;
}

interface Setup extends AsyncDisposable {
  readonly doors: Doors;
  readonly told: (readonly DoorState[])[];
  readonly notices: { code: string; message: string }[];
}

function setUp(connect: MeshConnect = greeter, options: Partial<DoorsOptions> = {}): Setup {
  const told: (readonly DoorState[])[] = [];
  const notices: { code: string; message: string }[] = [];
  const doors = new Doors({
    ...{ connect, log: SILENT, onStates: (states) => told.push(states), onNotice: (notice) => notices.push(notice) },
    ...options,
  });
  return { doors, told, notices, [Symbol.asyncDispose]: () => doors[Symbol.asyncDispose]() };
}

function portOf(state: DoorState | undefined): number {
  return Number(/:(\d+)$/.exec(state?.address ?? "")?.[1]);
}

/** Connects, sends, ends its direction, and gives what came: and how it ended. */
function exchange(
  to: { port: number } | { path: string },
  sent: string | Uint8Array = "",
): Promise<{ text: string; end: string }> {
  const { promise, resolve } = Promise.withResolvers<{ text: string; end: string }>();
  const socket = net.connect({ ...to, host: "127.0.0.1", allowHalfOpen: true } as net.NetConnectOpts);
  let text = "";
  socket.on("data", (bytes) => text += bytes.toString("latin1"));
  socket.on("error", (error: Error & { code?: string }) => resolve({ text, end: error.code ?? "error" }));
  socket.on("end", () => resolve({ text, end: "end" }));
  socket.end(sent);
  return promise.finally(() => socket.destroy());
}

async function until(holds: () => boolean): Promise<void> {
  for (let look = 0; !holds(); look++) {
    assert.ok(look < 2_000, "it never came to that");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function busyPort(): Promise<AsyncDisposable & { port: number }> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

Deno.test("a port map leads to its destination, with half-close", async () => {
  await using setup = setUp();
  const [state] = await setup.doors.set([MAP]);
  assert.equal(state?.state, "open");
  assert.equal(state.id, "map/127.0.0.1:0");
  assert.deepEqual(await exchange({ port: portOf(state) }, "PING"), { text: "redis:6379\nPING", end: "end" });
  assert.deepEqual(setup.told, [[state]]);
  assert.equal(setup.doors.isAnyOpen, true);
});

Deno.test("a visitor of a port map whose destination cannot be reached is reset, and the person is told once", async () => {
  await using setup = setUp(() => Promise.reject(new CodedError("DESTINATION_DENIED", "not for you")));
  const [state] = await setup.doors.set([MAP]);
  for (let count = 0; count < 3; count++) {
    const { text, end } = await exchange({ port: portOf(state) });
    assert.deepEqual({ text, end }, { text: "", end: "ECONNRESET" });
  }
  assert.equal(setup.notices.length, 1);
  assert.equal(setup.notices[0]?.code, "E4020");
  assert.match(setup.notices[0].message, /^port map 127\.0\.0\.1:0 to redis:6379: not for you$/);
});

Deno.test("a reset in the mesh is a reset for the visitor, and the other way round", async () => {
  const ends: Duplex[] = [];
  await using setup = setUp(() => {
    const [near, far] = memoryPair({ keep: true });
    ends.push(far);
    return Promise.resolve(near);
  });
  const [state] = await setup.doors.set([MAP]);
  const cut = exchange({ port: portOf(state) });
  await until(() => ends.length === 1);
  ends[0]!.reset();
  assert.equal((await cut).end, "ECONNRESET");
  const socket = net.connect({ port: portOf(state), host: "127.0.0.1" });
  await until(() => ends.length === 2);
  socket.resetAndDestroy();
  await assert.rejects(async () => await ends[1]!.read(), { kind: "STREAM_RESET" });
});

Deno.test("a visitor who leaves while its destination is being connected ends the attempt", async () => {
  const aborted = Promise.withResolvers<unknown>();
  await using setup = setUp((_destination, { signal }) => {
    const { promise, reject } = Promise.withResolvers<Duplex>();
    signal.addEventListener("abort", () => {
      aborted.resolve(signal.reason);
      reject(signal.reason);
    });
    return promise;
  });
  const [state] = await setup.doors.set([MAP]);
  const socket = net.connect({ port: portOf(state), host: "127.0.0.1" });
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  socket.resetAndDestroy();
  assert.equal((await aborted.promise as CodedError).message, "The visitor has left");
  assert.deepEqual(setup.notices, [], "it knows");
});

Deno.test("a SOCKS5 door leads where its visitor asks to go, and says why not", async () => {
  const errors: CodedError[] = [];
  await using setup = setUp((destination) => errors.length === 0 ? greeter(destination) : Promise.reject(errors[0]));
  const [state] = await setup.doors.set([SOCKS]);
  const request = Buffer.from(`0501000501000302${Buffer.from("db").toString("hex")}1538`, "hex");
  // The bytes behind the request are for the destination.
  const whole = new Uint8Array([...request, 0x48, 0x49]);
  assert.deepEqual(await exchange({ port: portOf(state) }, whole), {
    text: "\x05\x00\x05\x00\x00\x01\0\0\0\0\0\0db:5432\nHI",
    end: "end",
  });
  for (const [kind, code] of [["SERVER_UNREACHABLE", 3], ["DESTINATION_DENIED", 2], ["TARGET_REFUSED", 5]] as const) {
    errors[0] = new CodedError(kind);
    const { text, end } = await exchange({ port: portOf(state) }, request);
    assert.deepEqual([text.charCodeAt(3), end], [code, "end"], kind);
  }
});

Deno.test("an HTTP door takes CONNECT, and says why not", async () => {
  const errors: CodedError[] = [];
  await using setup = setUp((destination) => errors.length === 0 ? greeter(destination) : Promise.reject(errors[0]));
  const [state] = await setup.doors.set([{ kind: "http", listen: LOOPBACK }]);
  const request = "CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n";
  assert.deepEqual(await exchange({ port: portOf(state) }, `${request}HI`), {
    text: "HTTP/1.1 200 Connection established\r\n\r\ndb:5432\nHI",
    end: "end",
  });
  errors[0] = new CodedError("SERVER_UNREACHABLE", "The client is not connected to the server");
  const { text } = await exchange({ port: portOf(state) }, request);
  assert.match(
    text,
    /^HTTP\/1\.1 502 Bad Gateway\r\n[\s\S]*\r\n\r\nE3005 The client is not connected to the server\n$/,
  );
});

Deno.test("a door with a password lets in who knows it", async () => {
  await using setup = setUp();
  const auth = { user: "bob", passwordHash: await hashPassword("secret") };
  const listen = { ...LOOPBACK, hostname: "0.0.0.0" };
  const [http, socks] = await setup.doors.set([{ kind: "http", listen, auth }, { ...SOCKS, auth }]);
  const head = "CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n";
  const credential = (text: string): string => `Proxy-Authorization: Basic ${btoa(text)}\r\n\r\n`;
  assert.match((await exchange({ port: portOf(http) }, `${head}\r\n`)).text, /^HTTP\/1\.1 407 /);
  assert.match((await exchange({ port: portOf(http) }, head + credential("bob:guess"))).text, /^HTTP\/1\.1 407 /);
  assert.match((await exchange({ port: portOf(http) }, head + credential("bob:secret"))).text, /^HTTP\/1\.1 200 /);
  const hex = (text: string): string => Buffer.from(text).toString("hex");
  const login = (password: string): string => `050102` + `0103${hex("bob")}06${hex(password)}`;
  const wanted = `0501000302${hex("db")}1538`;
  const wrong = await exchange({ port: portOf(socks) }, Buffer.from(login("guess!"), "hex"));
  assert.equal(Buffer.from(wrong.text, "latin1").toString("hex"), "05020101");
  const right = await exchange({ port: portOf(socks) }, Buffer.from(login("secret") + wanted, "hex"));
  assert.equal(right.text.slice(-"db:5432\n".length), "db:5432\n");
});

Deno.test("a door that others could use without a password stays shut, unless that is meant", async () => {
  await using setup = setUp();
  const listen = { hostname: "0.0.0.0", port: 0 };
  const doors: Door[] = [{ ...MAP, listen }, { ...SOCKS, listen }, { kind: "http", listen }];
  for (const { state, code } of await setup.doors.set(doors)) assert.deepEqual([state, code], ["failed", "E5012"]);
  assert.equal(setup.doors.isAnyOpen, false);
  const meant = await setup.doors.set(doors.map((door) => ({ ...door, openToNetwork: true })));
  assert.deepEqual(meant.map(({ state }) => state), ["open", "open", "open"]);
});

Deno.test("a bad door is told by its name, stops no other, and is tried again", async () => {
  await using setup = setUp(greeter, { retryMs: 10 });
  const busy = await busyPort();
  const bad: PortMap = { ...MAP, listen: { hostname: "127.0.0.1", port: busy.port } };
  const broken: ProxyDoor = { ...SOCKS, auth: { user: "bob", passwordHash: "secret" } };
  const [first, second, third] = await setup.doors.set([bad, MAP, broken]);
  assert.deepEqual([first?.state, first?.code], ["failed", "E6003"]);
  assert.match(
    first!.message!,
    new RegExp(`^Cannot open the port map 127.0.0.1:${busy.port} to redis:6379: .*another program uses it$`),
  );
  assert.equal(second?.state, "open");
  assert.deepEqual([third?.state, third?.code], ["failed", "E5011"]);
  assert.ok(!third!.message!.includes("secret"));
  await busy[Symbol.asyncDispose]();
  await until(() => setup.doors.states[0]?.state === "open");
  assert.equal(setup.told.length, 2, "it was told when it changed");
  assert.equal((await exchange({ port: busy.port })).text, "redis:6379\n");
});

Deno.test("two doors at one address: the first is open, the second is refused", async () => {
  await using free = await busyPort();
  const { port } = free;
  await free[Symbol.asyncDispose]();
  await using setup = setUp();
  const listen = { hostname: "127.0.0.1", port };
  const states = await setup.doors.set([{ ...MAP, listen }, { ...SOCKS, listen }]);
  assert.deepEqual(states.map(({ id, code }) => [id, code]), [
    [`map/127.0.0.1:${port}`, undefined],
    [`socks/127.0.0.1:${port}`, "E5011"],
  ]);
});

Deno.test("set() lets connections of a door that stays live on, leads new ones elsewhere, and cuts those of one that is gone", async () => {
  await using free = await busyPort();
  const { port } = free;
  await free[Symbol.asyncDispose]();
  await using setup = setUp();
  const door: PortMap = { ...MAP, listen: { hostname: "127.0.0.1", port } };
  await setup.doors.set([door]);
  const socket = net.connect({ port, host: "127.0.0.1" });
  let text = "";
  const ended = Promise.withResolvers<string>();
  socket.on("data", (bytes) => text += bytes);
  socket.on("error", (error: Error & { code?: string }) => ended.resolve(error.code ?? ""));
  await until(() => text === "redis:6379\n");
  await setup.doors.set([{ ...door, destination: parseDestination("mariadb:3306") }]);
  assert.equal((await exchange({ port })).text, "mariadb:3306\n");
  socket.write("still here");
  await until(() => text.endsWith("still here"));
  await setup.doors.set([]);
  assert.equal(await ended.promise, "ECONNRESET");
  assert.equal((await exchange({ port })).end, "ECONNREFUSED");
  assert.deepEqual(setup.doors.states, []);
});

Deno.test("more than 1,024 connections through one door are reset", async () => {
  await using setup = setUp(never);
  const [state] = await setup.doors.set([MAP]);
  const sockets: net.Socket[] = [];
  function dial(): Promise<void> {
    const socket = net.connect({ port: portOf(state), host: "127.0.0.1" });
    sockets.push(socket);
    // One that is reset at once may never have been told that it was connected.
    return new Promise((resolve) => socket.once("connect", resolve).once("error", () => resolve()));
  }
  for (let round = 0; round < 16; round++) await Promise.all(Array.from({ length: 64 }, dial));
  assert.equal(setup.notices.length, 0);
  await dial();
  await until(() => setup.notices.length === 1 && sockets.at(-1)!.destroyed);
  assert.equal(setup.notices[0]?.code, "E1429");
  assert.equal(sockets.filter(({ destroyed }) => destroyed).length, 1);
  for (const socket of sockets) socket.destroy();
});

Deno.test("stop() lets nobody in and leaves connections alone", async () => {
  await using setup = setUp();
  const [state] = await setup.doors.set([MAP]);
  const port = portOf(state);
  const socket = net.connect({ port, host: "127.0.0.1" });
  let text = "";
  socket.on("data", (bytes) => text += bytes).on("error", () => {/* cut at the end */});
  await until(() => text !== "");
  setup.doors.stop();
  assert.equal((await exchange({ port })).end, "ECONNREFUSED");
  socket.write("x");
  await until(() => text.endsWith("x"));
});

Deno.test({
  name: "a unix socket is a door for this user alone; one that was left behind is replaced, anything else stays",
  ignore: Deno.build.os === "windows",
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      const path = join(folder, "db.sock");
      const door: PortMap = { ...MAP, listen: { unix: path } };
      {
        await using setup = setUp();
        const [state] = await setup.doors.set([door]);
        assert.deepEqual([state?.id, state?.state, state?.address], [`map/unix:${path}`, "open", `unix:${path}`]);
        assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
        assert.deepEqual(await exchange({ path }, "PING"), { text: "redis:6379\nPING", end: "end" });
        await using another = setUp();
        assert.equal((await another.doors.set([door]))[0]?.code, "E6003", "somebody answers on it");
        assert.equal((await exchange({ path })).text, "redis:6379\n");
      }
      await assert.rejects(Deno.stat(path), Deno.errors.NotFound);
      leaveSocketBehind(path);
      assert.equal((await Deno.lstat(path)).isSocket, true);
      {
        await using setup = setUp();
        assert.equal((await setup.doors.set([door]))[0]?.state, "open");
        assert.equal((await exchange({ path })).text, "redis:6379\n");
      }
      await Deno.writeTextFile(path, "mine");
      await using setup = setUp();
      const states = await setup.doors.set([door, { ...SOCKS, listen: { unix: join(folder, "no", "x.sock") } }]);
      assert.deepEqual(states.map(({ code }) => code), ["E6003", "E6003"]);
      assert.match(states[1]!.message!, /there is no such folder$/);
      assert.equal(await Deno.readTextFile(path), "mine");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

/** A socket file as a program leaves it that was killed: made by another process, which ends at once. */
function leaveSocketBehind(path: string): void {
  const code = `Deno.listen({ transport: "unix", path: ${JSON.stringify(path)} }); Deno.kill(Deno.pid, "SIGKILL");`;
  new Deno.Command(Deno.execPath(), { args: ["eval", code] }).outputSync();
}
