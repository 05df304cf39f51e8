import assert from "node:assert/strict";
import { type CodedError, connect, enrol, type Enrolment, parseInvite, type Tunnel } from "../mod.ts";
import {
  connectTcp,
  eventually,
  httpTarget,
  readResponse,
  request,
  requestText,
  SOAK,
  spawnPktriot,
  spawnProgram,
  spawnSpokes,
  type SpokesProcess,
  type TcpTarget,
  tcpTarget,
  type Wire,
} from "./harness.ts";
import { runProgram } from "./harness/processes.ts";

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
  await using server = await spawnSpokes({ yaml: "limits: { resume: 300ms }\n" });
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
  await eventually(async () => {
    await using http = await connectTcp(server.httpPort);
    await http.send(requestText({ host: client.hostname }));
    return (await http.readUntil("\r\n\r\n")).startsWith("HTTP/1.1 200 ");
  }, "the name to be published again");
  await using tcp = await eventually(() => connectTcp(port).catch(() => undefined), "the port to be open again");
  await tcp.send("go");
  await tcp.readExactly(1000);
});

Deno.test("kill -9 of a server: every change that it had acknowledged is still there (P7)", async () => {
  await using server = await spawnSpokes();
  const owners = await Promise.all(Array.from({ length: 4 }, async () => {
    const { ask } = await enrolled(server);
    await using asked = await ask();
    const ports: number[] = [];
    for (let count = 0; count < 5; count++) ports.push((await asked.request("port.allocate", {})).port);
    return { ask, ports };
  }));
  for (let round = 0; round < (SOAK ? 20 : 2); round++) {
    const changes = await Promise.all(owners.map(async ({ ask, ports }) => change(await ask(), ports)));
    await eventually(() => changes.every(({ count }) => count > 20), "changes to be acknowledged");
    await server.kill("SIGKILL");
    for (const { asked, work } of changes) {
      await work;
      await asked.stop();
    }
    await server.again();
    for (const [index, { acknowledged, pending }] of changes.entries()) {
      const { ask, ports } = owners[index]!;
      await using asked = await ask();
      const { ports: stored } = await asked.request("port.list", {});
      for (const [port, owned] of acknowledged) {
        if (port !== pending) assert.equal(stored.includes(port), owned, `port ${port}`);
      }
      for (const port of ports) await asked.request("port.allocate", { port });
    }
  }
});

interface Changes {
  readonly asked: Tunnel;
  readonly work: Promise<void>;
  /** Whether a port is owned, as the server has last acknowledged. */
  readonly acknowledged: Map<number, boolean>;
  /** The port whose last change was not acknowledged. */
  pending: number;
  count: number;
}

/** Releases and allocates the ports in turn until the connection is lost. */
function change(asked: Tunnel, ports: readonly number[]): Changes {
  const changes = { asked, work: Promise.resolve(), acknowledged: new Map<number, boolean>(), pending: 0, count: 0 };
  changes.work = (async () => {
    try {
      for (;; changes.count++) {
        const port = changes.pending = ports[changes.count % ports.length]!;
        const owned = changes.acknowledged.get(port) ?? true;
        await asked.request(owned ? "port.release" : "port.allocate", { port });
        changes.acknowledged.set(port, !owned);
      }
    } catch (error) {
      assert.equal((error as CodedError).kind, "SESSION_CLOSED");
    }
  })();
  return changes;
}

Deno.test("a second `pktriot start` says where and since when the first runs, and fails; --takeover ends the first", async () => {
  await using server = await spawnSpokes();
  await using first = await spawnPktriot(server);
  const second = await runProgram("pktriot", ["--config", first.config, "start"]);
  assert.equal(second.code, 1);
  assert.match(second.stderr, new RegExp(`already running on ${Deno.hostname()} since \\d{4}-\\d\\d-\\d\\dT`));
  assert.match(second.stderr, /E3006/);
  await using third = spawnProgram("pktriot", ["--config", first.config, "start", "--takeover"]);
  await third.log.waitFor("connected");
  assert.equal(await first.ended, 1);
  assert.match(first.program.stderr, /E3007/);
  const answers = async () => (await request(server.httpPort, { host: first.hostname })).status === 200;
  await eventually(answers, "the third to publish its page");
});

Deno.test("`spokes tunnel rm` ends the running client of the tunnel, which does not come back (P11)", async () => {
  await using server = await spawnSpokes();
  await using client = await spawnPktriot(server);
  const removed = await runProgram("spokes", [
    "--config",
    server.config,
    "tunnel",
    "rm",
    client.identity.tunnel,
  ]);
  assert.equal(removed.code, 0, removed.stderr);
  assert.equal(await client.ended, 1);
  assert.match(client.program.stderr, /E3008/);
});

Deno.test("SIGTERM lets a running request end and a second one cuts it, of server and client alike (P3)", async (t) => {
  for (const which of ["server", "client"] as const) {
    await t.step(which, async () => {
      const asked = Promise.withResolvers<void>();
      const answer = Promise.withResolvers<void>();
      await using target = await httpTarget(async () => {
        asked.resolve();
        await answer.promise;
        return new Response("late");
      });
      await using server = await spawnSpokes();
      await using client = await spawnPktriot(server, { rules: [{ kind: "http", target: target.address }] });
      const program = which === "server" ? server : client;
      await using visitor = await connectTcp(server.httpPort);
      await visitor.send(requestText({ host: client.hostname }));
      await asked.promise;
      program.program.kill("SIGTERM");
      await program.log.waitFor("stopping");
      answer.resolve();
      const response = await readResponse(visitor);
      assert.equal(response.text, "late");
      await visitor.endWrite();
      assert.equal(await program.ended, 0);
    });
    await t.step(`${which}, twice`, async () => {
      await using target = await tcpTarget();
      await using server = await spawnSpokes();
      await using client = await spawnPktriot(server, { rules: [{ kind: "http", target: target.address }] });
      const program = which === "server" ? server : client;
      await using visitor = await connectTcp(server.httpPort);
      await visitor.send(requestText({ host: client.hostname }));
      await target.accept();
      program.program.kill("SIGTERM");
      await program.log.waitFor("stopping");
      program.program.kill("SIGTERM");
      assert.equal(await program.ended, 1);
      // Its answer had not begun: the visitor is told why there will be none.
      assert.equal((await readResponse(visitor)).status, which === "server" ? 503 : 502);
    });
  }
});
