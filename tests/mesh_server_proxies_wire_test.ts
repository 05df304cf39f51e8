import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  connectTcp,
  echoTarget,
  eventually,
  freePort,
  programTest,
  spawn,
  type Spawned,
  startServer,
  startTunnel,
  type TcpTarget,
  type TestServer,
  type TestTunnel,
  type Wire,
} from "./harness.ts";

const ANYWHERE = { hostname: "127.0.0.1", port: 0 } as const;
const GREETING = "050100";
const SUCCEEDED = "05000001000000000000";

/** What a server with a tunnel and a target offers to those who write bytes by hand. */
interface Setup extends AsyncDisposable {
  readonly server: TestServer;
  readonly tunnel: TestTunnel;
  readonly socks: number;
  readonly echo: TcpTarget;
}

/** A server whose proxies let `anonymous` go to loopback and to what tests allocate. */
async function setUp(headMs?: number): Promise<Setup & { port: number }> {
  await using stack = new AsyncDisposableStack();
  const echo = stack.use(await echoTarget());
  const server = stack.use(
    await startServer({
      mesh: {
        allow: ["127.0.0.1", "::1", "localhost", "localhost6.test"],
        policy: [{
          from: ["anonymous"],
          to: ["cidr:127.0.0.1/32", "cidr:::1/128", "port:10000-32767"],
          action: "allow",
        }],
        socks: { listen: ANYWHERE },
        connect: true,
      },
      ...(headMs === undefined ? {} : { limits: { headMs, firstByteMs: headMs } }),
    }),
  );
  const tunnel = stack.use(await startTunnel(server));
  const port = await tunnel.tcp(echo.address);
  const all = stack.move();
  return {
    ...{ server, tunnel, echo, port, socks: server.server.addresses.socks!.port },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

function hexOf(bytes: string | Uint8Array): string {
  return Buffer.from(bytes as string, "latin1").toString("hex");
}

function hexPort(port: number): string {
  return port.toString(16).padStart(4, "0");
}

/** `user` or `password` of RFC 1929. */
function field(text: string): string {
  return Buffer.from([text.length]).toString("hex") + hexOf(text);
}

function nameRequest(host: string, port: number): string {
  return `05010003${field(host)}${hexPort(port)}`;
}

async function send(wire: Wire, hex: string): Promise<void> {
  await wire.send(Buffer.from(hex, "hex"));
}

/** Every conversation that opens a connection: which port, what is sent, and what comes back. */
function conversations({ server, socks, port, tunnel }: Setup & { port: number }): [
  name: string,
  door: number,
  sent: string,
  answer: string,
][] {
  const { tunnel: id, token } = tunnel.identity;
  const credential = Buffer.from(`${id}:${token}`).toString("base64");
  const at = `x.test:${port}`;
  const established = hexOf("HTTP/1.1 200 Connection established\r\n\r\n");
  return [
    ["SOCKS5 to a name", socks, GREETING + nameRequest("x.test", port), `0500${SUCCEEDED}`],
    ["SOCKS5 to IPv4", socks, `${GREETING}05010001c0000201${hexPort(port)}`, `0500${SUCCEEDED}`],
    ["SOCKS5 to IPv6", socks, `${GREETING}0501000420010db8${"00".repeat(11)}01${hexPort(port)}`, `0500${SUCCEEDED}`],
    [
      "SOCKS5 with user and password",
      socks,
      `05020002${"01"}${field(id)}${field(token)}${nameRequest("x.test", port)}`,
      `05020100${SUCCEEDED}`,
    ],
    ["CONNECT as nc sends it", server.httpPort, hexOf(`CONNECT ${at} HTTP/1.0\r\n\r\n`), established],
    [
      "CONNECT with user and password",
      server.httpPort,
      hexOf(`CONNECT ${at} HTTP/1.1\r\nHost: ${at}\r\nProxy-Authorization: Basic ${credential}\r\n\r\n`),
      established,
    ],
  ];
}

Deno.test("every message may be cut after each byte: the rest may come later (R56)", async () => {
  await using setup = await setUp();
  for (const [name, door, sent, answer] of conversations(setup)) {
    const length = sent.length / 2;
    await Promise.all(Array.from({ length: length - 1 }, async (_, index) => {
      await using wire = await connectTcp(door);
      const cut = 2 * (index + 1);
      await send(wire, sent.slice(0, cut));
      await new Promise((resolve) => setTimeout(resolve));
      await send(wire, `${sent.slice(cut)}${hexOf("ping")}`);
      const came = await wire.readExactly(answer.length / 2 + 4);
      assert.equal(hexOf(came), answer + hexOf("ping"), `${name} cut after ${index + 1}`);
    }));
  }
});

Deno.test("whoever ends inside a message is not waited for, wherever that is (R56)", async () => {
  await using setup = await setUp();
  for (const [name, door, sent] of conversations(setup)) {
    const before = setup.echo.connections.length;
    await Promise.all(Array.from({ length: sent.length / 2 }, async (_, index) => {
      await using wire = await connectTcp(door);
      await send(wire, sent.slice(0, 2 * index));
      await wire.endWrite();
      const { text, end } = await wire.readToEnd();
      assert.doesNotMatch(text, / 200 /, `${name} ends after ${index}`);
      // HTTP has words for it.
      if (door === setup.socks) assert.equal(end, "reset", `${name} ends after ${index}`);
      else assert.match(text, /^$|^HTTP\/1\.1 400 /, `${name} ends after ${index}`);
    }));
    assert.equal(setup.echo.connections.length, before);
  }
});

Deno.test("whoever stops inside a message is cut when the time for a head is over, and so is garbage", async () => {
  await using setup = await setUp(200);
  const stalled = conversations(setup).flatMap(([, door, sent]) =>
    Array.from({ length: sent.length / 2 }, (_, index) => [door, sent.slice(0, 2 * index)] as const)
  );
  const garbage = ["16030100", "ff", hexOf("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "04010050c000020100"];
  await Promise.all([...stalled, ...garbage.map((hex) => [setup.socks, hex] as const)].map(async ([door, hex]) => {
    await using wire = await connectTcp(door);
    await send(wire, hex).catch(() => {/* It was cut meanwhile. */});
    const { text, end } = await wire.readToEnd();
    if (door === setup.socks) assert.equal(end, "reset", hex);
    else assert.match(text, /^$|^HTTP\/1\.1 408 /, hex);
  }));
  assert.equal(await setup.server.metric("spokes_mesh_proxy_visitors"), 0);
});

/** Sends messages, each when the one before has been answered; gives every answer and how it ended. */
async function talk(port: number, messages: readonly string[]): Promise<string[]> {
  await using wire = await connectTcp(port);
  const heard: string[] = [];
  for (const message of messages) {
    await send(wire, message);
    const bytes = await wire.read().catch(() => "reset" as const);
    if (bytes === null || bytes === "reset") return [...heard, bytes ?? "end"];
    heard.push(hexOf(bytes));
  }
  await wire.endWrite();
  const { bytes, end } = await wire.readToEnd();
  return [...heard, hexOf(bytes), end];
}

/** The yardstick, on a free port. */
async function startMicrosocks(...args: string[]): Promise<Spawned & { port: number }> {
  const port = await freePort();
  const microsocks = spawn("microsocks", ["-i", "127.0.0.1", "-p", `${port}`, ...args]);
  await eventually(async () => {
    try {
      await (await connectTcp(port))[Symbol.asyncDispose]();
      return true;
    } catch {
      return false; // It does not listen yet.
    }
  }, "microsocks to listen");
  return Object.assign(microsocks, { port });
}

programTest("SOCKS5 speaks byte for byte as microsocks does", ["microsocks"], async () => {
  await using setup = await setUp();
  await using six = await echoTarget({ host: "::1" });
  await using microsocks = await startMicrosocks();
  const closed = await freePort();
  const ping = hexOf("ping");
  const to4 = (port: number) => `050100017f000001${hexPort(port)}`;
  const same: [name: string, messages: string[], answers: string[]][] = [
    ["success, IPv4", [GREETING, to4(setup.echo.port), ping], ["0500", SUCCEEDED, ping, "", "end"]],
    [
      "success, IPv6",
      [GREETING, `05010004${"00".repeat(15)}01${hexPort(six.port)}`, ping],
      ["0500", SUCCEEDED, ping, "", "end"],
    ],
    ["success, name", [GREETING, nameRequest("localhost", setup.echo.port), ping], [
      "0500",
      SUCCEEDED,
      ping,
      "",
      "end",
    ]],
    ["success, address as name", [GREETING, nameRequest("127.0.0.1", setup.echo.port), ping], [
      ...["0500", SUCCEEDED, ping, "", "end"],
    ]],
    ["several methods", ["05030001fe", to4(setup.echo.port), ping], ["0500", SUCCEEDED, ping, "", "end"]],
    ["refused", [GREETING, to4(closed)], ["0500", "05050001000000000000", "", "end"]],
    ["BIND", [GREETING, `05020001${"7f000001"}0050`], ["0500", "05070001000000000000", "", "end"]],
    ["UDP ASSOCIATE", [GREETING, "05030001000000000000"], ["0500", "05070001000000000000", "", "end"]],
    ["unknown command", [GREETING, "05090001000000000050"], ["0500", "05070001000000000000", "", "end"]],
    ["unknown type of address", [GREETING, "05010009000000000050"], ["0500", "05080001000000000000", "", "end"]],
    ["no acceptable method", ["050101"], ["05ff", "", "end"]],
  ];
  for (const [name, messages, answers] of same) {
    assert.deepEqual(await talk(microsocks.port, messages), answers, `microsocks: ${name}`);
    assert.deepEqual(await talk(setup.socks, messages), answers, name);
  }
});

programTest("where SOCKS5 differs from microsocks it is on purpose", ["microsocks"], async () => {
  await using setup = await setUp();
  await using microsocks = await startMicrosocks();
  const { tunnel: id, token } = setup.tunnel.identity;
  await using strict = await startMicrosocks("-u", id, "-P", token);
  const login = `01${field(id)}${field(token)}`;
  const different: [name: string, messages: string[], theirs: string[], ours: string[], port?: number][] = [
    // A name that is not there has no code in RFC 1928; "host unreachable" is nearer than "failure", and what curl and browsers explain.
    ["an unknown name", [GREETING, nameRequest("nosuch.invalid", 99)], ["0500", "05010001000000000000", "", "end"], [
      ...["0500", "05040001000000000000", "", "end"],
    ]],
    // Port 0 is no destination, so that nobody is asked.
    ["port 0", [GREETING, "050100017f0000010000"], ["0500", "05050001000000000000", "", "end"], [
      ...["0500", "05040001000000000000", "", "end"],
    ]],
    // What is not SOCKS5 gets no answer in a language that it does not speak.
    ["SOCKS4", ["04010050c000020100"], ["05ff", "", "end"], ["reset"]],
    ["HTTP", [hexOf("GET / HTTP/1.1\r\n\r\n")], ["05ff", "", "end"], ["reset"]],
    ["no method at all", ["0500"], ["05ff", "", "end"], ["reset"]],
    // Who offers a password is asked for it, even where one may come without.
    ["a password that need not be", ["05020002", login], ["0500", "05010001000000000000", "", "end"], [
      "0502",
      "0100",
      "",
      "reset",
    ]],
    // An end inside a conversation is a cut one; and of wrong credentials RFC 1929 says no more than that it is not 0.
    ["right credentials", ["050102", login], ["0502", "0100", "", "end"], ["0502", "0100", "", "reset"], strict.port],
    [
      "wrong credentials",
      ["050102", "0101610162"],
      ["0502", "0102", "", "end"],
      ["0502", "0101", "", "end"],
      strict.port,
    ],
  ];
  for (const [name, messages, theirs, ours, port = microsocks.port] of different) {
    assert.deepEqual(await talk(setup.socks, messages), ours, name);
    assert.deepEqual(await talk(port, messages), theirs, `microsocks: ${name}`);
  }
});
