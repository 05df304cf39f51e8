import assert from "node:assert/strict";
import { join } from "node:path";
import { testCertificate } from "../net/testing/certificate.ts";
import {
  eventually,
  type HttpTarget,
  httpTarget,
  programTest,
  startServer,
  startTunnel,
  type TempDir,
  tempDir,
  type TestServer,
} from "./harness.ts";
import { openBrowser, type WireRecord } from "./harness/browser.ts";
import { runProgram, spawnProgram } from "./harness/processes.ts";
import { SITE_FILES, SOUND_BYTES, writeWebSite } from "./harness/web_site.ts";

/** No name that browsers take for this machine: `localhost`, and what is below it, has rights that others get by TLS alone. */
const DOMAIN = "tunnels.example";
const SITE = `site.${DOMAIN}`;
const ECHO = `echo.${DOMAIN}`;

/** What is published, and who is to show the certificate. */
interface Setup {
  readonly folder: TempDir;
  /** The folder of the site. */
  readonly site: string;
  readonly echo: HttpTarget;
  /** PEM files of a certificate for all names of the server. */
  readonly files: { readonly certificateFile: string; readonly keyFile: string };
}

async function withSite(visit: (setup: Setup, certificate: string) => Promise<void>): Promise<void> {
  await using folder = await tempDir();
  await using echo = await httpTarget(echoService);
  const site = join(folder.path, "site");
  await writeWebSite(site);
  const { certificate, key } = await testCertificate(`*.${DOMAIN}`);
  await Deno.mkdir(join(folder.path, "certs"));
  const certificateFile = await folder.write("certs/fullchain.pem", certificate);
  const keyFile = await folder.write("certs/privkey.pem", key);
  await visit({ folder, site, echo, files: { certificateFile, keyFile } }, certificate);
}

/** A WebSocket service that sends back what it gets. */
function echoService(request: Request): Response {
  const { socket, response } = Deno.upgradeWebSocket(request);
  socket.onmessage = ({ data }) => socket.send(data);
  return response;
}

/** Visits the site as a person would, looks at everything on it, and comes back. */
async function visit({ httpPort, tlsPort }: TestServer, certificate: string): Promise<void> {
  await using browser = await openBrowser(certificate);
  const { page, wire, complaints } = browser;
  const base = `https://${SITE}:${tlsPort}`;
  await page.goto(`http://${SITE}:${httpPort}/`);
  assert.equal(page.url(), `${base}/`);
  const seen = await page.evaluate(`look("wss://${ECHO}:${tlsPort}/")`);
  assert.deepEqual(complaints, []);
  assert.deepEqual(seen, {
    sum: 3,
    heading: "Grüße",
    colour: "rgb(1, 2, 3)",
    images: [1, 32],
    secure: true,
    protocols: ["http/1.1"],
    row: { requests: 10, kept: true },
    part: [206, `bytes 1000-1999/${SOUND_BYTES}`, 1000],
    sound: [120, 110],
    echo: [1000, true, 5, 100_000],
  });
  await eventually(() => answered(wire, base), `all files to be answered: ${wire.statuses}`);
  assert.ok(wire.statusesOf(`${base}/silence.wav`).includes(206));
  assert.deepEqual(wire.statuses.filter((status) => status >= 400), []);
  wire.forget();
  await page.reload();
  await eventually(() => answered(wire, base), `all files to be answered again: ${wire.statuses}`);
  assert.deepEqual(complaints, []);
  // Of a sound the browser keeps parts, and may want others.
  const whole = SITE_FILES.filter((path) => path !== "/silence.wav");
  for (const path of whole) assert.deepEqual(new Set(wire.statusesOf(base + path)), new Set([304]), path);
}

/** Whether the wire has carried an answer for each file: the icon comes after the page is complete. */
function answered(wire: WireRecord, base: string): boolean {
  return SITE_FILES.every((path) => wire.statusesOf(base + path).length > 0);
}

programTest(
  "chromium shows a site of `--webroot` whose TLS ends in pktriot: modules, images, ranges, 304, WebSocket",
  ["chromium"],
  async () => {
    await withSite(async ({ folder, site, echo, files }, certificate) => {
      await using server = await startServer({ domain: DOMAIN });
      const config = ["--config", join(folder.path, "pktriot.yaml")];
      async function pktriot(...args: string[]): Promise<void> {
        const { code, stderr } = await runProgram("pktriot", [...config, ...args]);
        assert.equal(code, 0, stderr);
      }
      await pktriot("configure", await server.invite());
      const secure = ["--ca", files.certificateFile, "--key", files.keyFile, "--redirect"];
      await pktriot("route", "http", "add", "--domain", SITE, "--webroot", site, ...secure);
      await pktriot("route", "http", "add", "--domain", ECHO, "--target", echo.address, ...secure);
      await using started = spawnProgram("pktriot", [...config, "start"]);
      await started.program.printed(/https:\/\/echo\.\S+ -> /);
      await visit(server, certificate);
    });
  },
);

programTest(
  "chromium shows the same site by the operator's certificate, whose TLS ends at the server",
  ["chromium"],
  async () => {
    await withSite(async ({ folder, site, echo }, certificate) => {
      await using server = await startServer({ domain: DOMAIN, certificatesDir: join(folder.path, "certs") });
      await using tunnel = await startTunnel(server);
      await tunnel.http(site, { domain: SITE, tls: { end: "server" }, redirect: true });
      await tunnel.http(echo.address, { domain: ECHO, tls: { end: "server" } });
      await visit(server, certificate);
    });
  },
);
