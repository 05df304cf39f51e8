import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { challengeToken } from "../../net/acme/challenges.ts";
import { freePorts } from "../../net/testing/free_port.ts";
import { type Pebble, PEBBLE_PROGRAMS, startPebble } from "../../net/acme/testing/pebble.ts";
import { programTest } from "../../net/testing/programs.ts";
import type { CertificatePair } from "../../net/certificate.ts";
import { type LogFields, type Logger, SILENT } from "../../net/log.ts";
import { testCertificate } from "../../net/testing/certificate.ts";
import { INTERNAL_SNI } from "../../protocol/limits.ts";
import { caPin } from "../authority.ts";
import { signLeaf } from "../sign_certificate.ts";
import { createCa } from "../sign_certificate.ts";
import { ServerCertificates, type ServerCertificatesOptions } from "./server_certificates.ts";

const DOMAIN = "d.example.com";
const HOSTNAME = "t.d.example.com";
const DAY_MS = 86_400_000;

/** Where a test keeps state and certificates. */
class Folders implements AsyncDisposable {
  readonly path = Deno.makeTempDirSync();
  readonly state = join(this.path, "state");
  readonly certificates = join(this.path, "certs");

  constructor() {
    for (const folder of [this.state, this.certificates]) Deno.mkdirSync(folder, { mode: 0o700 });
  }

  /** One file with certificate and key. */
  put(file: string, { certificate, key }: { certificate: string; key: string }): void {
    const path = join(this.certificates, file);
    Deno.writeTextFileSync(`${path}.new`, certificate + key, { mode: 0o600 });
    Deno.renameSync(`${path}.new`, path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

function open(options: Partial<ServerCertificatesOptions> = {}): Promise<ServerCertificates> {
  return ServerCertificates.open({ domain: DOMAIN, hostname: HOSTNAME, log: SILENT, ...options });
}

/** Waits until the name has a certificate that is not `other`. */
async function certificateOf(
  certificates: ServerCertificates,
  name: string,
  other?: CertificatePair,
): Promise<CertificatePair> {
  const end = Date.now() + 30_000;
  while (true) {
    const pair = certificates.lookup(name);
    if (pair !== undefined && pair !== other) return pair;
    assert.ok(Date.now() < end, `no certificate for ${name}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

Deno.test("without anything else the own authority signs for the endpoint's two names, and nothing for others", async () => {
  await using certificates = await open();
  const pair = certificates.lookup(HOSTNAME);
  assert.equal(certificates.lookup(INTERNAL_SNI), pair);
  assert.equal(pair?.covers(HOSTNAME), true);
  assert.equal(caPin(pair!.certificate.slice(pair!.certificate.lastIndexOf("-----BEGIN"))), certificates.pin);
  for (const name of [DOMAIN, `x.${DOMAIN}`, "other.test", ""]) assert.equal(certificates.lookup(name), undefined);
});

Deno.test("the own authority and its pin stay over restarts", async () => {
  await using folders = new Folders();
  const pins = [];
  for (let start = 0; start < 2; start++) {
    await using certificates = await open({ stateDir: folders.state });
    pins.push(certificates.pin);
  }
  assert.equal(pins[0], pins[1]);
});

Deno.test("a given certificate serves the public name, and the own authority stays for the internal one", async () => {
  await using folders = new Folders();
  const own = await open({ stateDir: folders.state });
  const { pin } = own;
  await own[Symbol.asyncDispose]();
  const given = await testCertificate(HOSTNAME, "www.example.com");
  {
    await using certificates = await open({ stateDir: folders.state, given });
    assert.deepEqual(certificates.lookup(HOSTNAME)?.names, [HOSTNAME, "www.example.com"]);
    assert.deepEqual(certificates.lookup(INTERNAL_SNI)?.names, [HOSTNAME, INTERNAL_SNI]);
    assert.equal(certificates.lookup("www.example.com"), certificates.lookup(HOSTNAME));
    assert.deepEqual([certificates.pin, pin?.length], [pin, 43]);
  }
  // One that clients refuse is shown to nobody who may get a better one.
  await using certificates = await open({ stateDir: folders.state, given: await testCertificate("x.test") });
  assert.equal(certificates.lookup(HOSTNAME), certificates.lookup(INTERNAL_SNI));
});

Deno.test("without a state folder a given certificate serves both names of the endpoint, and there is no pin", async () => {
  const said: LogFields[] = [];
  const log: Logger = { ...SILENT, error: (_event, fields = {}) => void said.push(fields) };
  await using certificates = await open({ given: await testCertificate(HOSTNAME, "www.example.com"), log });
  const pair = certificates.lookup(HOSTNAME);
  assert.deepEqual(pair?.names, [HOSTNAME, "www.example.com"]);
  assert.equal(certificates.lookup(INTERNAL_SNI), pair);
  assert.equal(certificates.lookup("www.example.com"), pair);
  assert.equal(certificates.pin, undefined);
  assert.deepEqual(said, []);
});

Deno.test("without an authority too it is said that names of tunnels have no certificate, unless they have", async () => {
  await using folders = new Folders();
  const said: unknown[] = [];
  const log: Logger = { ...SILENT, warn: (_event, { names } = {}) => void said.push(names) };
  for (const certificate of [await testCertificate(HOSTNAME), await testCertificate(`*.${DOMAIN}`)]) {
    folders.put("a.pem", certificate);
    await using certificates = await open({ folder: folders.certificates, log });
    await certificates.start();
  }
  assert.deepEqual(said, [`*.${DOMAIN}`]);
});

Deno.test("a given certificate that is expired or for another name is told, and served all the same", async () => {
  const said: unknown[] = [];
  const log: Logger = { ...SILENT, error: (_event, { code } = {}) => void said.push(code) };
  const past = Date.now() - 100 * DAY_MS;
  await using certificates = await open({ given: await signLeaf(await createCa(past), "x.test", past), log });
  assert.deepEqual(certificates.lookup(HOSTNAME)?.names, ["x.test", INTERNAL_SNI]);
  assert.deepEqual(said, ["E6006", "E6007"]);
});

Deno.test("a given certificate that cannot be used, and a folder that is not there, stop the start (R40)", async () => {
  const { certificate } = await testCertificate(HOSTNAME);
  const { key } = await testCertificate(HOSTNAME);
  await assert.rejects(open({ given: { certificate, key } }), { kind: "CERTIFICATE_INVALID" });
  const nowhere = { certificateFile: "/nonexistent/a.pem", keyFile: "/nonexistent/a.key" };
  await assert.rejects(open({ given: nowhere }), { kind: "CERTIFICATE_INVALID" });
  await assert.rejects(open({ folder: "/nonexistent/certs" }), { kind: "CERTIFICATE_INVALID" });
  await assert.rejects(open({ acme: {} }), { kind: "CONFIG_INVALID" });
});

Deno.test("a given certificate in files is replaced when they are, and stays while they cannot be used", async () => {
  await using folders = new Folders();
  folders.put("t.pem", await testCertificate(HOSTNAME));
  const path = join(folders.certificates, "t.pem");
  const refused = Promise.withResolvers<LogFields>();
  const log: Logger = {
    ...SILENT,
    warn: (event, fields = {}) => event === "certificate not used" ? refused.resolve(fields) : undefined,
  };
  await using certificates = await open({ given: { certificateFile: path, keyFile: path }, log });
  const first = certificates.lookup(HOSTNAME);
  assert.deepEqual(first?.names, [HOSTNAME]);
  folders.put("t.pem", { certificate: "half of", key: " a file" });
  assert.equal((await refused.promise).code, "E6002");
  assert.equal(certificates.lookup(HOSTNAME), first);
  folders.put("t.pem", await testCertificate(HOSTNAME, "more.test"));
  assert.deepEqual((await certificateOf(certificates, HOSTNAME, first)).names, [HOSTNAME, "more.test"]);
  assert.equal(certificates.lookup(INTERNAL_SNI), certificates.lookup(HOSTNAME));
});

Deno.test("a pair that is not for the endpoint's name replaces none that is, and that is told once", async () => {
  await using folders = new Folders();
  folders.put("t.pem", await testCertificate(HOSTNAME));
  const path = join(folders.certificates, "t.pem");
  const refused = Promise.withResolvers<void>();
  const said: unknown[] = [];
  const note = (event: string, { code, names }: LogFields = {}) => void said.push([event, code ?? names]);
  const log: Logger = {
    ...{ ...SILENT, info: note, error: note },
    warn(event, fields = {}) {
      note(event, fields);
      refused.resolve();
    },
  };
  await using certificates = await open({ given: { certificateFile: path, keyFile: path }, log });
  const first = certificates.lookup(HOSTNAME);
  folders.put("t.pem", await testCertificate("elsewhere.test"));
  await refused.promise;
  assert.equal(certificates.lookup(HOSTNAME), first);
  assert.equal(certificates.lookup("elsewhere.test"), undefined);
  folders.put("t.pem", await testCertificate(HOSTNAME, "more.test"));
  assert.deepEqual((await certificateOf(certificates, HOSTNAME, first)).names, [HOSTNAME, "more.test"]);
  const loaded = "certificate loaded";
  assert.deepEqual(said, [
    [loaded, HOSTNAME],
    ["certificate not used", "E6007"],
    [loaded, `${HOSTNAME}, more.test`],
  ]);
});

Deno.test("the operator's folder serves any name, wins for the endpoint's public name, and is followed", async () => {
  await using folders = new Folders();
  folders.put("a.pem", await testCertificate(`*.${DOMAIN}`));
  await using certificates = await open({ folder: folders.certificates });
  assert.deepEqual(certificates.lookup(`x.${DOMAIN}`)?.names, [`*.${DOMAIN}`]);
  assert.deepEqual(certificates.lookup(HOSTNAME)?.names, [`*.${DOMAIN}`]);
  // Clients that pinned the authority ask by this one.
  assert.equal(certificates.lookup(INTERNAL_SNI)?.covers(HOSTNAME), true);
  assert.notEqual(certificates.lookup(INTERNAL_SNI), certificates.lookup(HOSTNAME));
  folders.put("b.pem", await testCertificate("shop.test"));
  assert.deepEqual((await certificateOf(certificates, "shop.test")).names, ["shop.test"]);
});

/** A CA that looks at an edge which answers from `certificates`. */
class Ca implements AsyncDisposable {
  readonly folders = new Folders();
  readonly said: { event: string; fields: LogFields }[] = [];
  readonly #pebble: Pebble;
  readonly #http: Deno.HttpServer;
  certificates: ServerCertificates | undefined;

  constructor(pebble: Pebble, httpPort: number) {
    this.#pebble = pebble;
    this.#http = Deno.serve({ hostname: "127.0.0.1", port: httpPort, onListen: () => {} }, (request) => {
      const { hostname, pathname } = new URL(request.url);
      const answer = this.certificates?.challenges.httpAnswer(hostname, challengeToken(pathname) ?? "");
      return new Response(answer ?? "", { status: answer === undefined ? 404 : 200 });
    });
  }

  static async start(): Promise<Ca> {
    const [httpPort = 0, tlsPort = 0] = freePorts(2);
    return new Ca(await startPebble({ httpPort, tlsPort, blocklist: ["bad.test"] }), httpPort);
  }

  /** Sets DNS records at the test's name server. */
  hook(): string {
    const path = join(this.folders.path, "hook.sh");
    const { dnsApi } = this.#pebble;
    const body = `case $1 in present) door=set-txt;; *) exit 0;; esac
exec curl -sSf -d "{\\"host\\": \\"$2.\\", \\"value\\": \\"$3\\"}" ${dnsApi}/$door`;
    Deno.writeTextFileSync(path, `#!/bin/sh\n${body}\n`, { mode: 0o700 });
    return path;
  }

  /** Where its records are asked for. */
  get dns(): string {
    const { ipAddr, port } = this.#pebble.dns;
    return `${ipAddr}:${port}`;
  }

  async open(
    { hook, dnsCheck, ...options }: Partial<ServerCertificatesOptions> & {
      hook?: string;
      dnsCheck?: false | readonly string[];
    } = {},
  ): Promise<ServerCertificates> {
    const { folders, said } = this;
    const say = (event: string, fields: LogFields = {}) => void said.push({ event, fields });
    const { directory, ca } = this.#pebble;
    this.certificates = await open({
      ...{ stateDir: folders.state, folder: folders.certificates, resolvers: [this.dns] },
      log: { debug() {}, info: say, warn: say, error: say },
      acme: {
        ...{ directory, ca },
        ...(hook === undefined ? {} : { dnsHook: hook }),
        ...(dnsCheck === undefined ? {} : { dnsCheck }),
      },
      ...options,
    });
    return this.certificates;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#http.shutdown();
    await this.#pebble[Symbol.asyncDispose]();
    await this.folders[Symbol.asyncDispose]();
  }
}

programTest(
  "the endpoint's name and custom domains get certificates of an authority, which are there again after a restart",
  PEBBLE_PROGRAMS,
  async () => {
    await using ca = await Ca.start();
    let issued: CertificatePair;
    {
      await using certificates = await ca.open();
      const own = certificates.lookup(HOSTNAME);
      await certificates.start();
      issued = await certificateOf(certificates, HOSTNAME, own);
      assert.match(new X509Certificate(issued.certificate).issuer, /Pebble/);
      assert.equal(certificates.lookup(INTERNAL_SNI), own);
      certificates.setCustomDomains(["shop.test", "bad.test"]);
      assert.deepEqual((await certificateOf(certificates, "shop.test")).names, ["shop.test"]);
      assert.equal(certificates.lookup("bad.test"), undefined);
      // What nobody asks for any more is not served any more.
      certificates.setCustomDomains([]);
      while (certificates.lookup("shop.test") !== undefined) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.ok(ca.said.some(({ event, fields }) => event === "certificate" && fields.names === HOSTNAME));
    await using certificates = await ca.open();
    await certificates.start();
    assert.equal(certificates.lookup(HOSTNAME)?.certificate, issued.certificate);
  },
);

programTest("an authority's refusal is logged with its code", PEBBLE_PROGRAMS, async () => {
  await using ca = await Ca.start();
  await using certificates = await ca.open();
  certificates.setCustomDomains(["bad.test"]);
  await certificates.start();
  const failure = () => ca.said.find(({ fields }) => fields.names === "bad.test" && fields.code !== undefined);
  const end = Date.now() + 30_000;
  while (failure() === undefined) {
    assert.ok(Date.now() < end, "no failure");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.match(String(failure()?.fields.reason), /bad\.test/);
});

programTest("with a DNS hook there is a wildcard for the domain, and the host name needs none", [
  ...PEBBLE_PROGRAMS,
  "curl",
], async () => {
  await using ca = await Ca.start();
  await using certificates = await ca.open({ hook: ca.hook() });
  await certificates.start();
  const pair = await certificateOf(certificates, `x.${DOMAIN}`);
  assert.deepEqual([...pair.names].sort(), [`*.${DOMAIN}`, DOMAIN]);
  assert.equal(certificates.lookup(HOSTNAME), pair);
  assert.equal(certificates.lookup(DOMAIN), pair);
});

for (const isSkipped of [true, false]) {
  programTest(`the record of a private zone is ${isSkipped ? "not looked for" : "looked for at the servers named"}`, [
    ...PEBBLE_PROGRAMS,
    "curl",
  ], async () => {
    await using ca = await Ca.start();
    // The system's resolver knows nothing of the zone.
    const options = { hook: ca.hook(), resolvers: [], dnsCheck: isSkipped ? false as const : [ca.dns] };
    await using certificates = await ca.open(options);
    await certificates.start();
    await certificateOf(certificates, `x.${DOMAIN}`);
  });
}

programTest(
  "nothing is ordered for names that the operator's folder has, until that has gone",
  PEBBLE_PROGRAMS,
  async () => {
    await using ca = await Ca.start();
    ca.folders.put("a.pem", await testCertificate(HOSTNAME));
    await using certificates = await ca.open();
    await certificates.start();
    const own = certificates.lookup(HOSTNAME);
    certificates.setCustomDomains(["shop.test"]);
    // Orders go one after the other: one for the host name would have come first.
    await certificateOf(certificates, "shop.test");
    assert.ok(!ca.said.some(({ event, fields }) => event === "certificate" && fields.names === HOSTNAME));
    Deno.removeSync(join(ca.folders.certificates, "a.pem"));
    let pair = await certificateOf(certificates, HOSTNAME, own);
    // The own authority's serves in between.
    while (!new X509Certificate(pair.certificate).issuer.includes("Pebble")) {
      pair = await certificateOf(certificates, HOSTNAME, pair);
    }
  },
);
