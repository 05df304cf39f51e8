import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { userInfo } from "node:os";
import {
  connectTcp,
  echoTarget,
  freePort,
  httpTarget,
  jsonEcho,
  programTest,
  run,
  type ServerSetup,
  spawn,
  spawnSpokes,
  startServer,
  startTunnel,
  tcpTarget,
  tempDir,
  type TestServer,
  type TestTunnel,
} from "./harness.ts";
import { tunnelOf } from "./harness/mesh.ts";
import { startSshd } from "./harness/sshd.ts";
import { certificateFolder, connectTls } from "./harness/tls.ts";

const ANYWHERE = { hostname: "127.0.0.1", port: 0 } as const;
const PROXIES = { socks: { listen: ANYWHERE, tlsListen: ANYWHERE }, connect: true, connectTlsListen: ANYWHERE };
/** Everybody may go to the ports that tests allocate. */
const ANONYMOUS = { from: ["anonymous"], to: ["port:10000-32767"], action: "allow" } as const;
/** What curl ends with when a proxy refuses: SOCKS5, and CONNECT. */
const CURL = { socksRefused: 97, connectRefused: 56 } as const;

type Mesh = Exclude<ServerSetup["mesh"], false | undefined>;

/** A server with every door that there is. */
function startProxies(mesh: Mesh = {}, setup: ServerSetup = {}): Promise<TestServer> {
  return startServer({ mesh: { ...PROXIES, ...mesh }, ...setup });
}

function portsOf(
  { server, httpPort }: TestServer,
): { socks: number; socksTls: number; http: number; connectTls: number } {
  const { socks, socksTls, connectTls } = server.addresses;
  return { socks: socks!.port, socksTls: socksTls!.port, http: httpPort, connectTls: connectTls!.port };
}

/** `user:password` of a tunnel. */
function credentialOf({ identity }: TestTunnel): string {
  return `${identity.tunnel}:${identity.token}`;
}

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

programTest("curl with a tunnel's id and token: names, allocated ports and addresses, through every door", [
  "curl",
  "socat",
], async () => {
  await using folder = await tempDir();
  await using web = await httpTarget(jsonEcho);
  await using server = await startProxies();
  await using there = await startTunnel(server);
  const port = await there.tcp(web.address);
  await there.http(web.address, { private: true, service: "wiki" });
  const { socks, socksTls, http, connectTls } = portsOf(server);
  const ca = await folder.write("ca.pem", there.identity.ca!);
  // A program that speaks SOCKS in clear alone, behind something that adds TLS; most of these send no name.
  const wrapped = await freePort();
  await using wrapper = spawn("socat", [
    ...["-d", "-d", `TCP-LISTEN:${wrapped},bind=127.0.0.1,fork`],
    `OPENSSL:127.0.0.1:${socksTls},cafile=${ca},commonname=${server.domain},no-sni`,
  ]);
  await wrapper.printed(/listening on/);
  const login = ["--proxy-user", credentialOf(there)];
  const doors = [
    ["--socks5-hostname", `127.0.0.1:${socks}`],
    ["--socks5-hostname", `127.0.0.1:${wrapped}`],
    ["-p", "--proxy", `http://127.0.0.1:${http}`],
    ["-p", "--proxy", `https://${server.domain}:${connectTls}`, "--proxy-cacert", ca],
  ];
  for (const door of doors) {
    const through = [...door, ...login];
    const byName = JSON.parse(await fetched(...through, `http://${there.hostname}/a?b=c`, "-d", "body"));
    assert.deepEqual([byName.path, byName.body, byName.headers.host], ["/a?b=c", "body", there.hostname]);
    assert.equal(JSON.parse(await fetched(...through, "http://wiki:8080/")).method, "GET");
    for (const host of ["anything.test", "192.0.2.1", "[2001:db8::1]", "[::ffff:192.0.2.1]"]) {
      assert.equal(JSON.parse(await fetched(...through, `http://${host}:${port}/x`)).path, "/x", `${door} ${host}`);
    }
  }
  // Here curl resolves names itself, and asks for addresses.
  const bySelf = ["--resolve", `local.test:${port}:192.0.2.9`, "--resolve", `six.test:${port}:[2001:db8::9]`];
  for (const host of ["local.test", "six.test", "[2001:db8::1]"]) {
    const through = ["--socks5", `127.0.0.1:${socks}`, ...login, ...bySelf];
    assert.equal(JSON.parse(await fetched(...through, `http://${host}:${port}/x`)).path, "/x", host);
  }
  // Only the last part of the token, and the id as it stands in there.
  const [, , id, ...secret] = there.identity.token.split("_");
  const short = ["--socks5-hostname", `127.0.0.1:${socks}`, "--proxy-user", `${id}:${secret.join("_")}`];
  assert.equal(JSON.parse(await fetched(...short, `http://x.test:${port}/x`)).path, "/x");
  assert.equal(await server.metric(`spokes_mesh_proxy_requests_total{proxy="connect"}`), 12);
});

programTest("curl is told why: who it must be, what it may not reach, and what is not there", ["curl"], async () => {
  const closed = await freePort();
  await using server = await startProxies({ allow: ["127.0.0.1", "0.0.0.0/0"] });
  await using theirs = await tunnelOf(server, { owner: "bob" });
  const secret = await theirs.tcp("127.0.0.1:1");
  await using ours = await tunnelOf(server, { owner: "alice" });
  const away = await ours.tcp(`127.0.0.1:${closed}`);
  const { socks, http } = portsOf(server);
  const alice = ["--proxy-user", credentialOf(ours)];
  const cases: [destination: string, login: string[], reply: string, status: number, code: string][] = [
    [`x.test:${secret}`, alice, "2", 403, "E4020"],
    [`x.test:${away}`, alice, "5", 502, "E2001"],
    [`127.0.0.1:${closed}`, alice, "5", 502, "E2001"],
    ["nosuch.test:99", alice, "4", 502, "E4019"],
    [`127.0.0.1:${server.adminPort}`, alice, "2", 403, "E4021"],
    [`127.0.0.1:${socks}`, alice, "2", 403, "E4021"],
    ["169.254.169.254:80", alice, "2", 403, "E4021"],
    [`x.test:${away}`, [], "acceptable", 407, "E1407"],
    [`x.test:${away}`, ["--proxy-user", `${ours.identity.tunnel}:wrong`], "rejected", 407, "E1407"],
  ];
  for (const [destination, login, reply, status, code] of cases) {
    const bySocks = await curl("--socks5-hostname", `127.0.0.1:${socks}`, ...login, `http://${destination}/`);
    assert.equal(bySocks.code, CURL.socksRefused, bySocks.stderr);
    assert.match(bySocks.stderr, /^\d$/.test(reply) ? new RegExp(`\\(${reply}\\)`) : new RegExp(reply), destination);
    const byConnect = await curl("-p", "--proxy", `http://127.0.0.1:${http}`, ...login, `http://${destination}/`);
    assert.equal(byConnect.code, CURL.connectRefused, byConnect.stderr);
    assert.match(byConnect.stderr, new RegExp(`response ${status}`), destination);
    if (login.length > 0 && status !== 407) {
      for (const proxy of ["socks", "connect"]) {
        const facts = { from: ours.identity.tunnel, to: destination, code };
        if (code === "E4020") await server.log.waitFor("mesh destination denied", facts);
        else if (code === "E4021") await server.log.waitFor("mesh destination forbidden", facts);
        else assert.equal((await server.log.waitFor("mesh stream refused", { proxy, ...facts })).level, "info");
      }
    }
  }
});

programTest("nc and ssh without credentials: what the policy grants to anonymous by name, and nothing else", [
  ...["nc", "ssh", "sshd", "ssh-keygen"],
], async () => {
  await using sshd = await startSshd();
  await using echo = await echoTarget();
  await using server = await startProxies({
    policy: [{ from: ["anonymous"], to: ["service:shell", "host:*.tunnels.localhost"], action: "allow" }],
  });
  await using there = await startTunnel(server);
  const { port } = await there.tunnel.request("port.allocate", {});
  await there.publish([{ kind: "tcp", port, target: sshd.address, service: "shell", private: true }]);
  const { socks, http } = portsOf(server);
  const login = `${userInfo().username}@${there.hostname}`;
  for (const [how, proxy] of [["connect", http], ["5", socks]] as const) {
    const command = `ProxyCommand=nc -X ${how} -x 127.0.0.1:${proxy} %h %p`;
    const ssh = await run("ssh", [...sshd.options, "-o", command, login, "cat; exit 7"], { stdin: "hello" });
    assert.deepEqual([ssh.stdout, ssh.code], ["hello", 7], ssh.stderr);
  }
  // Whatever is not named is refused, and told in nc's own way.
  await there.publish([{ kind: "tcp", port, target: echo.address, private: true }]);
  await using other = await startTunnel(server);
  const hidden = await other.tcp(echo.address);
  for (const [how, proxy] of [["connect", http], ["5", socks]] as const) {
    for (const host of ["x.test", "2001:db8::1"]) {
      const nc = (at: string, to: number) =>
        run("nc", ["-X", how, "-x", `127.0.0.1:${proxy}`, "-N", at, `${to}`], { stdin: "ping" });
      assert.equal((await nc(there.hostname, port)).stdout, "ping");
      const { code, stdout, stderr } = await nc(host, 99);
      assert.deepEqual([code, stdout], [1, ""]);
      assert.match(stderr, how === "5" ? /connection failed, SOCKSv5 error/ : /Proxy error: "HTTP\/1\.1 502/);
      // The rule's tunnel has a name that is granted; its port alone would not be.
      assert.equal((await nc(host, hidden)).stdout, "ping");
    }
  }
});

programTest("nc is asked who it is where nobody is let in without it", ["nc"], async () => {
  await using server = await startProxies();
  const { socks, http } = portsOf(server);
  for (
    const [how, proxy, message] of [["connect", http, /407/], [
      "5",
      socks,
      /authentication method negotiation/,
    ]] as const
  ) {
    const { code, stderr } = await run("nc", ["-X", how, "-x", `127.0.0.1:${proxy}`, "x.test", "1"]);
    assert.equal(code, 1);
    assert.match(stderr, message);
  }
});

programTest("proxychains4 leads a program that knows no proxy, by SOCKS5 and by CONNECT", [
  "proxychains4",
  "nc",
  "curl",
], async () => {
  await using folder = await tempDir();
  await using web = await httpTarget(() => new Response("there"));
  await using server = await startProxies();
  await using there = await startTunnel(server);
  const port = await there.tcp(web.address);
  const { socks, http } = portsOf(server);
  const login = credentialOf(there).replace(":", " ");
  for (
    const [name, line] of [["socks5", `socks5 127.0.0.1 ${socks} ${login}`], [
      "http",
      `http 127.0.0.1 ${http} ${login}`,
    ]]
  ) {
    const config = await folder.write(`${name}.conf`, `strict_chain\nproxy_dns\n[ProxyList]\n${line}\n`);
    for (const host of ["web.test", "192.0.2.1"]) {
      const { code, stdout, stderr } = await run("proxychains4", [
        ...["-q", "-f", config, "curl", "-sS", "--max-time", "20", `http://${host}:${port}/`],
      ]);
      assert.deepEqual([code, stdout], [0, "there"], `${name} ${host}: ${stderr}`);
    }
  }
  const wrong = await folder.write("wrong.conf", `strict_chain\n[ProxyList]\nsocks5 127.0.0.1 ${socks} nobody wrong\n`);
  const { code } = await run("proxychains4", ["-q", "-f", wrong, "nc", "-w", "5", "192.0.2.1", `${port}`]);
  assert.notEqual(code, 0);
});

Deno.test("a target that answers CONNECT itself keeps it: on the HTTP port unless the mesh takes it, over TLS always", async () => {
  await using target = await tcpTarget(async (wire) => {
    const head = await wire.readUntil("\r\n\r\n");
    await wire.send(`HTTP/1.1 200 Mine\r\n\r\n${head.split("\r\n", 1)}`);
  });
  await using certificates = await certificateFolder();
  await certificates.put("wildcard.pem", "*.tunnels.localhost");
  await using server = await startServer({ mesh: {}, certificatesDir: certificates.path });
  await using there = await startTunnel(server);
  await there.http(target.address);
  async function connect(dial = () => connectTcp(server.httpPort)): Promise<string> {
    await using visitor = await dial();
    await visitor.send(`CONNECT ${there.hostname}:1 HTTP/1.1\r\nHost: ${there.hostname}:1\r\n\r\n`);
    return (await visitor.readToEnd()).text;
  }
  const mine = `CONNECT ${there.hostname}:1 HTTP/1.1`;
  assert.match(await connect(), new RegExp(`^HTTP/1\\.1 200 Mine\\r\\n[^]*${mine}$`));
  // An edit counts at once.
  server.server.updateMesh({ connect: true });
  assert.match(await connect(), /^HTTP\/1\.1 407 Proxy Authentication Required\r\n[^]*\r\nE1407 [^\n]*\n$/);
  const overTls = () => connectTls(server.tlsPort, { servername: there.hostname });
  assert.match(await connect(overTls), new RegExp(`^HTTP/1\\.1 200 Mine\\r\\n[^]*${mine}$`));
  server.server.updateMesh(false);
  assert.match(await connect(), new RegExp(`^HTTP/1\\.1 200 Mine\\r\\n[^]*${mine}$`));
});

Deno.test("bytes behind a CONNECT reach nobody before it is granted, and no request is read behind it (R44)", async () => {
  await using echo = await echoTarget();
  await using web = await httpTarget(() => new Response("the page"));
  await using server = await startProxies({ policy: [ANONYMOUS] });
  await using there = await startTunnel(server);
  const port = await there.tcp(echo.address);
  await there.http(web.address);
  const page = `GET / HTTP/1.1\r\nHost: ${there.hostname}\r\n\r\n`;
  const connect = (at: string) => `CONNECT ${at} HTTP/1.1\r\nHost: ${at}\r\n\r\n`;
  // On a connection that has served a page before.
  await using granted = await connectTcp(server.httpPort);
  await granted.send(page);
  await granted.readUntil("the page");
  await granted.send(`${connect(`x.test:${port}`)}${page}`);
  await granted.readUntil("HTTP/1.1 200 Connection established\r\n\r\n");
  assert.equal(await granted.readUntil("\r\n\r\n"), page);
  await granted.endWrite();
  assert.deepEqual(await granted.readToEnd(), { bytes: Buffer.alloc(0), text: "", end: "end" });
  const before = echo.connections.length;
  for (
    const [at, status] of [["x.test:99", 502], [there.hostname + ":80", 403], ["127.1:80", 400], [
      "x.test:0",
      400,
    ]] as const
  ) {
    await using refused = await connectTcp(server.httpPort);
    await refused.send(`${connect(at)}${page}`);
    const { text, end } = await refused.readToEnd();
    assert.match(text, new RegExp(`^HTTP/1\\.1 ${status} [^]*Connection: close\\r\\n[^]*E\\d{4}`), at);
    assert.deepEqual([text.includes("the page"), end], [false, "end"]);
  }
  assert.equal(echo.connections.length, before);
});

Deno.test("wrong credentials have one price for all doors of the server (R47)", async () => {
  await using server = await startProxies();
  await using there = await startTunnel(server);
  const { socks, http } = portsOf(server);
  async function login(user: string, password: string): Promise<string> {
    await using program = await connectTcp(socks);
    const parts = [Uint8Array.of(5, 1, 2, 1, user.length), user, Uint8Array.of(password.length), password];
    await program.send(Buffer.concat(parts.map((part) => Buffer.from(part as string))));
    return Buffer.from(await program.readExactly(4)).toString("hex");
  }
  const { tunnel, token } = there.identity;
  assert.equal(await login(tunnel, token), "05020100");
  for (
    const [user, password] of [[tunnel, "wrong"], ["00000000-0000-4000-8000-000000000000", token], ["nobody", "x"]]
  ) {
    assert.equal(await login(user!, password!), "05020101");
  }
  assert.equal(await login(tunnel, `spk_enrol_${token.slice(11)}`), "05020101");
  // From now on it waits, wherever it comes in.
  assert.equal(await login(tunnel, token), "05020101");
  await using program = await connectTcp(http);
  const credential = Buffer.from(credentialOf(there)).toString("base64");
  await program.send(`CONNECT x.test:1 HTTP/1.1\r\nHost: x.test:1\r\nProxy-Authorization: Basic ${credential}\r\n\r\n`);
  assert.match((await program.readToEnd()).text, /^HTTP\/1\.1 429 [^]*wait \d+ s\n$/);
  assert.equal(await server.metric("spokes_credential_failures_total"), 4);
  const logged = JSON.stringify(server.log.entries);
  assert.ok(!logged.includes(token.slice(-20)), "a token is in the log");
});

/** A SOCKS5 connection of a tunnel to an allocated port. */
async function socksTo(
  server: TestServer,
  { identity }: TestTunnel,
  port: number,
): Promise<Awaited<ReturnType<typeof connectTcp>>> {
  const program = await connectTcp(portsOf(server).socks);
  const login = [
    Uint8Array.of(5, 1, 2, 1, identity.tunnel.length),
    identity.tunnel,
    Uint8Array.of(identity.token.length),
    identity.token,
  ];
  const request = [Uint8Array.of(5, 1, 0, 1, 192, 0, 2, 1, port >> 8, port & 255)];
  await program.send(Buffer.concat([...login, ...request].map((part) => Buffer.from(part as string))));
  const answer = Buffer.from(await program.readExactly(14)).toString("hex");
  assert.equal(answer, "0502010005000001000000000000");
  return program;
}

Deno.test("an edit of the policy ends what it no longer allows; a stop lets the rest end", async () => {
  await using echo = await echoTarget();
  await using server = await startProxies();
  await using there = await tunnelOf(server, { owner: "alice" });
  const port = await there.tcp(echo.address);
  await using denied = await tunnelOf(server, { owner: "alice", tags: ["guest"] });
  await using program = await socksTo(server, denied, port);
  await using other = await socksTo(server, there, port);
  server.server.updateMesh({ ...PROXIES, policy: [{ from: ["tag:guest"], to: [`port:${port}`], action: "deny" }] });
  assert.equal((await program.readToEnd()).end, "reset");
  const stopped = server.server.stop({ graceMs: 20_000 });
  await assert.rejects(connectTcp(portsOf(server).socks));
  await other.send("still");
  assert.equal(Buffer.from(await other.readExactly(5)).toString(), "still");
  await other.endWrite();
  assert.deepEqual((await other.readToEnd()).end, "end");
  await stopped;
});

Deno.test("without ports the mesh is for clients alone, and a port that is taken ends the start with its reason", async () => {
  await using taken = await tcpTarget();
  await using server = await startServer({ mesh: { socks: {} } });
  assert.deepEqual(Object.keys(server.server.addresses), ["http", "tls", "admin"]);
  await assert.rejects(startServer({ mesh: { socks: { listen: { hostname: "127.0.0.1", port: taken.port } } } }), {
    kind: "LISTEN_FAILED",
    message: /another program uses it/,
  });
});

Deno.test("spokes start says where its proxies listen; connect counts at once, a port after a restart", async () => {
  await using spokes = await spawnSpokes({ yaml: `mesh: { socks: { listen: "127.0.0.1:0" } }\n` });
  const { fields } = await spokes.log.waitFor("ready");
  const port = Number(/^127\.0\.0\.1:(\d+)$/.exec(`${fields.socks}`)?.[1]);
  assert.deepEqual([fields.socksTls, fields.connectTls], [undefined, undefined]);
  await using program = await connectTcp(port);
  await program.send(Uint8Array.of(5, 1, 0));
  assert.deepEqual((await program.readToEnd()).text, "\x05\xff");
  const text = await Deno.readTextFile(spokes.config);
  await Deno.writeTextFile(spokes.config, text.replace(/^mesh:.*$/m, "mesh: { connect: on }"));
  const { fields: { hint } } = await spokes.log.waitFor("the configuration was edited");
  assert.match(`${hint}`, /without the ports of its proxies: restart/);
  await spokes.log.waitFor("mesh updated");
  await using asking = await connectTcp(spokes.httpPort);
  await asking.send("CONNECT x.test:1 HTTP/1.0\r\n\r\n");
  assert.match((await asking.readToEnd()).text, /^HTTP\/1\.1 407 /);
  await using still = await connectTcp(port);
  await still.send(Uint8Array.of(5, 1, 0));
  assert.deepEqual((await still.readToEnd()).text, "\x05\xff");
});
