import assert from "node:assert/strict";
import { hashPassword } from "../mod.ts";
import { testCertificate } from "../net/testing/certificate.ts";
import {
  connectTcp,
  freePort,
  httpTarget,
  jsonEcho,
  programTest,
  run,
  startServer,
  startTunnel,
  tempDir,
  type TestServer,
  type TestTunnel,
} from "./harness.ts";
import { openDoors, portMap, portOf, proxy, tunnelOf } from "./harness/mesh.ts";
import { certificateFolder } from "./harness/tls.ts";

/** What curl ends with when a proxy refuses: SOCKS5, and CONNECT. */
const CURL = { socksRefused: 97, connectRefused: 56 } as const;

/** Runs curl; gives its exit code, what it printed, and what it complained about. */
async function curl(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return await run("curl", ["-sS", "--max-time", "20", "--noproxy", "", ...args]);
}

/** The same for what must work. */
async function fetched(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await curl(...args);
  assert.equal(code, 0, `curl ${args.join(" ")}: ${stderr}`);
  return stdout;
}

/** Both local proxies of a client, as arguments of curl. */
async function proxiesOf(tunnel: TestTunnel): Promise<{ socks: number; http: number; all: string[][] }> {
  const [socks = 0, http = 0] = await openDoors(tunnel, proxy("socks"), proxy("http"));
  return {
    ...{ socks, http },
    all: [["--socks5-hostname", `127.0.0.1:${socks}`], ["--proxytunnel", "--proxy", `http://127.0.0.1:${http}`]],
  };
}

programTest(
  "curl through the local proxies: sites of another tunnel by their names, whoever ends TLS",
  ["curl"],
  async () => {
    await using folder = await tempDir();
    await using certificates = await certificateFolder();
    const { authorityFile } = await certificates.put("wildcard.pem", "*.tunnels.localhost");
    await using web = await httpTarget(jsonEcho);
    await using server = await startServer({ certificatesDir: certificates.path });
    await using there = await startTunnel(server);
    const files = `files.${server.domain}`;
    const own = await testCertificate(files);
    const [certificateFile, keyFile, ca] = [
      await folder.write("cert.pem", own.certificate),
      await folder.write("key.pem", own.key),
      await folder.write("ca.pem", own.authority),
    ];
    await there.publish([
      { kind: "http", target: web.address },
      {
        kind: "http",
        domain: files,
        target: web.address,
        tls: { end: "client", certificate: { certificateFile, keyFile } },
      },
      { kind: "http", domain: `hidden.${server.domain}`, target: web.address, private: true, service: "wiki" },
    ]);
    await using here = await startTunnel(server);
    const { all } = await proxiesOf(here);
    for (const through of all) {
      const plain = JSON.parse(await fetched(...through, `http://${there.hostname}/a?b=c`, "-d", "body"));
      assert.deepEqual([plain.path, plain.body, plain.headers.host], ["/a?b=c", "body", there.hostname]);
      assert.equal(plain.headers["x-forwarded-proto"], "http");
      const atServer = JSON.parse(await fetched(...through, "--cacert", authorityFile, `https://${there.hostname}/`));
      assert.equal(atServer.headers["x-forwarded-proto"], "https");
      const atClient = JSON.parse(await fetched(...through, "--cacert", ca, `https://${files}/x`));
      assert.deepEqual([atClient.path, atClient.headers["x-forwarded-proto"]], ["/x", "https"]);
      // What has no public name has one here, and its service name.
      for (const site of [`https://hidden.${server.domain}/`, "http://wiki:8080/"]) {
        assert.equal(JSON.parse(await fetched(...through, "--cacert", authorityFile, site)).method, "GET", site);
      }
      // There is no default host: a name that nobody publishes gets an alert.
      const unknown = await curl(
        ...through,
        "-k",
        "--connect-to",
        `nobody.test:443:${there.hostname}:443`,
        "https://nobody.test/",
      );
      assert.equal(unknown.code, 35, unknown.stderr);
    }
  },
);

programTest("curl through the local proxies: allocated ports whatever the host is, also as an IPv4 or IPv6 address", [
  "curl",
], async () => {
  await using web = await httpTarget(() => new Response("there"));
  await using server = await startServer();
  await using there = await startTunnel(server);
  const port = await there.tcp(web.address);
  await using here = await startTunnel(server);
  const { socks, http, all } = await proxiesOf(here);
  for (const host of [there.hostname, "anything.test", "192.0.2.1", "[2001:db8::1]", "[::ffff:192.0.2.1]"]) {
    for (const through of all) assert.equal(await fetched(...through, `http://${host}:${port}/`), "there", host);
  }
  // Here curl resolves names itself, and asks for addresses.
  const bySelf = ["--resolve", `local.test:${port}:192.0.2.9`, "--resolve", `six.test:${port}:[2001:db8::9]`];
  for (const host of ["local.test", "six.test", "192.0.2.1", "[2001:db8::1]"]) {
    const at = `http://${host}:${port}/`;
    assert.equal(await fetched("--socks5", `127.0.0.1:${socks}`, ...bySelf, at), "there", host);
  }
  // And proxies that listen at an IPv6 address.
  const listen = { hostname: "::1", port: 0 };
  const states = await here.tunnel.setDoors([{ kind: "socks", listen }, { kind: "http", listen }]);
  const [socks6, http6] = states.map(portOf);
  assert.equal(await fetched("--socks5-hostname", `[::1]:${socks6}`, `http://there:${port}/`), "there");
  assert.equal(await fetched("-p", "--proxy", `http://[::1]:${http6}`, `http://there:${port}/`), "there");
  assert.notEqual((await curl("-p", "--proxy", `http://127.0.0.1:${http}`, `http://there:${port}/`)).code, 0);
});

/** A server with somebody else's service `secret`, one of ours whose target is away, and an allow-list. */
async function refusing(): Promise<{ server: TestServer; here: TestTunnel } & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startServer({ mesh: { allow: ["0.0.0.0/0"] } }));
  const theirs = stack.use(await tunnelOf(server, { owner: "bob" }));
  const ours = stack.use(await tunnelOf(server, { owner: "alice" }));
  await theirs.tunnel.setRules([{ kind: "http", target: "127.0.0.1:1", service: "secret" }]);
  const { port } = await ours.tunnel.request("port.allocate", {});
  const target = `127.0.0.1:${await freePort()}`;
  await ours.publish([{ kind: "tcp", port, target, service: "away" }]);
  const here = stack.use(await tunnelOf(server, { owner: "alice" }));
  const all = stack.move();
  return { server, here, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** Where curl goes, the reply of SOCKS, the status of CONNECT, and the code in its body. */
const REFUSALS: readonly (readonly [to: string, socks: number, status: number, code: string])[] = [
  ["secret:80", 2, 403, "E4020"],
  ["127.0.0.1:9400", 2, 403, "E4021"],
  ["nosuch:80", 4, 502, "E4019"],
  ["away:80", 5, 502, "E2001"],
];

programTest("curl sees why a proxy refuses: the reply of SOCKS, the status of CONNECT and a line with the code", [
  "curl",
], async () => {
  await using setup = await refusing();
  const { socks, http } = await proxiesOf(setup.here);
  for (const [to, reply, status, code] of REFUSALS) {
    const bySocks = await curl("--socks5-hostname", `127.0.0.1:${socks}`, `http://${to}/`);
    assert.deepEqual([bySocks.code, bySocks.stderr.includes(`(${reply})`)], [CURL.socksRefused, true], bySocks.stderr);
    const byConnect = await curl("-p", "--proxy", `http://127.0.0.1:${http}`, `http://${to}/`);
    assert.deepEqual(
      [byConnect.code, byConnect.stderr.includes(`${status}`)],
      [CURL.connectRefused, true],
      byConnect.stderr,
    );
    await using wire = await connectTcp(http);
    await wire.send(`CONNECT ${to} HTTP/1.1\r\nHost: ${to}\r\n\r\n`);
    const { text, end } = await wire.readToEnd();
    assert.match(text, new RegExp(`^HTTP/1\\.1 ${status} [^]*\r\n\r\n${code} [ -~]+\n$`));
    assert.equal(end, "end");
  }
  // A map has no words: whoever looks at `start` has.
  const [map = 0] = await openDoors(setup.here, portMap("secret:80"));
  await using program = await connectTcp(map);
  assert.equal((await program.readToEnd()).end, "reset");
  const notice = setup.here.events.find((event) => event.kind === "notice" && event.message.startsWith("port map"));
  assert.match(
    notice?.kind === "notice" ? notice.message : "",
    /^port map 127\.0\.0\.1:0 to secret:80: The access policy does not let you reach secret/,
  );
});

programTest("curl with --proxy-user: right, wrong and none, at both proxies", ["curl"], async () => {
  await using web = await httpTarget(() => new Response("in"));
  await using server = await startServer();
  await using there = await startTunnel(server);
  const port = await there.tcp(web.address);
  await using here = await startTunnel(server);
  const auth = { user: "anna", passwordHash: await hashPassword("päss:word") };
  const listen = { hostname: "127.0.0.1", port: 0 };
  const states = await here.tunnel.setDoors([{ kind: "socks", listen, auth }, { kind: "http", listen, auth }]);
  const [socks, http] = states.map(portOf);
  const to = `http://there:${port}/`;
  const bySocks = ["--socks5-hostname", `127.0.0.1:${socks}`, to];
  const byConnect = ["-p", "--proxy", `http://127.0.0.1:${http}`, to];
  const user = (text: string) => ["--proxy-user", text];
  for (const through of [bySocks, byConnect]) assert.equal(await fetched(...user("anna:päss:word"), ...through), "in");
  for (const wrong of ["anna:password", "bob:päss:word", "anna:"]) {
    const rejected = await curl(...user(wrong), ...bySocks);
    assert.deepEqual([rejected.code, /rejected/.test(rejected.stderr)], [CURL.socksRefused, true], rejected.stderr);
    assert.match((await curl(...user(wrong), ...byConnect)).stderr, /407/, wrong);
  }
  assert.deepEqual([(await curl(...bySocks)).code, (await curl(...byConnect)).code], [
    CURL.socksRefused,
    CURL.connectRefused,
  ]);
});
