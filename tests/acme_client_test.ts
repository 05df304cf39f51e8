import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { CertificateManager } from "../net/acme/certificate_manager.ts";
import { Challenges } from "../net/acme/challenges.ts";
import { type Pebble, type PebbleOptions, startPebble } from "../net/acme/testing/pebble.ts";
import type { ClientAcmeOptions, ClientHttpRule } from "../mod.ts";
import {
  ACME_PROGRAMS,
  type Browser,
  eventually,
  freePort,
  programTest,
  request,
  secure,
  startBrowser,
  startServer,
  startTunnel,
  stepsOf,
  type TempDir,
  tempDir,
  type TestServer,
  type TestTunnel,
} from "./harness.ts";

const BLOG = "blog.example.test";
const PAGE = "<h1>A page of the blog</h1>";

/** A server that lets anybody have names below example.test, a CA that asks it, and a folder. */
interface Setup {
  readonly server: TestServer;
  readonly ca: Pebble;
  readonly folder: TempDir;
  readonly browser: Browser;
  /** How a client gets its certificates. */
  readonly acme: ClientAcmeOptions & { directory: string };
  /** A folder with a page. */
  readonly webroot: string;
}

async function withCa(options: Partial<PebbleOptions>, test: (setup: Setup) => Promise<void>): Promise<void> {
  await using folder = await tempDir();
  await using server = await startServer({ domains: { withoutProof: ["example.test"] } });
  const { httpPort, tlsPort } = server;
  await using ca = await startPebble({ httpPort, tlsPort, ...options });
  const browser = await startBrowser(ca, { folder, httpPort, tlsPort });
  const webroot = join(folder.path, "site");
  await Deno.mkdir(webroot);
  await Deno.writeTextFile(join(webroot, "index.html"), PAGE);
  const acme = { folder: join(folder.path, "acme"), directory: ca.directory, ca: ca.ca, email: "me@example.test" };
  await test({ server, ca, folder, browser, acme, webroot });
}

function byAuthority(target: ClientHttpRule["target"], domain: string): ClientHttpRule {
  return { kind: "http", domain, target, tls: { end: "client", certificate: "acme" } };
}

/** Settles when a client has a certificate for the domain. */
async function certified(tunnel: TestTunnel, domain: string): Promise<void> {
  await eventually(
    () => stepsOf(tunnel.events, domain).includes("ready"),
    () => `a certificate after ${stepsOf(tunnel.events, domain).join("; ")}`,
  );
}

/** All files below a folder, with their modes. */
async function filesBelow(folder: string): Promise<{ path: string; mode: number }[]> {
  const found: { path: string; mode: number }[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (isDirectory) found.push(...await filesBelow(path));
    else found.push({ path, mode: (await Deno.stat(path)).mode! & 0o777 });
  }
  return found;
}

programTest(
  "a client gets a certificate through its own tunnel by http-01, and has it again after a restart without the CA",
  ACME_PROGRAMS,
  async () => {
    await withCa({}, async ({ server, ca, browser, acme, webroot }) => {
      const rules = [{ ...byAuthority(webroot, BLOG), redirect: true }];
      let identity;
      {
        await using tunnel = await startTunnel(server, rules, { acme });
        identity = tunnel.identity;
        await certified(tunnel, BLOG);
        const steps = stepsOf(tunnel.events, BLOG);
        assert.deepEqual(steps.filter((step) => !step.startsWith("issued until")), [
          ...["ordering", "challenge http-01 ready", "validated", "ready"],
        ]);
        assert.equal(await browser.get(`https://${BLOG}/`), PAGE);
        assert.match(
          await browser.get(`http://${BLOG}/a`, "-i"),
          /^HTTP\/1\.1 301 [^]*location: https:\/\/blog\.exam/i,
        );
        assert.equal(await browser.get(`http://${BLOG}/`, "-L"), PAGE);
        await onlyHere(acme.folder, { server, root: browser.root });
      }
      await ca[Symbol.asyncDispose]();
      await using tunnel = await startTunnel(server, rules, { acme, identity });
      await certified(tunnel, BLOG);
      assert.deepEqual(stepsOf(tunnel.events, BLOG), ["ready"]);
      assert.equal(await browser.get(`https://${BLOG}/`), PAGE);
    });
  },
);

/** The certificate that visitors are shown is in the client's folder, with its key, for nobody else. */
async function onlyHere(folder: string, { server, root }: { server: TestServer; root: string }): Promise<void> {
  const files = await filesBelow(folder);
  assert.deepEqual(files.map(({ path, mode }) => [path.split("/").at(-1), mode.toString(8)]).sort(), [
    ["account.pem", "600"],
    [`${BLOG}.pem`, "600"],
  ]);
  const text = await Deno.readTextFile(files.find(({ path }) => path.includes(BLOG))!.path);
  assert.match(text, /^-----BEGIN PRIVATE KEY-----/);
  const stored = new X509Certificate(text.slice(text.indexOf("-----BEGIN CERTIFICATE-----")));
  const socket = await secure({ tlsPort: server.tlsPort, name: BLOG, ca: root });
  assert.equal(socket.getPeerX509Certificate()?.fingerprint256, stored.fingerprint256);
  socket.destroy();
}

programTest("a client proves its name by tls-alpn-01 where port 80 does not lead here", ACME_PROGRAMS, async () => {
  await withCa({ httpPort: await freePort() }, async ({ server, browser, acme, webroot }) => {
    const firewall = [{ action: "drop", network: "0.0.0.0/0" }] as const;
    const closed = { ...byAuthority(webroot, "closed.example.test"), firewall };
    await using tunnel = await startTunnel(server, [byAuthority(webroot, BLOG), closed], { acme });
    await certified(tunnel, BLOG);
    const [first, ...others] = stepsOf(tunnel.events, BLOG).filter((step) => !step.startsWith("issued until"));
    assert.equal(first, "ordering");
    assert.deepEqual(others, [
      ...["challenge http-01 ready", "challenge http-01 failed", "ordering"],
      ...["challenge tls-alpn-01 ready", "validated", "ready"],
    ]);
    assert.equal(await browser.get(`https://${BLOG}/`), PAGE);
    // A firewall keeps visitors out, and no authority.
    await certified(tunnel, closed.domain!);
    await assert.rejects(browser.get("https://closed.example.test/"));
  });
});

programTest(
  "a CA that refuses one name says so where the rule is, and holds up nothing else",
  ACME_PROGRAMS,
  async () => {
    const refused = "refused.example.test";
    await withCa({ blocklist: [refused] }, async ({ server, browser, acme, webroot }) => {
      const rules = [byAuthority(webroot, refused), byAuthority(webroot, BLOG)];
      await using tunnel = await startTunnel(server, rules, { acme });
      await certified(tunnel, BLOG);
      assert.equal(await browser.get(`https://${BLOG}/`), PAGE);
      const [state, good] = await eventually(async () => {
        const { states = [] } = await tunnel.tunnel.request("rule.states", {});
        return states.some(({ code }) => code !== undefined) ? states : undefined;
      }, "the reason in the state of the rule");
      assert.deepEqual([state?.id, state?.state, state?.code], [`http/${refused}`, "active", "E7001"]);
      assert.match(
        state?.message ?? "",
        /^Cannot get a certificate for refused\.example\.test: the CA localhost:\d+ refuses: .*policy.*\(rejectedIdentifier\); use a name that this CA issues for; next try at 20/,
      );
      assert.deepEqual([good?.state, good?.code], ["active", undefined]);
      assert.match(stepsOf(tunnel.events, refused).at(-1) ?? "", /^failed: .*rejectedIdentifier.*next try at 20/);
      assert.equal(tunnel.log.all("certificate order failed", { code: "E7001" }).length, 1);
      // Plain HTTP of the rule goes on; HTTPS is refused, not answered with some other certificate.
      assert.equal(await browser.get(`http://${refused}/`), PAGE);
      await assert.rejects(secure({ tlsPort: server.tlsPort, name: refused, ca: browser.root }), /alert/i);
    });
  },
);

programTest("nobody gets a certificate for the name of another tunnel", ACME_PROGRAMS, async () => {
  await withCa({}, async ({ server, ca, browser, acme, webroot, folder }) => {
    await using owner = await startTunnel(server, [byAuthority(webroot, BLOG)], { acme });
    await certified(owner, BLOG);
    // The server does not let it have the name, so an honest client asks for nothing ...
    const theirs = { ...acme, folder: join(folder.path, "theirs") };
    await using other = await startTunnel(server, [byAuthority(() => new Response("mine"), BLOG)], { acme: theirs });
    assert.deepEqual(other.states.map(({ state, code }) => [state, code]), [["inactive", "E4001"]]);
    assert.deepEqual(stepsOf(other.events, BLOG), []);
    // ... and whoever orders all the same is not the one whom the CA finds.
    const failed = Promise.withResolvers<string>();
    await using manager = new CertificateManager({
      ...{ ...theirs, challenges: new Challenges() },
      onCertificate: () => failed.reject(new Error("a certificate was issued")),
      onFailure: ({ error }) => failed.resolve(`${error.code} ${error.message}`),
    });
    await manager.want([{ names: [BLOG], challenge: ["http-01", "tls-alpn-01"] }]);
    assert.match(await failed.promise, /^E7004 .*http-01 of blog\.example\.test failed.*tls-alpn-01 of blog\.example/);
    assert.match(ca.output, /blog\.example\.test/);
    assert.equal(await browser.get(`https://${BLOG}/`), PAGE);
    // To everybody else the way of the authority shows nothing, whatever stands there in the folder.
    await Deno.mkdir(join(webroot, ".well-known/acme-challenge"), { recursive: true });
    await Deno.writeTextFile(join(webroot, ".well-known/acme-challenge/token"), "not this");
    const path = "/.well-known/acme-challenge/token";
    assert.equal((await request(server.httpPort, { host: BLOG, path })).status, 404);
  });
});
