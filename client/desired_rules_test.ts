import assert from "node:assert/strict";
import { join } from "node:path";
import { SILENT } from "../net/log.ts";
import { testCertificate } from "../net/testing/certificate.ts";
import type { ControlMessageOf } from "../protocol/message.ts";
import type { HttpRule } from "../protocol/rule.ts";
import { DesiredRules } from "./desired_rules.ts";
import type { ClientEvent, ClientRule } from "./options.ts";

const HOSTNAME = "calm-fox-12345.example.com";

interface Setup extends AsyncDisposable {
  readonly folder: string;
  readonly rules: DesiredRules;
  readonly events: ClientEvent[];
  /** The next rules that are sent. */
  sent(): Promise<ControlMessageOf<"rules">>;
}

async function setUp(rules: (folder: string) => readonly ClientRule[]): Promise<Setup> {
  const folder = await Deno.makeTempDir();
  const messages: ControlMessageOf<"rules">[] = [];
  const events: ClientEvent[] = [];
  let wake = (): void => {};
  const desired = new DesiredRules({
    ...{ rules: rules(folder), acme: undefined, log: SILENT, lookMs: 5 },
    send(message) {
      messages.push(message);
      wake();
    },
    onEvent: (event) => events.push(event),
  });
  const ending = new AbortController();
  const watching = desired.watch(ending.signal);
  return {
    ...{ folder, events, rules: desired },
    async sent() {
      while (messages.length === 0) await new Promise<void>((resolve) => wake = resolve);
      return messages.shift()!;
    },
    async [Symbol.asyncDispose]() {
      ending.abort();
      await watching;
      await desired[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

function faults({ rules }: ControlMessageOf<"rules">): (string | undefined)[] {
  return rules.map(({ fault }) => fault?.code);
}

Deno.test("one rule with a fault is closed, the others are not; both ways it is told to the server", async () => {
  await using setup = await setUp((folder) => [
    { kind: "http", target: join(folder, "site") },
    { kind: "tcp", port: 22_001, target: "22" },
  ]);
  await setup.rules.publish(HOSTNAME);
  const first = await setup.sent();
  assert.deepEqual(faults(first), ["E5008", undefined]);
  const open = { kind: "open", revision: 1, protocol: "http", visitor: { address: "192.0.2.1", port: 1 } } as const;
  const { resolver } = setup.rules;
  assert.throws(() => resolver.resolve({ ...open, rule: `http/${HOSTNAME}` }), { kind: "WEBROOT_UNREADABLE" });
  assert.equal(resolver.resolve({ ...open, rule: "tcp/22001" }).kind, "socket");
  await Deno.mkdir(join(setup.folder, "site"));
  const second = await setup.sent();
  assert.deepEqual(faults(second), [undefined, undefined]);
  assert.ok(second.revision > first.revision);
  await Deno.remove(join(setup.folder, "site"));
  assert.deepEqual(faults(await setup.sent()), ["E5008", undefined]);
});

Deno.test("a rule without a usable certificate is published with its fault, and the key stays here", async () => {
  await using setup = await setUp((folder) => {
    const files = { certificateFile: join(folder, "chain.pem"), keyFile: join(folder, "key.pem") };
    return [{ kind: "http", target: "1", redirect: true, tls: { end: "client", certificate: files } }];
  });
  await setup.rules.publish(HOSTNAME);
  const closed = await setup.sent();
  assert.deepEqual(faults(closed), ["E6002"]);
  const { certificate, key } = await testCertificate(HOSTNAME);
  await Deno.writeTextFile(join(setup.folder, "key.pem"), key, { mode: 0o600 });
  await Deno.writeTextFile(join(setup.folder, "chain.pem"), certificate);
  let open = await setup.sent();
  // A look may have come between the two files.
  while (open.rules[0]?.fault !== undefined) open = await setup.sent();
  const { notAfter, ...rule } = open.rules[0] as HttpRule;
  assert.deepEqual(rule, {
    ...{ kind: "http", domain: HOSTNAME, target: "127.0.0.1:1", firewall: [], tls: "client", redirect: true },
  });
  assert.ok(Date.parse(notAfter ?? "") > Date.now());
  // What cannot take its place is told while it goes on to serve.
  await Deno.chmod(join(setup.folder, "key.pem"), 0o644);
  const warned = (await setup.sent()).rules[0] as HttpRule;
  assert.deepEqual([warned.fault, warned.notAfter, warned.warning?.code], [undefined, notAfter, "E6002"]);
  assert.match(warned.warning?.message ?? "", /key\.pem.*chmod 600/);
  await Deno.chmod(join(setup.folder, "key.pem"), 0o600);
  assert.equal(((await setup.sent()).rules[0] as HttpRule).warning, undefined);
});

Deno.test("whoever sets rules hears of the newest, also when something changed meanwhile", async () => {
  await using setup = await setUp((folder) => [{ kind: "http", target: folder }]);
  await setup.rules.publish(HOSTNAME);
  await setup.sent();
  const setting = setup.rules.set([{ kind: "http", target: join(setup.folder, "later") }], HOSTNAME);
  const first = await setup.sent();
  await Deno.mkdir(join(setup.folder, "later"));
  const second = await setup.sent();
  const states = [{ id: `http/${HOSTNAME}`, state: "active" }] as const;
  setup.rules.onApplied(first.revision, []);
  setup.rules.onApplied(second.revision, states);
  assert.deepEqual(await setting, states);
});

Deno.test("certificates are ordered for rules that the server has let us have, and for no others", async () => {
  const folder = await Deno.makeTempDir();
  const told = Promise.withResolvers<Extract<ClientEvent, { kind: "certificate" }>>();
  const asked: string[] = [];
  let revision = 0;
  const byAuthority = { kind: "http", target: "1", tls: { end: "client", certificate: "acme" } } as const;
  const rules = new DesiredRules({
    rules: [{ ...byAuthority, domain: "theirs.example" }, byAuthority, { ...byAuthority, domain: "localhost" }],
    // Nobody is there.
    acme: { folder: join(folder, "acme"), directory: "https://127.0.0.1:9/dir" },
    log: SILENT,
    send: (message) => revision = message.revision,
    onEvent(event) {
      if (event.kind !== "certificate") return;
      asked.push(event.domain);
      if (event.domain === HOSTNAME && event.step.startsWith("failed")) told.resolve(event);
    },
  });
  try {
    await rules.publish(HOSTNAME);
    rules.onApplied(revision, [
      { id: "http/theirs.example", state: "inactive", code: "E4001" },
      { id: `http/${HOSTNAME}`, state: "active" },
      // No authority knows such names; the others get theirs all the same.
      { id: "http/localhost", state: "active" },
    ]);
    assert.match((await told.promise).step, /failed: .*; next try at 20/);
    assert.deepEqual([...new Set(asked)].sort(), [HOSTNAME, "localhost"]);
  } finally {
    await rules[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a rule that becomes active by itself gets its certificate, and what is amiss with that is told to the server", async () => {
  const folder = await Deno.makeTempDir();
  const messages: ControlMessageOf<"rules">[] = [];
  const warned = Promise.withResolvers<ControlMessageOf<"rules">>();
  const rules = new DesiredRules({
    rules: [{ kind: "http", target: "1" }, {
      ...{ kind: "http", domain: "mine.example", target: "1" },
      tls: { end: "client", certificate: "acme" },
    }],
    // Nobody is there.
    acme: { folder: join(folder, "acme"), directory: "https://127.0.0.1:9/dir" },
    log: SILENT,
    send(message) {
      messages.push(message);
      if (message.rules.some((rule) => rule.kind === "http" && rule.warning !== undefined)) warned.resolve(message);
    },
    onEvent() {},
  });
  try {
    await rules.publish(HOSTNAME);
    const open = { id: `http/${HOSTNAME}`, state: "active" } as const;
    rules.onApplied(messages[0]!.revision, [open, { id: "http/mine.example", state: "inactive", code: "E4016" }]);
    rules.onApplied(0, [{ id: "http/mine.example", state: "active" }]);
    const { rules: [plain, mine], revision } = await warned.promise;
    assert.ok(plain?.kind === "http" && plain.warning === undefined);
    assert.ok(mine?.kind === "http" && mine.fault === undefined);
    assert.equal(mine.warning?.code, "E7002");
    assert.match(mine.warning?.message ?? "", /does not answer.*; next try at 20/);
    assert.ok(revision > messages[0]!.revision);
  } finally {
    await rules[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a rule that wants a certificate from an authority needs one to be set up", () => {
  const options = { acme: undefined, log: SILENT, send() {}, onEvent() {} };
  const rules = [{ kind: "http", target: "1", tls: { end: "client", certificate: "acme" } }] as const;
  assert.throws(() => new DesiredRules({ ...options, rules }), { kind: "RULE_INVALID" });
});
