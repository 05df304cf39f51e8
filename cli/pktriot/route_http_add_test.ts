import { deepEqual, equal, match, ok } from "node:assert/strict";
import { join } from "node:path";
import { parse } from "yaml";
import { verifyPassword } from "../../net/password.ts";
import { testCertificate } from "../../net/testing/certificate.ts";
import { createCa, signLeaf } from "../../server/sign_certificate.ts";
import { IDENTITY, type PktriotConfig, pktriotConfig } from "../testing/pktriot_config.ts";

const DOMAIN = "blog.example.org";
const ADD = ["route", "http", "add", "--offline", "--domain", DOMAIN];

async function entryAfter(file: PktriotConfig): Promise<Record<string, unknown>> {
  return JSON.parse(await file.text()).http.find(({ domain }: { domain: string }) => domain === DOMAIN);
}

const WRITTEN: [flags: string[], entry: Record<string, unknown>][] = [
  [["--http", "80", "--letsencrypt", "--redirect"], { target: "127.0.0.1:80", redirect: true, tls: "letsencrypt" }],
  [["--http", "80", "--tls-at", "server"], { target: "127.0.0.1:80", tls: "server" }],
  [["--destination", "192.168.1.101", "--http", "80", "--tls", "443"], {
    target: "192.168.1.101:80",
    tls: { target: "192.168.1.101:443" },
  }],
  [["--destination", "::1", "--http", "80", "--tls", "443"], { target: "[::1]:80", tls: { target: "[::1]:443" } }],
  [["--target", "unix:/run/app.sock", "--tls", "443"], {
    target: "unix:/run/app.sock",
    tls: { target: "127.0.0.1:443" },
  }],
  [["--http", "80", "--tls", "10.0.0.7:8443"], { target: "127.0.0.1:80", tls: { target: "10.0.0.7:8443" } }],
  [["--destination", "192.168.1.101", "--tls", "443", "--redirect"], {
    redirect: true,
    tls: { target: "192.168.1.101:443" },
  }],
  [["--redirect-to", "https://www.example.org/"], { redirectTo: "https://www.example.org/" }],
  [["--http", "80", "--host-header", "app.local"], { target: "127.0.0.1:80", hostHeader: "app.local" }],
  [["--http", "80", "--strip-prefix", "/app", "--add-prefix", "/v1/api"], {
    target: "127.0.0.1:80",
    stripPrefix: "/app",
    addPrefix: "/v1/api",
  }],
  [["--http", "80", "--set-header", "X-A: 1: 2", "--set-header", "X-B:2", "--remove-header", "Cookie"], {
    target: "127.0.0.1:80",
    requestHeaders: { set: { "X-A": "1: 2", "X-B": "2" }, remove: ["Cookie"] },
  }],
  [["--http", "80", "--set-response-header", "Cache-Control: no-store", "--remove-response-header", "Server"], {
    target: "127.0.0.1:80",
    responseHeaders: { set: { "Cache-Control": "no-store" }, remove: ["Server"] },
  }],
  [["--http", "80", "--max-body", "10MB", "--proxy-protocol"], {
    target: "127.0.0.1:80",
    maxBody: "10MB",
    proxyProtocol: "v2",
  }],
];

for (const [flags, entry] of WRITTEN) {
  Deno.test(`route http add ${flags.join(" ")} is written, and replaces what was there`, async () => {
    await using file = await pktriotConfig("config.json", IDENTITY);
    deepEqual(await file.run([...ADD, ...flags]), { code: 0, out: ["HTTP/S traffic rule added"], err: [] });
    deepEqual(await entryAfter(file), { domain: DOMAIN, ...entry });
    equal((await file.run([...ADD, "--webroot", file.folder])).out[0], "HTTP/S traffic rule updated");
    deepEqual(await entryAfter(file), { domain: DOMAIN, target: file.folder });
    // And over a rule that is there.
    equal((await file.run([...ADD, ...flags])).code, 0);
    deepEqual(await entryAfter(file), { domain: DOMAIN, ...entry });
  });
}

const REFUSED: [flags: string[], message: RegExp][] = [
  [["--tls", "443", "--letsencrypt"], /^error E5007: --tls and --letsencrypt cannot be used together\. /],
  [["--letsencrypt", "--tls-at", "server"], /^error E5007: --letsencrypt and --tls-at cannot/],
  [["--tls", "443", "--tls-at", "server"], /^error E5007: --tls and --tls-at cannot/],
  [["--letsencrypt", "--ca", "a.pem", "--key", "b.pem"], /^error E5007: --letsencrypt and --ca cannot/],
  [["--letsencrypt", "--key", "b.pem"], /^error E5007: --letsencrypt and --key cannot/],
  [["--ca", "a.pem", "--key", "b.pem", "--tls-at", "server"], /^error E5007: --ca and --tls-at cannot/],
  [["--tls", "443", "--ca", "a.pem", "--key", "b.pem"], /^error E5007: --tls and --ca cannot/],
  [["--ca", "a.pem"], /^error E5007: --ca needs --key\. /],
  [["--key", "a.pem"], /^error E5007: --key needs --ca\. /],
  [["--tls-at", "target"], /^error E5007: .*--tls-at.*server/],
  [["--tls", "70000"], /^error E5009: .*70000/],
  [["--tls", "/tmp"], /^error E5007: "\/tmp" cannot be used with --tls/],
  [["--tls", "https://a:443"], /^error E5007: .*cannot be used with --tls/],
  [["--email", "a@example.org"], /^error E5007: --email is for --letsencrypt\. /],
  [["--letsencrypt", "--email", "anna"], /^error E5007: "anna" is not an e-mail address/],
  [["--tls", "443", "--basic-auth", "anna"], /^error E4017: --basic-auth.* cannot be used with --tls: /],
  [["--tls", "443", "--host-header", "x"], /^error E4017: --host-header cannot be used with --tls: /],
  [["--tls", "443", "--strip-prefix", "/a"], /^error E4017: --strip-prefix cannot/],
  [["--tls", "443", "--add-prefix", "/a"], /^error E4017: --add-prefix cannot/],
  [["--tls", "443", "--set-header", "A: b"], /^error E4017: --set-header/],
  [["--tls", "443", "--remove-response-header", "A"], /^error E4017: .*--remove-response-header cannot/],
  [["--tls", "443", "--max-body", "1MB"], /^error E4017: --max-body cannot/],
  [["--basic-auth", "anna", "--without-basic-auth"], /^error E5007: --basic-auth and --without-basic-auth cannot/],
  [["--basic-auth", "anna:secret"], /^error E5007: --basic-auth takes the user alone/],
  [["--basic-auth", "anna", "--basic-auth", "anna"], /^error E5007: --basic-auth names "anna" twice/],
  [
    ["--basic-auth", "anna"],
    /^error E5007: There is no password for --basic-auth\. .*--password-stdin.*PKTRIOT_PASSWORD/,
  ],
  [["--basic-auth", "anna", "--password-stdin"], /^error E5007: There must be one password .*none may be empty/],
  [["--password-stdin"], /^error E5007: --password-stdin is for --basic-auth\. /],
  [["--set-header", "A: 1", "--set-header", "a: 2"], /^error E5007: --set-header sets a twice\. /],
  [["--set-header", "A: 1", "--remove-header", "a"], /^error E5007: --set-header and --remove-header cannot/],
  [["--set-header", "novalue"], /^error E5007: --set-header: "novalue" is not a header\. /],
  [["--set-header", "Host: a"], /^error E5007: --set-header: Host cannot be changed; the host header has an option/],
  [["--remove-header", "Content-Length"], /^error E5007: --remove-header: Content-Length cannot be changed/],
  [["--set-response-header", "A: b\r\nC: d"], /^error E5007: --set-response-header: the value of A cannot be sent/],
  [["--set-header", "A b: c"], /^error E5007: --set-header: "A b" is not the name of a header/],
  [["--strip-prefix", "app"], /^error E5007: --strip-prefix: "app" is not a path such as \/app/],
  [["--add-prefix", "/a/"], /^error E5007: --add-prefix: "\/a\/" is not a path/],
  [["--max-body", "large"], /^error E5007: --max-body: "large" is not a size such as 10MB/],
  [["--redirect-to", "www.example.org"], /^error E5007: --redirect-to: "www.example.org" is not a URL/],
  [["--redirect-to", "javascript://x"], /^error E5007: --redirect-to: /],
  [["--redirect-to", "https://a.test"], /^error E5007: --http cannot be used with --redirect-to: [^.]*\. [^.]*\.$/],
  [
    ["--redirect-to", "https://a.test", "--destination", "b"],
    /^error E5007: --http and --destination cannot be used with/,
  ],
  [["--host-header", "b@d x"], /^error E5007: --host-header: "b@d x" is not a host such as/],
  [["--host-header", "a\r\nB: c"], /^error E5007: --host-header: "a\\r\\nB: c" is not a host/],
  [["--host-header", "a:70000"], /^error E5007: --host-header: /],
  [["--host-header", ""], /^error E5007: --host-header: /],
];

for (const [flags, message] of REFUSED) {
  Deno.test(`route http add ${JSON.stringify(flags.join(" "))} is refused in one line, nothing written`, async () => {
    await using file = await pktriotConfig("config.json", IDENTITY);
    const before = await file.text();
    const { code, out, err } = await file.run([...ADD, "--http", "80", ...flags]);
    deepEqual([code, out, err.length], [2, [], 1], err.join("\n"));
    match(err[0] ?? "", message);
    equal(await file.text(), before);
  });
}

Deno.test("route http add refuses a redirect that leads back to its rule, and one of what nobody can read", async () => {
  await using file = await pktriotConfig("config.json", IDENTITY);
  for (const own of [`https://${DOMAIN}`, `http://${DOMAIN.toUpperCase()}./x`, `https://${DOMAIN}:9/`]) {
    const { code, err } = await file.run([...ADD, "--redirect-to", own]);
    deepEqual([code, err.length], [2, 1], own);
    match(err[0] ?? "", /^error E5007: --redirect-to leads back to blog\.example\.org itself/);
  }
  equal((await file.run([...ADD, "--redirect-to", `https://${DOMAIN}:8443`])).code, 0);
  equal((await file.run([...ADD, "--redirect-to", `https://www.${DOMAIN}`])).code, 0);
  const unread = await file.run([...ADD, "--tls", "443", "--redirect-to", "https://a.test"]);
  match(unread.err[0] ?? "", /^error E4017: --redirect-to cannot/);
});

Deno.test("route http add warns of a password without a redirect, and so does ls", async () => {
  await using file = await pktriotConfig("config.json", IDENTITY);
  const env = { PKTRIOT_PASSWORD: "x" };
  const warning = `Warning: http/${DOMAIN}: passwords travel in clear over http://; add --redirect`;
  const add = [...ADD, "--http", "80", "--tls-at", "server", "--basic-auth", "anna"];
  const { err } = await file.run(add, { env });
  deepEqual([err.length, err[0]?.startsWith(warning)], [1, true]);
  const lines = (await file.run(["route", "http", "ls", "--offline"])).out;
  equal(lines.filter((line) => line.startsWith(warning)).length, 1);
  deepEqual((await file.run([...add, "--redirect"], { env })).err, []);
  deepEqual((await file.run(["route", "http", "ls", "--offline"])).out.length, 5);
});

Deno.test("route http add takes --ca and --key from regular files of the user alone, and never waits", async () => {
  await using file = await pktriotConfig("config.json", IDENTITY);
  const { certificate, key } = await testCertificate(DOMAIN);
  const [ca, keyFile, fifo] = ["chain.pem", "key.pem", "fifo"].map((name) => join(file.folder, name)) as [
    ...[string, string, string],
  ];
  await Deno.writeTextFile(ca, certificate);
  await Deno.writeTextFile(keyFile, key, { mode: 0o600 });
  await new Deno.Command("mkfifo", { args: [fifo] }).output();
  equal((await file.run([...ADD, "--http", "80"])).code, 0);
  const before = await file.text();
  async function refused(flags: [ca: string, key: string], message: RegExp): Promise<void> {
    const { code, err } = await file.run([...ADD, "--http", "81", "--ca", flags[0], "--key", flags[1]]);
    deepEqual([code, err.length], [1, 1], err.join("\n"));
    match(err[0] ?? "", message);
  }
  for (const odd of [fifo, "/dev/zero", file.folder]) {
    await refused([odd, keyFile], /^error E6002: .*it is not a regular file/);
    await refused([ca, odd], /^error E6002: .*it is not a regular file/);
  }
  await refused([keyFile, ca], /^error E6002: .*--ca and --key seem to be swapped/);
  if (Deno.uid() === 0) {
    await Deno.chown(keyFile, 65_534, 65_534);
    await refused([ca, keyFile], /^error E6002: .*key\.pem": it belongs to another user/);
  }
  equal(await file.text(), before);
});

Deno.test("route http add refuses --proxy-protocol for a folder, and --insecure-upstream without a target", async () => {
  await using file = await pktriotConfig("config.json", IDENTITY);
  const folder = await file.run([...ADD, "--webroot", file.folder, "--proxy-protocol"]);
  deepEqual([folder.code, folder.err.length], [2, 1]);
  match(folder.err[0] ?? "", /--proxy-protocol is for targets/);
  const nothing = await file.run([...ADD, "--redirect-to", "https://a.test", "--insecure-upstream"]);
  deepEqual([nothing.code, nothing.err.length], [2, 1]);
});

Deno.test("route http add --ca --key checks both files at once, and writes whole paths", async () => {
  await using file = await pktriotConfig("config.json", IDENTITY);
  const [right, other, wild] = await Promise.all([
    testCertificate(DOMAIN),
    testCertificate("shop.example.org"),
    testCertificate("*.example.org"),
  ]);
  const old = await signLeaf(await createCa(0), DOMAIN, 1_000);
  async function add(certificate: string | undefined, key: string, mode = 0o600) {
    const [ca, keyFile] = [join(file.folder, "chain.pem"), join(file.folder, "key.pem")];
    if (certificate === undefined) await Deno.remove(ca);
    else await Deno.writeTextFile(ca, certificate);
    await Deno.writeTextFile(keyFile, key);
    await Deno.chmod(keyFile, mode);
    return await file.run([...ADD, "--http", "80", "--ca", ca, "--key", keyFile]);
  }
  const cases: [certificate: string, key: string, message: RegExp][] = [
    [right.certificate, other.key, /^error E6002: .*chain\.pem.*the key does not belong to it/],
    [other.certificate, other.key, /^error E6007: .*for blog\.example\.org: it is for shop\.example\.org/],
    [old.certificate, old.key, /^error E6006: .*expired on 1970/],
    ["nothing", right.key, /^error E6002: .*no certificate/],
  ];
  for (const [certificate, key, message] of cases) {
    const { code, err } = await add(certificate, key);
    deepEqual([code, err.length], [1, 1], err.join("\n"));
    match(err[0] ?? "", message);
  }
  match((await add(undefined, right.key)).err[0] ?? "", /^error E6002: .*chain\.pem": it does not exist/);
  // What `start` would refuse is refused here.
  match((await add(right.certificate, right.key, 0o644)).err[0] ?? "", /^error E6002: .*key\.pem": others may open it/);
  equal((await add(wild.certificate, wild.key)).code, 0);
  equal((await add(right.certificate, right.key)).code, 0);
  const { folder } = file;
  deepEqual((await entryAfter(file))["tls"], { certificate: join(folder, "chain.pem"), key: join(folder, "key.pem") });
});

Deno.test("route http add --basic-auth keeps hashes only, and who could come in before still can", async () => {
  await using file = await pktriotConfig("config.json", IDENTITY);
  async function users(): Promise<{ user: string; hash: string }[] | undefined> {
    return (await entryAfter(file))["basicAuth"] as { user: string; hash: string }[] | undefined;
  }
  const http = [...ADD, "--http", "80"];
  await file.run([...http, "--basic-auth", "anna", "--basic-auth", "ben", "--password-stdin"], {
    input: "one\r\ntwo\n",
  });
  await file.run([...http, "--basic-auth", "carl"], { env: { PKTRIOT_PASSWORD: "three" } });
  await file.run([...http, "--basic-auth", "anna"], { env: { PKTRIOT_PASSWORD: "another" } });
  // A new target is no reason to let everybody in.
  equal((await file.run([...ADD, "--http", "81"])).code, 0);
  const kept = await users() ?? [];
  deepEqual(kept.map(({ user }) => user), ["anna", "ben", "carl"]);
  for (const [index, password] of ["another", "two", "three"].entries()) {
    ok(await verifyPassword(password, kept[index]!.hash));
  }
  equal(["one", "two", "three", "another"].some((password) => JSON.stringify(kept).includes(`"${password}"`)), false);
  const { code, err } = await file.run([...http, "--tls", "443"]);
  equal(code, 2);
  match(err[0] ?? "", /E4017: --basic-auth \(which the rule has; --without-basic-auth lets everybody in\)/);
  equal((await file.run([...http, "--without-basic-auth"])).code, 0);
  equal(await users(), undefined);
  const asked = await file.run([...http, "--tls", "443", "--basic-auth", "anna"]);
  match(asked.err[0] ?? "", /E4017: --basic-auth cannot be used with --tls/);
});

Deno.test("route http add --basic-auth wants one password for each user", async () => {
  await using file = await pktriotConfig("config.json", IDENTITY);
  const two = [...ADD, "--http", "80", "--basic-auth", "anna", "--basic-auth", "ben"];
  for (const input of ["one", "one\n\n", "one\ntwo\nthree"]) {
    const { code, err } = await file.run([...two, "--password-stdin"], { input });
    equal(code, 2, input);
    match(err[0] ?? "", /one password for each of 2 users/);
  }
  equal((await file.run(two, { env: { PKTRIOT_PASSWORD: "one" } })).code, 2);
});

Deno.test("route http add --letsencrypt on a name of the server's domain warns, and is done", async () => {
  await using file = await pktriotConfig("config.json", IDENTITY);
  for (const name of ["small-fire-20477.example.com", "blog.example.com", "a.small-fire-20477.example.com"]) {
    const { code, err } = await file.run(
      ["route", "http", "add", "--offline", "--domain", name, "--http", "80", "--letsencrypt"],
    );
    equal(code, 0);
    match(err.join("\n"), /^warning: .* is under the server's domain.*\n.*own certificate may cover/);
  }
  const own = await file.run([...ADD, "--http", "80", "--letsencrypt", "--email", "anna@example.org"]);
  deepEqual(own.err, []);
  deepEqual(JSON.parse(await file.text()).acme, { email: "anna@example.org" });
});

const YAML = `# who we are
version: 1
server: { address: "127.0.0.1:9" }
tunnel: { id: t1, token: secret, hostname: a.example.com, name: laptop }
http:
  # the blog
  - domain: blog.example.org # mine
    target: 127.0.0.1:8080 # for now
    tls: server # not ours
    basicAuth:
      # the boss
      - user: anna
        hash: $scrypt$ln=15,r=8,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA
    firewall:
      allow:
        - 203.0.113.0/24 # the office
acme:
  # who reads it
  email: old@example.org
`;

Deno.test("route http add leaves comments, firewall and users of a YAML configuration where they are", async () => {
  await using file = await pktriotConfig("config.yaml", YAML);
  const { code, err } = await file.run(
    [...ADD, "--destination", "127.0.0.1", "--http", "8080", "--letsencrypt", "--email", "new@example.org"],
  );
  equal(code, 0, err.join("\n"));
  equal(await file.text(), YAML.replace("tls: server", "tls: letsencrypt").replace("old@", "new@"));
  await file.run([...ADD, "--http", "8080", "--basic-auth", "ben"], { env: { PKTRIOT_PASSWORD: "x" } });
  const text = await file.text();
  for (const comment of ["# the blog", "# mine", "# for now", "# the boss", "# the office", "# who reads it"]) {
    ok(text.includes(comment), comment);
  }
  const [{ basicAuth, tls }] = parse(text).http;
  deepEqual(basicAuth.map(({ user }: { user: string }) => user), ["anna", "ben"]);
  equal(tls, undefined);
});

Deno.test("route tcp forward --proxy-protocol is written, and gone without it", async () => {
  await using file = await pktriotConfig("config.json", IDENTITY);
  const forward = ["route", "tcp", "forward", "--offline", "--port", "22197", "--dstport", "22"];
  equal((await file.run([...forward, "--proxy-protocol"])).code, 0);
  deepEqual(JSON.parse(await file.text()).tcp, [{ port: 22_197, target: "127.0.0.1:22", proxyProtocol: "v2" }]);
  equal((await file.run(forward)).code, 0);
  deepEqual(JSON.parse(await file.text()).tcp, [{ port: 22_197, target: "127.0.0.1:22" }]);
});

Deno.test("route http ls --json and info --json show users without what passwords are checked against", async () => {
  await using file = await pktriotConfig("config.yaml", YAML);
  for (const command of [["route", "http", "ls"], ["info"]]) {
    const { out } = await file.run([...command, "--json", "--offline"]);
    const shown = out.join("\n");
    ok(shown.includes('"anna"') && shown.includes('"***"'), shown);
    ok(!shown.includes("$scrypt"));
  }
});

Deno.test("route http ls shows the table when the server is away, and says so in one line", async () => {
  await using file = await pktriotConfig("config.yaml", YAML);
  const { code, out, err } = await file.run(["route", "http", "ls"]);
  equal(code, 0);
  // The rule has a password and no redirect.
  deepEqual([out.length, out.at(-1)?.startsWith("Warning: http/blog.example.org: passwords")], [6, true]);
  equal(err.length, 1);
  match(err[0] ?? "", /^The states of the rules are not known: warning E3005: /);
  deepEqual((await file.run(["route", "http", "ls", "--offline"])).err, []);
});
