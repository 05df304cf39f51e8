import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import tls from "node:tls";
import { readCertificatePair } from "../../../net/certificate.ts";
import type { Duplex } from "../../../net/duplex.ts";
import type { LogFields, Logger } from "../../../net/log.ts";
import { connectSocket, sharedCertificate, TEST_NAME } from "../../../net/testing/socket_pairs.ts";
import { SocketDuplex } from "../../../net/socket_duplex.ts";
import { CodedError, type ErrorName } from "../../../protocol/errors.ts";
import { encodeProxyHeader } from "../../../protocol/proxy_protocol.ts";
import { ConnectionCounter } from "../../connection_counter.ts";
import { identifier } from "../../edge/identify.ts";
import { Metrics } from "../../metrics.ts";
import type { Tunnel } from "../../state/tunnels.ts";
import type { Mesh } from "../mesh.ts";
import { fakeTunnel, tcpRule } from "../testing/fake_rules.ts";
import { connect, echo, encode, opener, setUpMesh } from "../testing/mesh_setup.ts";
import { MeshProxies } from "./mesh_proxies.ts";

const ID = "0a1b2c3d-0000-4000-8000-00112233aabb";
const SECRET = "s".repeat(43);
const LAPTOP = { ...fakeTunnel("laptop"), id: ID } as Tunnel;
const DATABASE = fakeTunnel("database");
const ANYWHERE = { hostname: "127.0.0.1", port: 0 };
const LOGIN = Buffer.concat([Uint8Array.of(5, 1, 2, 1, ID.length), Buffer.from(ID), Uint8Array.of(43), encode(SECRET)]);
const GREETING = Uint8Array.of(5, 1, 0);
const REQUEST = socksRequest("redis", 6_379);
const SUCCEEDED = "05000001000000000000";

function socksRequest(host: string, port: number): Uint8Array {
  return Buffer.concat([Uint8Array.of(5, 1, 0, 3, host.length), encode(host), Uint8Array.of(port >> 8, port & 255)]);
}

interface Setup extends AsyncDisposable {
  readonly proxies: MeshProxies;
  readonly metrics: Metrics;
  readonly events: readonly [level: string, event: string, fields: LogFields | undefined][];
  readonly port: number;
}

async function listenFor(
  mesh: Pick<Mesh, "open" | "admitsAnonymous" | "takesConnect">,
  { perAddress = 100, balancers = [], isRemoved = () => false, headMs = 10_000 }: {
    perAddress?: number;
    balancers?: readonly string[];
    isRemoved?: () => boolean;
    headMs?: number;
  } = {},
): Promise<Setup> {
  const pair = readCertificatePair(await sharedCertificate());
  const metrics = new Metrics();
  const events: [string, string, LogFields | undefined][] = [];
  const note = (level: string) => (event: string, fields?: LogFields): void => void events.push([level, event, fields]);
  const log: Logger = { debug: note("debug"), info: note("info"), warn: note("warn"), error: note("error") };
  const proxies = new MeshProxies({
    ...{ mesh, metrics, log, hostname: TEST_NAME },
    authenticator: {
      tunnel: (token) =>
        token.endsWith(SECRET) ? Promise.resolve(LAPTOP) : Promise.reject(new CodedError("TOKEN_INVALID")),
    },
    tunnels: { exists: () => Promise.resolve(!isRemoved()), get: () => LAPTOP },
    certificates: { lookup: (name) => name === TEST_NAME ? pair : undefined },
    visitors: new ConnectionCounter({ perAddress, total: 100 }),
    identify: identifier(balancers),
    limits: { tlsHandshakeMs: 5_000, headMs, lingerMs: 10_000 },
  });
  await proxies.listen({ socks: { listen: ANYWHERE, tlsListen: ANYWHERE }, connectTlsListen: ANYWHERE });
  return {
    ...{ proxies, metrics, events, port: proxies.addresses.socks!.port },
    async [Symbol.asyncDispose]() {
      await proxies[Symbol.asyncDispose]();
      await proxies.visits.cut();
    },
  };
}

/** A mesh that says why to everybody. */
function refusing(kind: ErrorName): Pick<Mesh, "open" | "admitsAnonymous" | "takesConnect"> {
  return {
    ...{ admitsAnonymous: true, takesConnect: true },
    open: () => Promise.reject(new CodedError(kind)),
  };
}

/** What comes, in hexadecimal, up to so many bytes. */
async function take(duplex: Duplex, count: number): Promise<string> {
  let hex = "";
  while (hex.length < 2 * count) {
    const bytes = await duplex.read();
    assert.ok(bytes !== null, `the end came after ${hex}`);
    hex += Buffer.from(bytes).toString("hex");
  }
  return hex;
}

async function takeAll(duplex: Duplex): Promise<string> {
  let hex = "";
  try {
    for (let bytes = await duplex.read(); bytes !== null; bytes = await duplex.read()) {
      hex += Buffer.from(bytes).toString("hex");
    }
    return hex;
  } catch {
    return "reset";
  }
}

/** A TLS connection; no name is asked for when it is empty. */
async function connectTls(port: number, servername: string): Promise<SocketDuplex> {
  const raw = await connectSocket(port);
  const { authority } = await sharedCertificate();
  const socket = tls.connect({
    ...{ socket: raw, servername, ca: authority },
    checkServerIdentity: (_, certificate) => tls.checkServerIdentity(TEST_NAME, certificate),
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  for (const each of [raw, socket]) each.on("error", reject);
  socket.once("secureConnect", resolve);
  try {
    await promise;
    return SocketDuplex.secure(socket, raw);
  } catch (error) {
    socket.destroy();
    raw.destroy();
    throw error;
  }
}

Deno.test("a program with a tunnel's id and token reaches what the tunnel may, and is told apart at the other end", async () => {
  await using setup = setUpMesh();
  const session = opener(echo);
  setup.online(tcpRule(DATABASE, 22_001, { service: "redis" }, session));
  await using socks = await listenFor(setup.mesh);
  const program = await connect(socks.port);
  await program.write(Buffer.concat([LOGIN, REQUEST, encode("ping")]));
  assert.equal(await take(program, 18), `05020100${SUCCEEDED}${Buffer.from("ping").toString("hex")}`);
  await program.closeWrite();
  assert.equal(await program.read(), null);
  assert.deepEqual(session.opens[0]?.source, { tunnel: ID, owner: "alice" });
  await socks.proxies.visits.idle();
  assert.deepEqual([socks.metrics.proxied, socks.metrics.bytes], [{ socks: 1, connect: 0 }, { up: 4, down: 4 }]);
});

Deno.test("without credentials one may come where the policy names anonymous, and goes where it says", async () => {
  const policy = [{ from: ["anonymous"], to: ["service:redis"], action: "allow" }] as const;
  await using setup = setUpMesh({ mesh: { policy } });
  setup.online(tcpRule(DATABASE, 22_001, { service: "redis" }, opener(echo)));
  setup.online(tcpRule(DATABASE, 22_002, { service: "mysql" }, opener(echo)));
  await using socks = await listenFor(setup.mesh);
  const allowed = await connect(socks.port);
  await allowed.write(Buffer.concat([GREETING, REQUEST]));
  assert.equal(await take(allowed, 12), `0500${SUCCEEDED}`);
  allowed.reset();
  const denied = await connect(socks.port);
  await denied.write(Buffer.concat([GREETING, socksRequest("mysql", 1)]));
  await denied.closeWrite();
  assert.equal(await takeAll(denied), "050005020001000000000000");
  // And from now on nobody is named.
  setup.mesh.update({ policy: [{ from: ["anonymous"], to: ["*"], action: "deny" }] });
  const refused = await connect(socks.port);
  await refused.write(GREETING);
  await refused.closeWrite();
  assert.equal(await takeAll(refused), "05ff");
  assert.equal(socks.metrics.refusals.get("E1407"), 1);
});

for (
  const [kind, reply, level] of [
    ["TARGET_REFUSED", 5, "info"],
    ["TARGET_TIMEOUT", 6, "info"],
    ["TARGET_DNS", 4, "info"],
    ["TARGET_UNREACHABLE", 4, "info"],
    // The mesh itself has written why.
    ["DESTINATION_DENIED", 2, "debug"],
    ["DESTINATION_FORBIDDEN", 2, "debug"],
    ["DESTINATION_UNKNOWN", 4, "info"],
    ["TUNNEL_OFFLINE", 4, "info"],
    ["MESH_DISABLED", 2, "info"],
    ["SERVER_DRAINING", 3, "info"],
    ["LIMIT_EXCEEDED", 1, "info"],
    ["STREAM_RESET", 1, "debug"],
  ] as const
) {
  Deno.test(`${kind} is told as reply ${reply}, counted and logged with who asked for what`, async () => {
    await using socks = await listenFor(refusing(kind));
    const program = await connect(socks.port);
    await program.write(Buffer.concat([GREETING, REQUEST]));
    await program.closeWrite();
    assert.equal(await takeAll(program), `0500050${reply}0001000000000000`);
    await socks.proxies.visits.idle();
    const { code, message: reason } = new CodedError(kind);
    assert.deepEqual(socks.events, [[level, "mesh stream refused", {
      ...{ proxy: "socks", from: "anonymous", address: "127.0.0.1", to: "redis:6379", code, reason },
    }]]);
    assert.deepEqual([...socks.metrics.refusals], [[code, 1]]);
  });
}

Deno.test("a tunnel that was removed after it had said who it is reaches nothing", async () => {
  await using setup = setUpMesh();
  setup.online(tcpRule(DATABASE, 22_001, { service: "redis" }, opener(echo)));
  let isRemoved = false;
  await using socks = await listenFor(setup.mesh, { isRemoved: () => isRemoved });
  const program = await connect(socks.port);
  await program.write(LOGIN);
  assert.equal(await take(program, 4), "05020100");
  isRemoved = true;
  await program.write(REQUEST);
  await program.closeWrite();
  assert.equal(await takeAll(program), "05020001000000000000");
});

Deno.test("a program that leaves while its stream is opened leaves nothing behind", async () => {
  const asked = Promise.withResolvers<AbortSignal>();
  await using socks = await listenFor({
    ...refusing("INTERNAL"),
    open: (_identity, _destination, { signal }) => {
      asked.resolve(signal);
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    },
  });
  const program = await connect(socks.port);
  await program.write(Buffer.concat([GREETING, REQUEST]));
  await asked.promise;
  program.reset();
  await socks.proxies.visits.idle();
  assert.deepEqual(socks.events.map(([level, event]) => [level, event]), [["debug", "mesh stream refused"]]);
});

Deno.test("connections of one address are counted, and those of a balancer by whom they are for", async () => {
  await using setup = setUpMesh();
  await using direct = await listenFor(setup.mesh, { perAddress: 1 });
  const first = await connect(direct.port);
  await first.write(LOGIN);
  await take(first, 4);
  assert.equal(await takeAll(await connect(direct.port)), "reset");
  assert.equal(direct.metrics.refusals.get("E1429"), 1);
  first.reset();

  const header = (address: string) =>
    encodeProxyHeader({ source: { address, port: 1 }, destination: { address: "198.51.100.1", port: 2 } });
  await using behind = await listenFor(refusing("TARGET_REFUSED"), { perAddress: 1, balancers: ["127.0.0.1"] });
  const held = await connect(behind.port);
  await held.write(Buffer.concat([header("192.0.2.1"), GREETING]));
  await take(held, 2);
  const same = await connect(behind.port);
  await same.write(Buffer.concat([header("192.0.2.1"), GREETING]));
  assert.equal(await takeAll(same), "reset");
  const other = await connect(behind.port);
  await other.write(Buffer.concat([header("192.0.2.2"), GREETING, REQUEST]));
  assert.equal(await take(other, 12), "050005050001000000000000");
  assert.equal(behind.events.at(-1)?.[2]?.address, "192.0.2.2");
  other.reset();
  held.reset();
  // From a balancer the header is demanded.
  const without = await connect(behind.port);
  await without.write(GREETING);
  await without.closeWrite();
  assert.equal(await takeAll(without), "reset");
  await behind.proxies.visits.idle();
  assert.equal(behind.metrics.refusals.get("E1441"), 1);
});

Deno.test("inside TLS: with the server's name or without any, and by no other", async () => {
  await using setup = setUpMesh();
  setup.online(tcpRule(DATABASE, 22_001, { service: "redis" }, opener(echo)));
  await using socks = await listenFor(setup.mesh);
  const { socksTls, connectTls: connectPort } = socks.proxies.addresses;
  for (const servername of ["", TEST_NAME]) {
    const program = await connectTls(socksTls!.port, servername);
    await program.write(Buffer.concat([LOGIN, REQUEST, encode("ping")]));
    assert.equal(await take(program, 18), `05020100${SUCCEEDED}${Buffer.from("ping").toString("hex")}`);
    program.reset();
  }
  await assert.rejects(connectTls(socksTls!.port, "other.test"), /unrecogni[sz]ed/i);
  const program = await connectTls(connectPort!.port, "");
  const credential = btoa(`${ID}:${SECRET}`);
  await program.write(
    encode(`CONNECT redis:6379 HTTP/1.1\r\nHost: redis:6379\r\nProxy-Authorization: Basic ${credential}\r\n\r\nping`),
  );
  const answer = "HTTP/1.1 200 Connection established\r\n\r\nping";
  assert.equal(await take(program, answer.length), Buffer.from(answer).toString("hex"));
  program.reset();
  await socks.proxies.visits.idle();
  assert.deepEqual(socks.metrics.proxied, { socks: 2, connect: 1 });
});

Deno.test("who stops inside a message is cut at the deadline, on the TLS port too", async () => {
  await using setup = setUpMesh();
  await using socks = await listenFor(setup.mesh, { headMs: 20 });
  const stalled = [await connect(socks.port), await connectTls(socks.proxies.addresses.socksTls!.port, "")];
  for (const program of stalled) await program.write(LOGIN.subarray(0, 10));
  for (const program of stalled) {
    assert.equal(await take(program, 2), "0502");
    assert.equal(await takeAll(program), "reset");
  }
  await socks.proxies.visits.idle();
  assert.equal(socks.metrics.refusals.get("E1408"), 2);
});

Deno.test("a stop takes no more programs and lets those go on that are here, until they are cut", async () => {
  await using setup = setUpMesh();
  setup.online(tcpRule(DATABASE, 22_001, { service: "redis" }, opener(echo)));
  await using socks = await listenFor(setup.mesh);
  const program = await connect(socks.port);
  await program.write(Buffer.concat([LOGIN, REQUEST]));
  await take(program, 14);
  socks.proxies.stop();
  for (const { port } of Object.values(socks.proxies.addresses)) await assert.rejects(connect(port));
  await program.write(encode("ping"));
  assert.equal(await take(program, 4), Buffer.from("ping").toString("hex"));
  await socks.proxies.visits.cut();
  assert.equal(await takeAll(program), "reset");
});

Deno.test("CONNECT of the HTTP port is the mesh's only while that takes it", async () => {
  await using setup = setUpMesh();
  await using socks = await listenFor(setup.mesh);
  const asked = { head: {} as never, address: "192.0.2.1" };
  assert.equal(socks.proxies.takeConnect({} as never, asked), undefined);
  setup.mesh.update({ connect: true });
  assert.equal(typeof socks.proxies.takeConnect({} as never, asked), "function");
  setup.mesh.update(false);
  assert.equal(socks.proxies.takeConnect({} as never, asked), undefined);
});
