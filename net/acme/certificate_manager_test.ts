import assert from "node:assert/strict";
import { join } from "node:path";
import { testCertificate } from "../testing/certificate.ts";
import { type LogFields, SILENT } from "../log.ts";
import type { AcmeError } from "./acme_error.ts";
import { caFolder } from "./ca_folder.ts";
import { CertificateFiles, type StoredCertificate } from "./certificate_files.ts";
import { CertificateManager, type CertificateManagerOptions } from "./certificate_manager.ts";
import { Challenges } from "./challenges.ts";
import { DnsHook } from "./dns_hook.ts";
import type { CertificateOrder } from "./wanted_certificate.ts";
import { type FakeCa, startFakeCa } from "./testing/fake_ca.ts";
import { freePorts } from "../testing/free_port.ts";
import { identifiedCertificate, RENEWAL_ID } from "./testing/identified_certificate.ts";
import { type Pebble, PEBBLE_PROGRAMS, startPebble } from "./testing/pebble.ts";
import { findProgram, programTest } from "../testing/programs.ts";
import { listenForValidation, type ValidationListeners } from "./testing/validation_listeners.ts";

const A: CertificateOrder = { names: ["a.example.com"], challenge: ["http-01"] };
const B: CertificateOrder = { names: ["b.example.com"], challenge: ["http-01"] };
/** Nobody listens there. */
const NO_CA = `https://127.0.0.1:${freePorts(1)[0]}/dir`;

type Failure = { names: readonly string[]; error: AcmeError; retryAt: Date };
type Pair = Extract<StoredCertificate, { kind: "usable" }>["pair"];

/** A manager in a folder of its own, with what it has told so far. */
class Desk implements AsyncDisposable {
  readonly folder: string;
  readonly steps: string[] = [];
  readonly warnings: LogFields[] = [];
  readonly failures: Failure[] = [];
  readonly pairs: Pair[] = [];
  readonly manager: CertificateManager;
  /** ms that the clock of the manager is ahead. */
  ahead = 0;
  readonly #ownsFolder: boolean;
  readonly #watchers = new Set<() => void>();

  constructor(options: Partial<CertificateManagerOptions> & { ca?: string }) {
    this.#ownsFolder = options.folder === undefined;
    this.folder = options.folder ?? Deno.makeTempDirSync({ prefix: "spokes-acme-" });
    const changed = () => this.#watchers.forEach((look) => look());
    this.manager = new CertificateManager({
      directory: NO_CA,
      challenges: new Challenges(),
      now: () => Date.now() + this.ahead,
      tickMs: 10,
      pollMs: 50,
      log: { ...SILENT, warn: (_event: string, fields: LogFields = {}) => void this.warnings.push(fields) },
      onCertificate: ({ pair }) => void (this.pairs.push(pair), changed()),
      onProgress: ({ name, step }) => void (this.steps.push(`${name}: ${step}`), changed()),
      onFailure: (failure) => void (this.failures.push(failure), changed()),
      ...options,
      folder: this.folder,
    });
  }

  /** Settles when it has told so. */
  async until(done: () => boolean, what: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = () => done() && resolve();
    const timer = setTimeout(() => reject(new Error(`waited in vain for ${what}: ${this.#told()}`)), 30_000);
    this.#watchers.add(look);
    look();
    await promise.finally(() => clearTimeout(timer));
    this.#watchers.delete(look);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.manager[Symbol.asyncDispose]();
    if (this.#ownsFolder) await Deno.remove(this.folder, { recursive: true });
  }

  #told(): string {
    return [...this.steps, ...this.failures.map(({ error }) => error.message)].join("; ");
  }
}

async function withCa(
  test: (ca: Pebble, places: ValidationListeners) => Promise<void>,
  options: Partial<Parameters<typeof startPebble>[0]> = {},
): Promise<void> {
  await using places = await listenForValidation();
  await using ca = await startPebble({ httpPort: places.httpPort, tlsPort: places.tlsPort, ...options });
  await test(ca, places);
}

/** Stores a certificate for A that has an ARI id. */
async function writeStored(desk: Desk, directory: string): Promise<void> {
  const stored = caFolder(desk.folder, directory);
  await Deno.mkdir(stored, { mode: 0o700 });
  const text = await identifiedCertificate("a.example.com");
  await Deno.writeTextFile(join(stored, "a.example.com.pem"), text, { mode: 0o600 });
}

function at({ directory, ca }: Pebble, { challenges }: ValidationListeners) {
  return { directory, ca, challenges };
}

programTest(
  "a certificate is ordered, stored with nobody else's rights, and handed out at once the next time",
  PEBBLE_PROGRAMS,
  () =>
    withCa(async (ca, places) => {
      const folder = await Deno.makeTempDir();
      const options = { ...at(ca, places), folder };
      {
        await using desk = new Desk(options);
        await desk.manager.want([A]);
        await desk.until(() => desk.pairs.length === 1, "the certificate");
        assert.deepEqual(desk.steps, [
          "a.example.com: ordering",
          "a.example.com: challenge http-01 ready",
          "a.example.com: validated",
          `a.example.com: issued until ${desk.pairs[0]?.notAfter.toISOString()}`,
        ]);
      }
      const stored = caFolder(folder, ca.directory);
      const names = [...Deno.readDirSync(stored)].map(({ name }) => name).sort();
      assert.deepEqual(names, ["a.example.com.pem", "account.pem"]);
      assert.equal(Deno.statSync(stored).mode! & 0o777, 0o700);
      for (const name of names) assert.equal(Deno.statSync(join(stored, name)).mode! & 0o777, 0o600);
      {
        await using desk = new Desk(options);
        await desk.manager.want([A]);
        assert.equal(desk.pairs.length, 1, "it is not there when want() has settled");
        assert.deepEqual(desk.steps, []);
      }
      await Deno.remove(folder, { recursive: true });
    }),
);

programTest(
  "the next challenge type is tried when the CA cannot see the answer to the first",
  PEBBLE_PROGRAMS,
  () =>
    withCa(async (ca, places) => {
      // Its http-01 requests go where nobody listens.
      await using desk = new Desk(at(ca, places));
      await desk.manager.want([{ names: ["tls.example.com"], challenge: ["http-01", "tls-alpn-01"] }]);
      await desk.until(() => desk.pairs.length === 1, "the certificate");
      assert.deepEqual(desk.steps.slice(0, -1).map((step) => step.replace("tls.example.com: ", "")), [
        ...["ordering", "challenge http-01 ready", "challenge http-01 failed"],
        ...["ordering", "challenge tls-alpn-01 ready", "validated"],
      ]);
    }, { httpPort: 1 }),
);

programTest(
  "a wildcard is proven by dns-01 through the hook, which cleans up",
  [...PEBBLE_PROGRAMS, "curl"],
  () =>
    withCa(async (ca, places) => {
      const folder = await Deno.makeTempDir();
      const path = join(folder, "hook");
      const script = `#!/bin/sh
      case $1 in
        present) path=set-txt body="{\\"host\\":\\"$2.\\",\\"value\\":\\"$3\\"}" ;;
        cleanup) path=clear-txt body="{\\"host\\":\\"$2.\\"}" ;;
      esac
      echo "$1 $2" >>'${folder}/calls'
      exec '${findProgram("curl")}' -fsS -d "$body" ${ca.dnsApi}/$path`;
      await Deno.writeTextFile(path, script, { mode: 0o700 });
      const dnsHook = new DnsHook({ path, log: SILENT, propagation: { nameServers: [ca.dns], intervalMs: 20 } });
      await using desk = new Desk({ ...at(ca, places), dnsHook });
      const wildcard = { names: ["*.example.com"], challenge: ["http-01", "dns-01"] } as const;
      await desk.manager.want([wildcard]);
      await desk.until(() => desk.pairs.length === 1, "the certificate");
      assert.deepEqual(desk.pairs[0]?.names, ["*.example.com"]);
      assert.ok(desk.steps.includes("*.example.com: challenge dns-01 ready"));
      const calls = join(folder, "calls");
      const record = "_acme-challenge.example.com";
      assert.equal(await Deno.readTextFile(calls), `present ${record}\ncleanup ${record}\n`);
      assert.ok(Deno.statSync(join(caFolder(desk.folder, ca.directory), "_wildcard.example.com.pem")).isFile);
      // The name itself has its value at the same record: both are there before the CA looks.
      await Deno.remove(calls);
      await desk.manager.want([wildcard, { names: ["example.org", "*.example.org"], challenge: ["dns-01"] }]);
      await desk.until(() => desk.pairs.length === 2, "the certificate for both");
      assert.deepEqual([...desk.pairs[1]!.names].sort(), ["*.example.org", "example.org"]);
      const words = (await Deno.readTextFile(calls)).trim().split("\n").map((line) => line.split(" ")[0]);
      assert.deepEqual(words, ["present", "present", "cleanup", "cleanup"]);
      await Deno.remove(folder, { recursive: true });
    }),
);

programTest(
  "a name that the CA refuses is reported, and the others are served",
  PEBBLE_PROGRAMS,
  () =>
    withCa(async (ca, places) => {
      await using desk = new Desk(at(ca, places));
      await desk.manager.want([{ names: ["www.blocked.example"], challenge: ["http-01"] }, A]);
      await desk.until(() => desk.pairs.length === 1 && desk.failures.length === 1, "both");
      const [{ names, error, retryAt } = assert.fail()] = desk.failures;
      assert.deepEqual([names, error.kind, error.problem], [
        ["www.blocked.example"],
        "ACME_REFUSED",
        "rejectedIdentifier",
      ]);
      assert.match(
        error.message,
        /^Cannot get a certificate for www\.blocked\.example: the CA localhost:\d+ refuses: /,
      );
      const wait = retryAt.getTime() - Date.now();
      assert.ok(wait > 30_000 && wait < 90_000, `${wait}`);
    }, { blocklist: ["blocked.example"] }),
);

programTest(
  "a certificate is renewed when its time has come, and only then",
  PEBBLE_PROGRAMS,
  () =>
    withCa(async (ca, places) => {
      await using desk = new Desk(at(ca, places));
      await desk.manager.want([A]);
      await desk.until(() => desk.pairs.length === 1, "the first");
      const [first = assert.fail()] = desk.pairs;
      const lifetime = first.notAfter.getTime() - first.notBefore.getTime();
      desk.ahead = lifetime * 0.6;
      await desk.manager.want([A, B]);
      await desk.until(() => desk.pairs.length === 2, "another name");
      assert.deepEqual(desk.pairs[1]?.names, B.names);
      desk.ahead = lifetime * 0.68;
      await desk.until(() => desk.pairs.length >= 3, "the second");
      assert.deepEqual(desk.pairs[2]?.names, A.names);
      assert.notEqual(desk.pairs[2]?.certificate, first.certificate);
      assert.notEqual(desk.pairs[2]?.key, first.key);
      // What it stored is the new one.
      const stored = await new CertificateFiles(caFolder(desk.folder, ca.directory)).load(A.names, Date.now());
      assert.equal(stored.kind === "usable" && stored.pair.certificate, desk.pairs[2]?.certificate);
    }),
);

programTest(
  "with a CA that is down the stored certificate serves; when it is back, a new one does",
  PEBBLE_PROGRAMS,
  async () => {
    const folder = await Deno.makeTempDir();
    await using places = await listenForValidation();
    const ports = { httpPort: places.httpPort, tlsPort: places.tlsPort };
    let port = 0;
    let directory = "";
    {
      await using ca = await startPebble(ports);
      ({ port, directory } = ca);
      await using desk = new Desk({ ...at(ca, places), folder });
      await desk.manager.want([A]);
      await desk.until(() => desk.pairs.length === 1, "the first");
    }
    const { challenges } = places;
    {
      await using desk = new Desk({ directory, challenges, folder });
      const lifetime = 157_766_400_000;
      desk.ahead = lifetime * 0.9;
      await desk.manager.want([A, B]);
      assert.equal(desk.pairs.length, 1);
      await desk.until(() => desk.failures.length === 2, "the failures");
      assert.deepEqual(desk.failures.map(({ names, error }) => [names[0], error.kind]).sort(), [
        ["a.example.com", "ACME_UNREACHABLE"],
        ["b.example.com", "ACME_UNREACHABLE"],
      ]);
      // The ladder is climbed by the clock that was given.
      const waits = desk.failures.map(({ retryAt }) => retryAt.getTime() - desk.ahead - Date.now());
      for (const wait of waits) assert.ok(wait > 0 && wait < 90_000, `${wait}`);
      desk.ahead += 100_000;
      await desk.until(() => desk.failures.length === 4, "the next failures");
      for (const { retryAt } of desk.failures.slice(2)) {
        assert.ok(
          retryAt.getTime() - desk.ahead - Date.now() > 200_000,
        );
      }
      assert.equal(desk.pairs.length, 1);
    }
    // A CA that was started anew does not know the account any more, which is registered again.
    await using ca = await startPebble({ ...ports, port });
    await using desk = new Desk({ ...at(ca, places), folder });
    await desk.manager.want([A]);
    assert.equal(desk.pairs.length, 1);
    assert.ok(desk.manager.renewNow("a.example.com"));
    await desk.until(() => desk.pairs.length === 2, "the second");
    await Deno.remove(folder, { recursive: true });
  },
);

programTest(
  "a stored pair that does not match is reported, not handed out, and ordered anew",
  PEBBLE_PROGRAMS,
  () =>
    withCa(async (ca, places) => {
      await using desk = new Desk(at(ca, places));
      const stored = caFolder(desk.folder, ca.directory);
      await Deno.mkdir(stored, { mode: 0o700 });
      const [one, other] = [await testCertificate("a.example.com"), await testCertificate("a.example.com")];
      await Deno.writeTextFile(join(stored, "a.example.com.pem"), one.key + other.certificate, { mode: 0o600 });
      await desk.manager.want([A]);
      assert.equal(desk.pairs.length, 0);
      assert.match(String(desk.warnings[0]?.reason), /a\.example\.com\.pem".*key does not belong/);
      await desk.until(() => desk.pairs.length === 1, "the certificate");
      assert.notEqual(desk.pairs[0]?.certificate, other.certificate);
    }),
);

programTest(
  "disposing gives a running order up, and leaves no answer behind",
  PEBBLE_PROGRAMS,
  () =>
    withCa(async (ca, places) => {
      await using desk = new Desk(at(ca, places));
      await desk.manager.want([{ names: ["a.example.com"], challenge: ["tls-alpn-01"] }]);
      await desk.until(() => desk.steps.length >= 2, "the challenge");
      await desk.manager[Symbol.asyncDispose]();
      assert.equal(places.challenges.tlsAlpnAnswer("a.example.com"), undefined);
      assert.deepEqual(desk.pairs, []);
      assert.deepEqual(desk.failures, []);
    }),
);

programTest(
  "what is not wanted any more is given up, and what is wanted then comes next",
  PEBBLE_PROGRAMS,
  () =>
    withCa(async (ca, places) => {
      await using desk = new Desk(at(ca, places));
      await desk.manager.want([A]);
      await desk.until(() => desk.steps.length >= 1, "the order");
      await desk.manager.want([B]);
      await desk.until(() => desk.pairs.length === 1, "the certificate");
      assert.deepEqual(desk.pairs[0]?.names, B.names);
      assert.deepEqual(desk.failures, []);
      assert.equal(desk.manager.renewNow("a.example.com"), false);
    }),
);

Deno.test("a directory that is not https, and a name that is none, are refused before anything is asked (security R48)", async () => {
  for (
    const directory of ["http://ca.example/dir", "ftp://ca.example", "ca.example", "https://user:pass@ca.example/"]
  ) {
    assert.throws(() => new Desk({ directory, folder: "/nowhere" }), { kind: "ACME_REFUSED", message: /https/ });
  }
  await using desk = new Desk({});
  for (
    const name of [
      "../a.example.com",
      "localhost",
      "A.example.com",
      "192.0.2.1",
      "*.*.example.com",
      "a.example.com/b",
      "",
    ]
  ) {
    await assert.rejects(
      desk.manager.want([{ names: [name], challenge: ["http-01"] }]),
      { kind: "NAME_INVALID" },
      name,
    );
  }
  await assert.rejects(desk.manager.want([{ names: [], challenge: ["http-01"] }]), { kind: "NAME_INVALID" });
});

Deno.test("a wildcard without dns-01 fails with what to do, without asking the CA", async () => {
  await using desk = new Desk({});
  await desk.manager.want([{ names: ["*.example.com"], challenge: ["http-01"] }]);
  await desk.until(() => desk.failures.length === 1, "the failure");
  assert.equal(desk.failures[0]?.error.kind, "ACME_CHALLENGE_FAILED");
  assert.match(desk.failures[0]?.error.message ?? "", /\*\.example\.com can be proven by dns-01 only; set a DNS hook/);
});

Deno.test("what fails is tried again at once when it may be proven in another way, but not for nothing", async () => {
  await using desk = new Desk({});
  await desk.manager.want([{ names: ["*.example.com"], challenge: ["http-01"] }]);
  await desk.until(() => desk.failures.length === 1, "the failure");
  await desk.manager.want([{ names: ["*.example.com"], challenge: ["http-01"] }]);
  await desk.manager.want([{ names: ["*.example.com"], challenge: ["http-01", "dns-01"] }]);
  await desk.until(() => desk.failures.length === 2, "the next failure");
  assert.deepEqual(desk.failures.map(({ error }) => error.kind), ["ACME_CHALLENGE_FAILED", "ACME_UNREACHABLE"]);
});

Deno.test("what has failed is not ordered at once when it is not wanted and then wanted again", async () => {
  await using desk = new Desk({});
  await desk.manager.want([A]);
  await desk.until(() => desk.failures.length === 1, "the failure");
  await desk.manager.want([]);
  await desk.manager.want([A]);
  await desk.manager.want([A, B]);
  await desk.until(() => desk.failures.length === 2, "the failure of the other");
  assert.deepEqual(desk.failures.map(({ names: [name] }) => name), ["a.example.com", "b.example.com"]);
  desk.ahead = 10 * 60_000;
  await desk.until(() => desk.failures.length === 4, "both failures, later");
});

Deno.test("a clock that is set back while a failure is waited for makes nothing wait longer", async () => {
  let ahead = 86_400_000;
  const seen = Promise.withResolvers<void>();
  await using desk = new Desk({
    now() {
      if (ahead === 0) seen.resolve();
      return Date.now() + ahead;
    },
  });
  await desk.manager.want([A]);
  await desk.until(() => desk.failures.length === 1, "the failure");
  ahead = 0;
  await seen.promise;
  ahead = 10 * 60_000;
  await desk.until(() => desk.failures.length === 2, "the next try");
});

Deno.test("a CA certificate that is none fails orders, and does not end the care", async () => {
  await using desk = new Desk({ ca: "no PEM" });
  await writeStored(desk, NO_CA);
  await desk.manager.want([A, B]);
  await desk.until(() => desk.failures.length === 1, "the failure");
  assert.equal(desk.failures[0]?.error.kind, "CERTIFICATE_INVALID");
  assert.ok(desk.manager.renewNow("a.example.com"));
  await desk.until(() => desk.failures.length === 2, "the next failure");
});

Deno.test("a listener that throws does not end the care for the other certificates", async () => {
  let told = 0;
  await using desk = new Desk({
    onFailure: () => {
      told++;
      throw new Error("listener");
    },
  });
  await desk.manager.want([A]);
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setInterval(() => told > 0 && resolve(), 5);
  await promise;
  clearInterval(timer);
  assert.ok(desk.manager.renewNow("a.example.com"));
});

Deno.test("when the CA advises to renew now, an order follows long before the time that we would choose", async () => {
  await using ca: FakeCa = await startFakeCa(({ url }) => {
    if (url.endsWith("/dir")) return Response.json({ renewalInfo: `${ca.origin}/info` });
    return Response.json({ suggestedWindow: { start: "2020-01-01T00:00:00Z", end: "2020-01-02T00:00:00Z" } });
  });
  const directory = `${ca.origin}/dir`;
  await using desk = new Desk({ directory, ca: ca.ca });
  await writeStored(desk, directory);
  await desk.manager.want([A]);
  assert.equal(desk.pairs.length, 1);
  // This CA can say nothing else: that an order was tried is what counts.
  await desk.until(() => desk.failures.length === 1, "the order");
  assert.deepEqual(ca.asked.slice(0, 2), ["GET /dir", `GET /info/${RENEWAL_ID}`]);
});

Deno.test("a CA's wish to wait is heeded", async () => {
  await using ca = await startFakeCa(() => Response.json({}, { status: 429, headers: { "retry-after": "7200" } }));
  await using desk = new Desk({ directory: `${ca.origin}/dir`, ca: ca.ca });
  await desk.manager.want([A]);
  await desk.until(() => desk.failures.length === 1, "the failure");
  assert.equal(desk.failures[0]?.error.kind, "ACME_RATE_LIMITED");
  assert.ok(desk.failures[0]!.retryAt.getTime() - Date.now() > 7_100_000);
});

/** How often a manager that begins anew in the folder has an order fail at once; null when it waits. */
async function startAnew(options: Partial<CertificateManagerOptions> & { ca?: string }): Promise<Failure | null> {
  await using desk = new Desk(options);
  await desk.manager.want([A]);
  const [waits] = desk.failures;
  if (waits !== undefined) {
    // It is told at once, and nothing is asked.
    assert.deepEqual(desk.steps, []);
    return null;
  }
  await desk.until(() => desk.failures.length === 1, "the failure");
  return desk.failures[0] ?? null;
}

Deno.test("what fails is not ordered again by restarts for ever; a person or another configuration makes it so", async () => {
  // Its answer to everything is an order's refusal.
  await using ca = await startFakeCa(() => Response.json({}, { status: 403 }));
  const folder = await Deno.makeTempDir();
  const options = { directory: `${ca.origin}/dir`, ca: ca.ca, folder };
  const file = join(caFolder(folder, options.directory), "failed.json");
  const waitOf = (failure: Failure | null) => Math.round(((failure?.retryAt.getTime() ?? 0) - Date.now()) / 60_000);
  // The first restart is free, and the ladder goes on.
  assert.equal(waitOf(await startAnew(options)), 1);
  assert.equal(Deno.statSync(file).mode! & 0o777, 0o600);
  const second = waitOf(await startAnew(options));
  assert.ok(second >= 5 && second <= 6, `${second}`);
  const asked = ca.asked.length;
  {
    await using desk = new Desk(options);
    await desk.manager.want([A, B]);
    // The other name has nothing to do with it.
    await desk.until(() => desk.failures.some(({ names }) => names[0] === "b.example.com"), "the other's failure");
    const [{ names, error, retryAt } = assert.fail()] = desk.failures;
    assert.deepEqual([names, error.kind], [A.names, "ACME_REFUSED"]);
    assert.match(error.message, /^Cannot get a certificate for a\.example\.com: the CA .* refuses/);
    assert.ok(retryAt.getTime() > Date.now() + 3 * 60_000);
    const hints = desk.warnings.map(({ hint }) => hint);
    assert.deepEqual(hints, [`to try at once, remove ${file} and restart`, "to try at once, restart"]);
    // When the time has come, the third step.
    desk.ahead = 10 * 60_000;
    await desk.until(() => desk.failures.filter(({ names }) => names[0] === "a.example.com").length === 2, "the third");
    const third = desk.failures.findLast(({ names }) => names[0] === "a.example.com")!;
    assert.ok(third.retryAt.getTime() - desk.ahead - Date.now() > 14 * 60_000);
  }
  assert.ok(ca.asked.length > asked);
  // By a clock that is right again it waits no longer than it would have.
  assert.equal(await startAnew(options), null);
  assert.equal(waitOf(await startAnew({ ...options, email: "me@example.com" })), 1, "another account");
  await Deno.remove(file);
  assert.equal(waitOf(await startAnew(options)), 1);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a restart asks again at once when nobody was reached, but not when the CA asked to wait", async () => {
  const folder = await Deno.makeTempDir();
  for (let start = 0; start < 4; start++) {
    assert.equal((await startAnew({ directory: NO_CA, folder }))?.error.kind, "ACME_UNREACHABLE");
  }
  await using ca = await startFakeCa(() => Response.json({}, { status: 429, headers: { "retry-after": "7200" } }));
  const options = { directory: `${ca.origin}/dir`, ca: ca.ca, folder };
  assert.equal((await startAnew(options))?.error.kind, "ACME_RATE_LIMITED");
  assert.equal(await startAnew(options), null);
  // A file that is damaged or others may write is as none.
  await Deno.writeTextFile(join(caFolder(folder, options.directory), "failed.json"), "{");
  assert.equal((await startAnew(options))?.error.kind, "ACME_RATE_LIMITED");
  await Deno.remove(folder, { recursive: true });
});
