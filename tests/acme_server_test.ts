import assert from "node:assert/strict";
import { once } from "node:events";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { type Pebble, type PebbleOptions, startPebble } from "../net/acme/testing/pebble.ts";
import {
  ACME_PROGRAMS,
  type Browser,
  eventually,
  freePort,
  programTest,
  secure,
  serialShown,
  type ServerSetup,
  SOAK,
  startBrowser,
  startServer,
  startTunnel,
  stepsOf,
  type TempDir,
  tempDir,
  type TestServer,
  within,
} from "./harness.ts";

const DOMAIN = "tunnels.example.test";
const HOSTNAME = "connect.example.test";
const SHOP = "shop.example.org";

/** A CA that asks at the ports of the server that is to be started with these options. */
interface Setup {
  readonly ca: Pebble;
  readonly folder: TempDir;
  readonly options: ServerSetup & Required<Pick<ServerSetup, "acme">>;
  readonly browser: Browser;
  readonly tlsPort: number;
}

async function withCa(options: Partial<PebbleOptions>, test: (setup: Setup) => Promise<void>): Promise<void> {
  await using folder = await tempDir();
  const [httpPort, tlsPort] = [await freePort(), await freePort()];
  await using ca = await startPebble({ httpPort, tlsPort, ...options });
  await test({
    ...{ ca, folder, tlsPort, browser: await startBrowser(ca, { folder, httpPort, tlsPort }) },
    options: {
      ...{ domain: DOMAIN, hostname: HOSTNAME, stateDir: join(folder.path, "state") },
      http: { hostname: "127.0.0.1", port: httpPort },
      tls: { hostname: "127.0.0.1", port: tlsPort },
      acme: { directory: ca.directory, ca: ca.ca, email: "me@example.test" },
      domains: { withoutProof: ["example.org"], resolvers: [`${ca.dns.ipAddr}:${ca.dns.port}`] },
    },
  });
}

/** A hook that sets the records at the CA's DNS. */
async function writeHook({ ca, folder }: Setup): Promise<string> {
  const path = await folder.write(
    "dns-hook.sh",
    `#!/bin/sh
set -eu
case $1 in
present) curl -fsS -d "{\\"host\\":\\"$2.\\",\\"value\\":\\"$3\\"}" ${ca.dnsApi}/set-txt ;;
cleanup) curl -fsS -d "{\\"host\\":\\"$2.\\"}" ${ca.dnsApi}/clear-txt ;;
esac
echo "$1 $2" >>"\${0%/*}/hook.log"
`,
  );
  await Deno.chmod(path, 0o700);
  return path;
}

/** Settles when the server has a certificate for these names. */
async function issued({ log }: TestServer, names: string): Promise<void> {
  await eventually(
    () => log.all("certificate", { names }).some(({ fields }) => String(fields.step).startsWith("issued until")),
    () => `${names} among ${JSON.stringify(log.entries)}`,
  );
}

programTest(
  "the server gets a certificate for its own name, a wildcard by its DNS hook, and one for a custom domain; all outlive the CA",
  ACME_PROGRAMS,
  async () => {
    await withCa({}, async (setup) => {
      const { ca, folder, browser, tlsPort } = setup;
      const dnsHook = await writeHook(setup);
      const options = { ...setup.options, acme: { ...setup.options.acme, dnsHook } };
      const atServer = {
        kind: "http",
        domain: SHOP,
        target: () => new Response("shop"),
        tls: { end: "server" },
      } as const;
      const plain = { kind: "http", target: () => new Response("assigned") } as const;
      let identity;
      {
        await using server = await startServer(options);
        await using tunnel = await startTunnel(server, [plain, atServer]);
        identity = tunnel.identity;
        for (const names of [HOSTNAME, `*.${DOMAIN}, ${DOMAIN}`, SHOP]) await issued(server, names);
        assert.equal(await browser.get(`https://${tunnel.hostname}/`), "assigned");
        assert.equal(await browser.get(`https://${SHOP}/`), "shop");
        (await secure({ tlsPort, name: HOSTNAME, ca: browser.root })).destroy();
        // What the client was told of its rules follows.
        const address = `https://${tunnel.hostname}:${tlsPort}`;
        await eventually(
          () =>
            tunnel.events.some((event) =>
              event.kind === "rules" && event.states.some((state) => state.address === address)
            ),
          address,
        );
        const hook = await Deno.readTextFile(join(folder.path, "hook.log"));
        const record = `_acme-challenge.${DOMAIN}`;
        assert.deepEqual(hook.trim().split("\n").sort(), [
          ...[`cleanup ${record}`, `cleanup ${record}`, `present ${record}`, `present ${record}`],
        ]);
      }
      await ca[Symbol.asyncDispose]();
      await using server = await startServer(options);
      await using tunnel = await startTunnel(server, [plain, atServer], { identity });
      assert.equal(await browser.get(`https://${tunnel.hostname}/`), "assigned");
      assert.equal(await browser.get(`https://${SHOP}/`), "shop");
      // Who pinned the server's own authority comes in by the public name as well, which shows another's certificate.
      await using _user = await startTunnel(server, [], {
        ...{ identity, role: "use", sni: HOSTNAME },
      });
      assert.deepEqual(server.log.all("certificate"), []);
    });
  },
);

programTest(
  "the server proves its name by tls-alpn-01 at its own edge where port 80 does not lead there",
  ACME_PROGRAMS,
  async () => {
    await withCa({ httpPort: await freePort() }, async ({ options, browser, tlsPort }) => {
      await using server = await startServer(options);
      await issued(server, HOSTNAME);
      const steps = server.log.all("certificate", { names: HOSTNAME }).map(({ fields }) => fields.step);
      assert.ok(
        steps.includes("challenge http-01 failed") && steps.includes("challenge tls-alpn-01 ready"),
        steps.join(),
      );
      (await secure({ tlsPort, name: HOSTNAME, ca: browser.root })).destroy();
    });
  },
);

programTest("a tunnel is told why the server has no certificate for its domain", ACME_PROGRAMS, async () => {
  await withCa({ blocklist: [SHOP] }, async ({ options }) => {
    await using server = await startServer(options);
    const rule = { kind: "http", domain: SHOP, target: () => new Response("shop"), tls: { end: "server" } } as const;
    await using tunnel = await startTunnel(server, [rule]);
    const state = await eventually(
      () => tunnel.events.flatMap((event) => event.kind === "rules" ? event.states : []).find(({ code }) => code),
      "the reason",
    );
    assert.deepEqual([state.id, state.state, state.code], [`http/${SHOP}`, "active", "E7001"]);
    assert.match(state.message ?? "", /shop\.example\.org.*rejectedIdentifier.*next try at 20/);
  });
});

/** Handshakes with a name again and again until it is told to stop; gives the serial numbers that it was shown. */
async function visit(where: { tlsPort: number; name: string; ca: string }, signal: AbortSignal): Promise<string[]> {
  const shown: string[] = [];
  while (!signal.aborted) {
    const serial = await serialShown(where);
    if (shown.at(-1) !== serial) shown.push(serial);
  }
  return shown;
}

/** Asks for the page again and again on one connection until it is told to stop. */
async function stay(socket: TLSSocket, signal: AbortSignal): Promise<void> {
  for (let count = 0; count === 0 || !signal.aborted; count++) {
    socket.write(`GET / HTTP/1.1\r\nHost: ${SHOP}\r\n\r\n`);
    let answer = "";
    while (!answer.endsWith("shop")) {
      const [bytes] = await within(once(socket, "data"), `more than "${answer}" of an answer`);
      answer += String(bytes);
    }
    assert.match(answer, /^HTTP\/1\.1 200 /);
  }
  socket.destroy();
}

// The shortest life that is renewed before its end: it rests for 10 s, and is due at half of it.
const LIFE_SECONDS = SOAK ? 60 : 20;
const RENEWALS = SOAK ? 2 : 1;

programTest(
  "certificates that live for a minute or less are renewed in server and client; no handshake fails, no connection ends",
  ACME_PROGRAMS,
  async () => {
    await withCa({ validityPeriodSeconds: LIFE_SECONDS }, async ({ options, browser, tlsPort, folder, ca }) => {
      await using server = await startServer(options);
      const acme = { folder: join(folder.path, "acme"), directory: ca.directory, ca: ca.ca };
      await using tunnel = await startTunnel(server, [{
        ...{ kind: "http", domain: SHOP },
        target: () => new Response("shop", { headers: { "content-length": "4" } }),
        tls: { end: "client", certificate: "acme" },
      }], { acme });
      const ready = (): number => stepsOf(tunnel.events, SHOP).filter((step) => step === "ready").length;
      await issued(server, HOSTNAME);
      await eventually(() => ready() > 0, () => `a certificate after ${stepsOf(tunnel.events, SHOP).join("; ")}`);
      const [atServer, inClient] = [HOSTNAME, SHOP].map((name) => ({ tlsPort, name, ca: browser.root }));
      const enough = new AbortController();
      const visits = Promise.all([
        visit(atServer!, enough.signal),
        visit(inClient!, enough.signal),
        stay(await secure(inClient!), enough.signal),
      ]);
      const ofServer = (): number =>
        server.log.all("certificate", { names: HOSTNAME }).filter(({ fields }) =>
          String(fields.step).startsWith("issued")
        ).length;
      try {
        const done = () => ofServer() > RENEWALS && ready() > RENEWALS;
        await Promise.race([eventually(done, "the renewals", (RENEWALS + 1) * LIFE_SECONDS * 1000), visits]);
      } finally {
        enough.abort();
      }
      const [fromServer = [], fromClient = []] = await visits;
      // The last one may have come after the last visit.
      assert.ok(new Set([...fromServer, await serialShown(atServer!)]).size > RENEWALS, `${fromServer}`);
      assert.ok(new Set([...fromClient, await serialShown(inClient!)]).size > RENEWALS, `${fromClient}`);
    });
  },
);
