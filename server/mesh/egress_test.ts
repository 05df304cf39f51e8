import assert from "node:assert/strict";
import { type Destination, parseDestination } from "../../protocol/destination.ts";
import type { LookUp } from "./look_up.ts";
import { ANONYMOUS, fakeIdentity, fakeTunnel } from "./testing/fake_rules.ts";
import { closedPort, exchange, localServer, setUpMesh, waiting } from "./testing/mesh_setup.ts";

const ALICE = fakeIdentity(fakeTunnel("laptop"));
const NAME = "db.srv.local";
/** What every name is, in tests of what must not be reached. */
function loopback(): ReturnType<LookUp> {
  return Promise.resolve(["127.0.0.1"]);
}

/** A destination as it crosses the wire: nobody has looked at its host. */
function raw(host: string, port: number): Destination {
  return { transport: "tcp", host, port };
}

Deno.test("a host outside is reached by an address that an entry names, and by a name whose address one names", async () => {
  await using target = await localServer();
  const allow = ["127.0.0.1", NAME];
  await using setup = setUpMesh({ mesh: { allow }, lookUp: loopback });
  for (const host of ["127.0.0.1", "::ffff:127.0.0.1", NAME, "DB.srv.local."]) {
    const { duplex, to } = await setup.mesh.open(ALICE, raw(host, target.port), waiting());
    assert.equal(to, `127.0.0.1:${target.port}`);
    assert.equal(await exchange(duplex, "you"), "hello you");
  }
  assert.equal(target.count, 4);
});

/** Ways to write 127.0.0.1 and other places of the server's own network. */
const SPELLINGS = [
  ...["127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "017700000001", "0"],
  ...[
    "127.000.000.001",
    "127.0.0.1.",
    "0.0.0.0",
    "[127.0.0.1]",
    "127.0.0.1%lo",
    "127。0。0。1",
    "127.0.0.1\u0000",
    "１２７.0.0.1",
  ],
  ...["::1", "[::1]", "::", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::ffff:7f00:1", "[::ffff:7f00:1]", "::127.0.0.1"],
  ...["64:ff9b::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1", "2001:0:7f00:1::1", "fe80::1%eth0", "::1%lo"],
  ...[
    "localhost",
    "localhost.",
    "LOCALHOST",
    "a.localhost",
    "db.srv.local\u0000.evil",
    "db.srv.local..",
    ".db.srv.local",
  ],
  ...["169.254.169.254", "0xa9fea9fe", "2852039166", "fd00:ec2::254", "::ffff:169.254.169.254", "metadata.internal"],
  ...[
    "a".repeat(256),
    `${"a.".repeat(127)}a`,
    "",
    " ",
    "db srv",
    "db_srv.srv.local",
    "xn--.srv.local",
    "%31%32%37.0.0.1",
  ],
];

Deno.test("no spelling leads into the server's own network, whatever else is allowed", async () => {
  await using target = await localServer();
  const allow = [
    "0.0.0.0/0",
    "::/0",
    "*.srv.local",
    "localhost",
    "*.localhost",
    "*.internal",
    "db.srv.local",
    `${"a.".repeat(100)}a`,
  ];
  await using setup = setUpMesh({ mesh: { allow }, lookUp: loopback });
  for (const host of [...SPELLINGS, NAME]) {
    await assert.rejects(setup.mesh.open(ALICE, raw(host, target.port), waiting()), (error: { kind: string }) => {
      return ["DESTINATION_INVALID", "DESTINATION_UNKNOWN", "DESTINATION_FORBIDDEN"].includes(error.kind);
    }, JSON.stringify(host));
  }
  assert.equal(target.count, 0);
  assert.equal(setup.mesh.streams, 0);
});

Deno.test("without an entry nothing outside is reached, and no name is looked up", async () => {
  await using target = await localServer();
  const asked: string[] = [];
  await using setup = setUpMesh({
    mesh: { allow: [`${NAME}:1`] },
    lookUp: (name) => {
      asked.push(name);
      return loopback();
    },
  });
  for (const host of [NAME, "8.8.8.8", "127.0.0.1", "example.com"]) {
    await assert.rejects(setup.mesh.open(ALICE, raw(host, target.port), waiting()), { kind: "DESTINATION_UNKNOWN" });
  }
  await assert.rejects(setup.mesh.open(ANONYMOUS, raw(NAME, 1), waiting()), { kind: "DESTINATION_DENIED" });
  assert.deepEqual(asked, []);
});

Deno.test("a name that answers otherwise the second time is looked up once, and what was checked is dialled (rebinding)", async () => {
  await using target = await localServer();
  const answers = [["127.0.0.2"], ["127.0.0.1"]];
  let asked = 0;
  await using setup = setUpMesh({
    // That address is named, so that it is judged well; nobody listens there.
    mesh: { allow: [NAME, "127.0.0.2"] },
    lookUp: () => Promise.resolve(answers[Math.min(asked++, 1)]!),
  });
  await assert.rejects(setup.mesh.open(ALICE, raw(NAME, target.port), waiting()), { kind: "TARGET_REFUSED" });
  assert.equal(asked, 1);
  await assert.rejects(setup.mesh.open(ALICE, raw(NAME, target.port), waiting()), { kind: "DESTINATION_FORBIDDEN" });
  assert.equal(target.count, 0);
});

for (
  const answers of [
    ["93.184.216.34", "127.0.0.1"],
    ["127.0.0.1", "93.184.216.34"],
    ["10.1.2.3", "::1"],
    ["10.1.2.3", "::ffff:127.0.0.1"],
    ["93.184.216.34", "169.254.169.254"],
    ["2606:4700::1111", "fd00:ec2::254"],
    ["93.184.216.34", "64:ff9b::7f00:1"],
  ]
) {
  Deno.test(`of the answers ${answers.join(" and ")} none is dialled`, async () => {
    await using target = await localServer();
    await using setup = setUpMesh({ mesh: { allow: [NAME] }, lookUp: () => Promise.resolve(answers) });
    await assert.rejects(setup.mesh.open(ALICE, raw(NAME, target.port), waiting()), {
      kind: "DESTINATION_FORBIDDEN",
      message: `${NAME}:${target.port} leads to an address that the allow-list does not permit`,
    });
    assert.equal(target.count, 0);
  });
}

for (
  const answers of [
    [],
    ["not an address"],
    ["10.0.0.1%eth0"],
    Array.from({ length: 65 }, (_, n) => `10.0.0.${n}`),
  ]
) {
  Deno.test(`a name with ${answers.length} answers such as ${answers[0]} cannot be used`, async () => {
    await using setup = setUpMesh({ mesh: { allow: [NAME] }, lookUp: () => Promise.resolve(answers) });
    await assert.rejects(setup.mesh.open(ALICE, raw(NAME, 5432), waiting()), { kind: "TARGET_DNS" });
  });
}

Deno.test("a name that cannot be resolved says so", async () => {
  await using setup = setUpMesh({
    mesh: { allow: [NAME] },
    lookUp: () => Promise.reject(new Deno.errors.TimedOut("nobody answered")),
  });
  await assert.rejects(setup.mesh.open(ALICE, raw(NAME, 5432), waiting()), {
    kind: "TARGET_DNS",
    message: `The name "${NAME}" cannot be resolved: nobody answered`,
  });
});

Deno.test("addresses are tried one after the other", async () => {
  await using target = await localServer();
  await using setup = setUpMesh({
    mesh: { allow: [NAME, "127.0.0.0/8"] },
    lookUp: () => Promise.resolve(["127.0.0.3", "127.0.0.2", "127.0.0.1"]),
  });
  const { duplex, to } = await setup.mesh.open(ALICE, raw(NAME, target.port), waiting());
  assert.equal(to, `127.0.0.1:${target.port}`);
  assert.equal(await exchange(duplex, "you"), "hello you");
  const nobody = await closedPort();
  await assert.rejects(setup.mesh.open(ALICE, raw(NAME, nobody), waiting()), {
    kind: "TARGET_REFUSED",
    // Nothing of the addresses behind the name.
    message: `${NAME}:${nobody} cannot be reached: ECONNREFUSED`,
  });
});

Deno.test("the server's own listeners are never reached, whatever the list says (R19)", async () => {
  await using admin = await localServer("secret");
  const allow = ["127.0.0.0/8", `127.0.0.1:${admin.port}`, NAME, "::1", "0.0.0.0/8"];
  await using setup = setUpMesh({ mesh: { allow }, lookUp: loopback, ownPorts: [admin.port] });
  for (const host of ["127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", NAME]) {
    await assert.rejects(setup.mesh.open(ALICE, raw(host, admin.port), waiting()), { kind: "DESTINATION_FORBIDDEN" });
  }
  assert.equal(admin.count, 0);
});

Deno.test("whoever goes while a name is looked up or dialled is waited for no more", async () => {
  const asked = Promise.withResolvers<void>();
  await using setup = setUpMesh({
    mesh: { allow: [NAME] },
    lookUp: (_name, signal) => {
      asked.resolve();
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    },
  });
  const gone = new AbortController();
  const opening = setup.mesh.open(ALICE, raw(NAME, 5432), { signal: gone.signal });
  await asked.promise;
  assert.equal(setup.mesh.streams, 1);
  gone.abort();
  await assert.rejects(opening, { kind: "STREAM_RESET" });
  assert.equal(setup.mesh.streams, 0);
});

Deno.test("a policy for addresses is asked when the name is resolved", async () => {
  await using target = await localServer();
  await using setup = setUpMesh({
    mesh: { allow: [NAME, "127.0.0.1"], policy: [{ from: ["*"], to: ["cidr:127.0.0.0/8"], action: "deny" }] },
    lookUp: loopback,
  });
  await assert.rejects(setup.mesh.open(ALICE, parseDestination(`${NAME}:${target.port}`), waiting()), {
    kind: "DESTINATION_DENIED",
  });
  assert.equal(target.count, 0);
});
