import assert from "node:assert/strict";
import { connect, enrol, type Enrolment, parseInvite, type Tunnel } from "../mod.ts";
import {
  connectTcp,
  eventually,
  request,
  requestText,
  SOAK,
  spawnPktriot,
  spawnSpokes,
  type SpokesProcess,
  type TcpTarget,
  tcpTarget,
  type Wire,
} from "./harness.ts";

/** An identity, and what a command of its own needs to ask the server for something. */
async function enrolled(server: SpokesProcess): Promise<{ identity: Enrolment; ask: () => Promise<Tunnel> }> {
  const invite = parseInvite(await server.invite());
  const identity = await enrol(invite, invite.token);
  const { ca, token } = identity;
  return {
    identity,
    ask: () => connect({ server: invite.server, token, role: "use", ...(ca === undefined ? {} : { ca }) }),
  };
}

/** Sends without end, after whatever comes first. */
function endlessTarget(head: string): Promise<TcpTarget> {
  const piece = new Uint8Array(32 * 1024).fill(120);
  const chunk = head === "" ? piece : new TextEncoder().encode(`${piece.length.toString(16)}\r\n`);
  return tcpTarget(async (wire) => {
    try {
      await wire.next();
      await wire.send(head);
      for (;;) {
        await wire.send(chunk);
        if (head !== "") {
          await wire.send(piece);
          await wire.send("\r\n");
        }
      }
    } catch {
      // The tunnel has gone: that is what the test is about.
    }
  });
}

const CHUNKED = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/** Reads on until the connection ends in whatever way; gives the last bytes and how it ended. */
async function tail(wire: Wire): Promise<{ last: string; end: "end" | "reset" }> {
  let last = "";
  try {
    for (let bytes = await wire.next(); bytes !== null; bytes = await wire.next()) {
      last = (last + new TextDecoder("latin1").decode(bytes.subarray(-16))).slice(-16);
    }
    return { last, end: "end" };
  } catch {
    return { last, end: "reset" };
  }
}

Deno.test("kill -9 of a client under load: every visitor sees an abort, and the tunnel comes back under its name", async () => {
  await using web = await endlessTarget(CHUNKED);
  await using raw = await endlessTarget("");
  await using server = await spawnSpokes();
  const { identity, ask } = await enrolled(server);
  const { port } = await ask().then(async (asked) => {
    const allocated = await asked.request("port.allocate", {});
    await asked.stop();
    return allocated;
  });
  await using client = await spawnPktriot(server, {
    identity,
    rules: [{ kind: "http", target: web.address }, { kind: "tcp", port, target: raw.address }],
  });
  await using stack = new AsyncDisposableStack();
  const visitors: { wire: Wire; kind: "http" | "tcp" }[] = [];
  for (let count = 0; count < (SOAK ? 100 : 8); count++) {
    const http = stack.use(await connectTcp(server.httpPort));
    await http.send(requestText({ host: client.hostname }));
    const tcp = stack.use(await connectTcp(port));
    await tcp.send("go");
    visitors.push({ wire: http, kind: "http" }, { wire: tcp, kind: "tcp" });
  }
  for (const { wire } of visitors) await wire.readExactly(100_000);
  const ends = Promise.all(visitors.map(({ wire }) => tail(wire)));
  await client.kill("SIGKILL");
  for (const { end } of await ends) assert.equal(end, "reset");
  const offline = await request(server.httpPort, { host: client.hostname });
  assert.equal(offline.status, 503);
  await client.again();
  await using visitor = await connectTcp(server.httpPort);
  await visitor.send(requestText({ host: client.hostname }));
  assert.match(await visitor.readUntil("\r\n\r\n"), /^HTTP\/1\.1 200 /);
});

Deno.test("kill -9 of a server under load: no download looks complete; client, name and port come back with it", async () => {
  await using web = await endlessTarget(CHUNKED);
  await using server = await spawnSpokes();
  const { identity, ask } = await enrolled(server);
  const { port } = await ask().then(async (asked) => {
    const allocated = await asked.request("port.allocate", {});
    await asked.stop();
    return allocated;
  });
  await using client = await spawnPktriot(server, {
    identity,
    rules: [{ kind: "http", target: web.address }, { kind: "tcp", port, target: web.address }],
  });
  await using stack = new AsyncDisposableStack();
  const visitors: Wire[] = [];
  for (let count = 0; count < (SOAK ? 100 : 8); count++) {
    const wire = stack.use(await connectTcp(server.httpPort));
    await wire.send(requestText({ host: client.hostname }));
    await wire.readExactly(100_000);
    visitors.push(wire);
  }
  const ends = Promise.all(visitors.map(tail));
  const from = client.log.entries.length;
  await server.kill("SIGKILL");
  for (const { last } of await ends) assert.ok(!last.endsWith("\r\n0\r\n\r\n"), "no last chunk");
  await server.again();
  await client.log.waitFor("connected", { hostname: client.hostname }, { from });
  await using http = await connectTcp(server.httpPort);
  await eventually(async () => {
    await http.send(requestText({ host: client.hostname }));
    return /^HTTP\/1\.1 200 /.test(await http.readUntil("\r\n\r\n"));
  }, "the name to be published again");
  await using tcp = await eventually(() => connectTcp(port).catch(() => undefined), "the port to be open again");
  await tcp.send("go");
  await tcp.readExactly(1000);
});

Deno.test("kill -9 of a server: every port and name it had acknowledged is still there (P7)", async () => {
  await using server = await spawnSpokes();
  const owners = await Promise.all(Array.from({ length: 4 }, () => enrolled(server)));
  for (let round = 0; round < (SOAK ? 20 : 2); round++) {
    const acknowledged = await Promise.all(owners.map(async ({ ask }) => {
      const asked = await ask();
      const ports: number[] = [];
      const released: number[] = [];
      const work = (async () => {
        for (;;) {
          const { port } = await asked.request("port.allocate", {});
          ports.push(port);
          if (ports.length < 4) continue;
          const oldest = ports[0]!;
          released.push(oldest); // Whether that is acknowledged or not, it may be gone.
          await asked.request("port.release", { port: oldest });
          ports.shift();
        }
      })().catch(() => undefined);
      return { asked, ports, released, work };
    }));
    await eventually(() => acknowledged.every(({ released }) => released.length > 3), "changes to be acknowledged");
    await server.kill("SIGKILL");
    for (const { asked, work } of acknowledged) {
      await work;
      await asked.stop();
    }
    await server.again();
    for (const [index, { ports, released }] of acknowledged.entries()) {
      await using asked = await owners[index]!.ask();
      const { ports: stored } = await asked.request("port.list", {});
      const lost = ports.filter((port) => !stored.includes(port) && port !== released.at(-1));
      assert.deepEqual(lost, []);
      for (const port of stored) await asked.request("port.release", { port });
    }
  }
});
