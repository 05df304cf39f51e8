import assert from "node:assert/strict";
import { join } from "node:path";
import { type Pebble, type PebbleOptions, startPebble } from "../net/acme/testing/pebble.ts";
import {
  ACME_PROGRAMS,
  clockAhead,
  freePort,
  type ProgramProcess,
  programTest,
  runProgram,
  spawnProgram,
  spawnSpokes,
  startBrowser,
  type TempDir,
  tempDir,
} from "./harness.ts";

const BLOG = "blog.example.com";
const PAGE = "<h1>A page of the blog</h1>";
const DAY_SECONDS = 86_400;

/** Where everything of a test is. */
interface Place {
  readonly folder: TempDir;
  readonly httpPort: number;
  readonly tlsPort: number;
  /** The client's configuration. */
  readonly config: string;
  /** The folder that is published. */
  readonly webroot: string;
}

async function choosePlace(folder: TempDir): Promise<Place> {
  const webroot = join(folder.path, "site");
  await Deno.mkdir(webroot);
  await Deno.writeTextFile(join(webroot, "index.html"), PAGE);
  const [httpPort, tlsPort] = [await freePort(), await freePort()];
  return { folder, httpPort, tlsPort, config: join(folder.path, "config.json"), webroot };
}

/** Starts a CA whose root certificate is where the configurations say. */
async function startCa(
  { folder, httpPort, tlsPort }: Place,
  options: Partial<PebbleOptions> = {},
): Promise<Pebble> {
  const ca = await startPebble({ httpPort, tlsPort, ...options });
  await folder.write("ca.pem", ca.ca);
  return ca;
}

async function pktriot({ config }: Place, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runProgram("pktriot", ["--config", config, ...args]);
  assert.equal(code, 0, `${args.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

/** Makes the client one of the server, with a CA of its own. */
async function configure(place: Place, { directory }: Pebble, invite: string): Promise<void> {
  await pktriot(place, "configure", invite);
  const config = JSON.parse(await Deno.readTextFile(place.config));
  await place.folder.write("config.json", JSON.stringify({ ...config, acme: { directory, ca: "ca.pem" } }));
}

async function addBlog(place: Place): Promise<string> {
  const { webroot } = place;
  const options = ["--domain", BLOG, "--webroot", webroot, "--letsencrypt", "--redirect"];
  return await pktriot(place, "route", "http", "add", ...options);
}

/** Settles with the day until when the client says that its certificate is good. */
async function ready({ program }: ProgramProcess): Promise<string> {
  const [, day = ""] = await program.printed(
    /^https:\/\/blog\.example\.com:\d+ is ready, certificate until (\d{4}-\d{2}-\d{2})$/m,
  );
  return day;
}

function steps({ log }: ProgramProcess, names: string): unknown[] {
  return log.all("certificate", { names }).map(({ fields }) => fields.step);
}

programTest(
  "the command of the README gives visitors a padlock, step by step before one's eyes",
  ACME_PROGRAMS,
  async () => {
    await using folder = await tempDir();
    const place = await choosePlace(folder);
    const refused = "refused.example.com";
    await using ca = await startCa(place, { blocklist: [refused] });
    await using spokes = await spawnSpokes({ ...place, yaml: "domains: { without_proof: [example.com] }\n" });
    await configure(place, ca, await spokes.invite());
    const added = await addBlog(place);
    assert.equal(added.split("\n")[0], "HTTP/S traffic rule added");
    assert.match(added, new RegExp(`^https://${BLOG}:${place.tlsPort} -> ${place.webroot}$`, "m"));
    await pktriot(place, "route", "http", "add", "--domain", refused, "--webroot", place.webroot, "--letsencrypt");
    await using started = spawnProgram("pktriot", ["--config", place.config, "start"]);
    await ready(started);
    assert.deepEqual(steps(started, BLOG).slice(0, -1), ["ordering", "challenge http-01 ready", "validated"]);
    const browser = await startBrowser(ca, place);
    assert.match(await browser.get(`http://${BLOG}/`, "-i"), /^HTTP\/1\.1 301 /);
    assert.equal(await browser.get(`http://${BLOG}/`, "-L"), PAGE);
    await started.log.waitFor("rule has a fault", { rule: `http/${refused}`, code: "E7001" });
    const listed = await pktriot(place, "route", "http", "ls");
    assert.match(listed, /\| blog\.example\.com +\| +\| 0 +\| true +\|/);
    assert.match(listed, /^Warning: http\/refused\.example\.com: .*rejectedIdentifier.*; next try at 20.* \(E7001\)$/m);
    assert.doesNotMatch(listed, /Inactive|http\/blog/);
  },
);

programTest(
  "months later a certificate that is due is renewed while it serves, and one that has expired is replaced",
  [...ACME_PROGRAMS, "faketime"],
  async () => {
    await using folder = await tempDir();
    const place = await choosePlace(folder);
    const name = "tunnels.localhost";
    await using stack = new AsyncDisposableStack();
    const first = stack.use(await startCa(place, { validityPeriodSeconds: 90 * DAY_SECONDS }));
    const acme = `acme: { directory: "${first.directory}", ca: "${join(folder.path, "ca.pem")}" }\n`;
    const spokes = stack.use(
      await spawnSpokes({ ...place, yaml: `domains: { without_proof: [example.com] }\n${acme}` }),
    );
    await configure(place, first, await spokes.invite());
    await addBlog(place);
    {
      await using started = spawnProgram("pktriot", ["--config", place.config, "start"]);
      assert.equal(await ready(started), dayIn(90));
    }
    await spokes.kill("SIGTERM");
    await first[Symbol.asyncDispose]();
    // Certificates of the next one are good for five years.
    await using next = await startCa(place, { port: first.port });
    await using later = spawnProgram("spokes", ["--config", spokes.config, "start"], { env: await clockAhead(70) });
    await later.log.waitFor("ready");
    await using muchLater = spawnProgram("pktriot", ["--config", place.config, "start"], {
      env: await clockAhead(100),
    });
    assert.ok(await ready(muchLater) > dayIn(1_000));
    const { fields } = await muchLater.log.waitFor("stored certificate not used", { names: BLOG });
    assert.match(String(fields.reason), /it expired on /);
    await later.log.waitFor("certificate", { names: name, step: "validated" });
    assert.deepEqual(later.log.all("stored certificate not used"), []);
    const browser = await startBrowser(next, place);
    assert.equal(await browser.get(`https://${BLOG}/`), PAGE);
  },
);

function dayIn(days: number): string {
  return new Date(Date.now() + days * DAY_SECONDS * 1000).toISOString().slice(0, 10);
}
