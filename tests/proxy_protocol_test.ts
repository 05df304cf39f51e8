import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { encodeProxyHeader, parseProxyHeader } from "../protocol/proxy_protocol.ts";
import { INTERNAL_SNI } from "../protocol/limits.ts";
import {
  connectTcp,
  eventually,
  httpTarget,
  jsonEcho,
  programTest,
  readResponse,
  request,
  requestText,
  run,
  type ServerSetup,
  startServer,
  startTunnel,
  tcpTarget,
  type TestServer,
  type TestTunnel,
} from "./harness.ts";
import { type CertificateFolder, certificateFolder, helloFor } from "./harness/tls.ts";

/** The load balancer: the one address that is believed, and must say for whom it connects. */
const BALANCER = "127.0.0.2";
const VISITOR = { address: "192.0.2.7", port: 4711 };
const EDGE = { address: "198.51.100.1", port: 443 };
const V1 = `PROXY TCP4 ${VISITOR.address} ${EDGE.address} ${VISITOR.port} ${EDGE.port}\r\n`;
const V1_IPV6 = "PROXY TCP6 2001:DB8:0::7 2001:db8::1 4711 443\r\n";
const V2 = Buffer.from(encodeProxyHeader({ source: VISITOR, destination: EDGE })).toString("latin1");
const LOCAL = Buffer.from(encodeProxyHeader()).toString("latin1");
const HOUR_MS = 3_600_000;
/** A fatal `decode_error` and `unrecognized_name`. */
const ALERT = { decodeError: [21, 3, 3, 0, 2, 2, 50], unrecognizedName: [21, 3, 3, 0, 2, 2, 112] };

/** A server behind a balancer, with a web service and a TCP echo. */
interface Behind extends AsyncDisposable {
  readonly server: TestServer;
  readonly tunnel: TestTunnel;
  readonly host: string;
  readonly certificates: CertificateFolder;
  readonly ca: string;
  /** Asks over plain HTTP behind a header, and gives who the target thinks has asked. */
  forwardedFor(header: string, from?: string): Promise<string>;
}

async function publish(options: ServerSetup = {}): Promise<Behind> {
  await using stack = new AsyncDisposableStack();
  const web = stack.use(await httpTarget(jsonEcho));
  const certificates = stack.use(await certificateFolder());
  const { authorityFile: ca } = await certificates.put("wildcard.pem", "*.tunnels.localhost");
  const server = stack.use(
    await startServer({
      ...{ certificatesDir: certificates.path, proxyProtocol: { from: [`${BALANCER}/32`] } },
      ...options,
    }),
  );
  const tunnel = stack.use(await startTunnel(server, [{ kind: "http", target: web.address }]));
  const host = tunnel.hostname;
  const all = stack.move();
  return {
    ...{ server, tunnel, host, certificates, ca },
    async forwardedFor(header, from = BALANCER) {
      await using wire = await connectTcp(server.httpPort, { from });
      await wire.send(header + requestText({ host }));
      return JSON.parse((await readResponse(wire)).text).headers["x-forwarded-for"];
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

Deno.test("HTTP: who a balancer names is the visitor, in both versions; who it names for itself is the balancer", async () => {
  await using behind = await publish();
  assert.equal(await behind.forwardedFor(V1), VISITOR.address);
  assert.equal(await behind.forwardedFor(V2), VISITOR.address);
  assert.equal(await behind.forwardedFor(V1_IPV6), "2001:db8::7");
  for (const local of [LOCAL, "PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"]) {
    assert.equal(await behind.forwardedFor(local), BALANCER);
  }
  const mapped = "PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 1 2\r\n";
  assert.equal(await behind.forwardedFor(mapped), VISITOR.address);
});

Deno.test("a header may be split at any byte", async () => {
  await using behind = await publish();
  const { server, host } = behind;
  for (const header of [V1, V2]) {
    const bytes = Buffer.from(header + requestText({ host }), "latin1");
    const asked = Array.from({ length: header.length }, async (_, at) => {
      await using wire = await connectTcp(server.httpPort, { from: BALANCER });
      await wire.send(bytes.subarray(0, at + 1));
      await new Promise((resolve) => setTimeout(resolve, 1));
      await wire.send(bytes.subarray(at + 1));
      return JSON.parse((await readResponse(wire)).text).headers["x-forwarded-for"];
    });
    assert.deepEqual([...new Set(await Promise.all(asked))], [VISITOR.address]);
  }
});

Deno.test("a balancer that says nothing of the kind is cut on every port, and nothing reaches a target", async () => {
  await using target = await tcpTarget();
  await using behind = await publish();
  const { server, tunnel, host } = behind;
  const port = await tunnel.tcp(target.address);
  const hello = Buffer.from(await helloFor(host)).toString("latin1");
  const long = `PROXY TCP4 ${"1".repeat(200)}\r\n`;
  const unix = V2.slice(0, 13) + "\x31\x02\x09" + "x".repeat(521);
  const wrong: [port: number, first: string][] = [
    ...[requestText({ host }), long, `PROXY TCP4 999.1.1.1 ${EDGE.address} 1 2\r\n`, V2.slice(0, 12) + "\x31"].map((
      text,
    ): [number, string] => [server.httpPort, text]),
    ...[hello, unix, "\n"].map((text): [number, string] => [server.tlsPort, text]),
    ...["hello", "PROXY TCP5 1\r\n", V2.replace("\x21", "\x22")].map((text): [number, string] => [port, text]),
  ];
  for (const [port, first] of wrong) {
    await using wire = await connectTcp(port, { from: BALANCER });
    await wire.send(first).catch(() => {/* cut already */});
    assert.deepEqual(await wire.readToEnd().then(({ text, end }) => [text, end]), ["", "reset"], JSON.stringify(first));
  }
  assert.deepEqual(target.connections, []);
  await eventually(
    async () => await server.metric('spokes_refusals_total{code="E1441"}') === wrong.length,
    "all to be counted",
  );
  for (const event of ["visitor cut", "TLS refused"]) {
    assert.match(String(server.log.all(event, { code: "E1441" })[0]?.fields["reason"]), /PROXY protocol header/, event);
  }
  assert.equal(await behind.forwardedFor(V1), VISITOR.address, "others are served");
});

Deno.test("a header from anybody else is garbage, and nobody is believed for it", async () => {
  await using echo = await tcpTarget();
  await using behind = await publish();
  const { server, tunnel, host } = behind;
  const port = await tunnel.tcp(echo.address);
  for (const from of ["127.0.0.1", "127.0.0.3"]) {
    for (const header of [V1, V2]) {
      await using web = await connectTcp(server.httpPort, { from });
      await web.send(header + requestText({ host }));
      assert.equal((await readResponse(web)).status, 400);
      await web.endWrite();
      await using secure = await connectTcp(server.tlsPort, { from });
      await secure.send(header);
      assert.deepEqual([...(await secure.readToEnd()).bytes], ALERT.decodeError);
      // A TCP target may see whatever its visitor says.
      await using raw = await connectTcp(port, { from });
      await raw.send(header);
      const inside = await echo.accept();
      assert.equal(Buffer.from(await inside.readExactly(header.length)).toString("latin1"), header);
    }
    assert.equal(await behind.forwardedFor("", from), from);
  }
});

Deno.test("firewall and PROXY protocol out go by the named address, on HTTP, TLS and TCP ports", async () => {
  await using target = await tcpTarget();
  await using behind = await publish();
  const { server, tunnel } = behind;
  const { port } = await tunnel.tunnel.request("port.allocate", {});
  const host = `tls.${tunnel.hostname}`;
  const common = {
    ...{ target: target.address, proxyProtocol: "v2" as const },
    firewall: [{ action: "allow" as const, network: "192.0.2.0/24" }],
  };
  await tunnel.publish([
    { kind: "http", domain: tunnel.hostname, ...common },
    { kind: "http", domain: host, ...common, tls: { end: "target", target: target.address } },
    { kind: "tcp", port, ...common },
  ]);
  const other = `PROXY TCP4 203.0.113.9 ${EDGE.address} 1 2\r\n`;
  const hello = Buffer.from(await helloFor(host)).toString("latin1");
  const first = [requestText({ host: tunnel.hostname }), hello, "hello"];
  for (const [index, edge] of [server.httpPort, server.tlsPort, port].entries()) {
    await using refused = await connectTcp(edge, { from: BALANCER });
    await refused.send(other + first[index]);
    const answer = index === 0 ? (await readResponse(refused)).status : [...(await refused.readToEnd()).bytes];
    assert.deepEqual(answer, [403, ALERT.unrecognizedName, []][index]);
    await using direct = await connectTcp(edge, { from: "127.0.0.3" });
    await direct.send(first[index]!);
    if (index === 0) assert.equal((await readResponse(direct)).status, 403);
    else assert.deepEqual([...(await direct.readToEnd()).bytes], [[], ALERT.unrecognizedName, []][index]);
  }
  assert.deepEqual(target.connections, []);
  for (const [index, edge] of [server.httpPort, server.tlsPort, port].entries()) {
    for (const header of [V1, V2]) {
      await using visitor = await connectTcp(edge, { from: BALANCER });
      await visitor.send(header + first[index]);
      const inside = await target.accept();
      const seen = parseProxyHeader(await inside.readExactly(28));
      assert.deepEqual(seen, { kind: "header", source: VISITOR, length: 28 });
    }
  }
});

Deno.test("limits count the named address; one of them full does not shut out the others behind the same balancer", async () => {
  await using behind = await publish({
    limits: { visitorsPerAddress: 2, firstByteMs: HOUR_MS, tlsHandshakeMs: HOUR_MS },
  });
  const { server } = behind;
  const named = (address: string): string => `PROXY TCP4 ${address} ${EDGE.address} 1 2\r\n`;
  const open = await Promise.all([1, 2].map(() => connectTcp(server.httpPort, { from: BALANCER })));
  for (const wire of open) await wire.send(named("192.0.2.1"));
  await eventually(async () => {
    await using wire = await connectTcp(server.httpPort, { from: BALANCER });
    await wire.send(named("192.0.2.1") + requestText({ host: behind.host }));
    return (await wire.readToEnd()).end === "reset";
  }, "the address to be full");
  for (const address of ["192.0.2.2", "198.51.100.3"]) assert.equal(await behind.forwardedFor(named(address)), address);
  for (const wire of open) await wire[Symbol.asyncDispose]();
  await eventually(() => behind.forwardedFor(named("192.0.2.1")).catch(() => false), "room to be made");
});

Deno.test("a tunnel may come through the balancer, and is known by the address that it names", async () => {
  await using behind = await publish();
  const { server, tunnel } = behind;
  await using relay = await tcpTarget(async (wire) => {
    await using edge = await connectTcp(server.tlsPort, { from: BALANCER });
    await edge.send(V2);
    const back = (async () => {
      for (let bytes = await edge.next(); bytes !== null; bytes = await edge.next()) await wire.send(bytes);
    })().catch(() => wire.reset());
    for (let bytes = await wire.next(); bytes !== null; bytes = await wire.next()) await edge.send(bytes);
    await edge.endWrite();
    await back;
  });
  await tunnel.tunnel.stop();
  await using through = await startTunnel(server, [{ kind: "http", target: () => new Response("through") }], {
    ...{ identity: tunnel.identity, server: relay.address, sni: INTERNAL_SNI },
  });
  assert.equal((await request(server.httpPort, { host: through.hostname })).text, "through");
  const [joined] = server.log.all("tunnel connected").slice(-1);
  assert.equal(joined?.fields["from"], VISITOR.address);
});

programTest("curl --haproxy-protocol is believed from the balancer alone, over HTTP and HTTPS", ["curl"], async () => {
  await using behind = await publish();
  const { server, host, ca } = behind;
  const urls = [`http://${host}:${server.httpPort}/`, `https://${host}:${server.tlsPort}/`];
  for (const url of urls) {
    const at = `${new URL(url).host}:127.0.0.1`;
    const curl = (...args: string[]) =>
      run("curl", ["-sS", "--max-time", "20", "--cacert", ca, "--resolve", at, ...args, url]);
    const believed = await curl("--interface", BALANCER, "--haproxy-protocol");
    assert.equal(believed.code, 0, believed.stderr);
    const { headers } = JSON.parse(believed.stdout);
    assert.deepEqual([headers["x-forwarded-for"], headers["x-forwarded-proto"]], [BALANCER, url.split(":")[0]]);
    // 35: no handshake; 52, 56: nothing came back.
    assert.ok([35, 52, 56].includes((await curl("--interface", BALANCER)).code), url);
    const spoofed = await curl("--interface", "127.0.0.3", "--haproxy-protocol", "-w", "%{http_code}");
    assert.ok(spoofed.code === 35 || spoofed.stdout.endsWith("400"), `${url}: ${spoofed.code} ${spoofed.stdout}`);
    const plain = await curl("--interface", "127.0.0.3");
    assert.equal(JSON.parse(plain.stdout).headers["x-forwarded-for"], "127.0.0.3");
  }
});
