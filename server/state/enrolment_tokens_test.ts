import assert from "node:assert/strict";
import { openSqliteStore } from "../store/sqlite_store.ts";
import { type CreateEnrolmentTokenOptions, EnrolmentTokens } from "./enrolment_tokens.ts";
import { DEFAULT_GRANTS } from "./grants.ts";
import { assertFails, DAY_MS, setUpState } from "./testing/state_setup.ts";

Deno.test("create() makes a token for one tunnel within 24 hours with quotas, unless said otherwise", async () => {
  await using setup = await setUpState();
  const { enrolmentTokens } = setup.state;
  const { token, record } = await enrolmentTokens.create();
  assert.equal(record.owner, "default");
  assert.equal(record.uses, 1);
  assert.equal(record.expiresAt, setup.clock.now + DAY_MS);
  assert.deepEqual(record.grants, DEFAULT_GRANTS);
  assert.ok(record.grants.maxNames > 0 && record.grants.maxPorts > 0);
  assert.deepEqual(await enrolmentTokens.list(), [record]);
  const used = await enrolmentTokens.consume(token);
  assert.equal(used.used, 1);
  await assertFails(enrolmentTokens.consume(token), "TOKEN_USED");
});

Deno.test("consume() refuses unknown, removed, malformed and expired tokens", async () => {
  await using setup = await setUpState();
  const { enrolmentTokens } = setup.state;
  const { token, record } = await enrolmentTokens.create({ uses: null });
  const { token: other } = await enrolmentTokens.create();
  const withOtherSecret = token.slice(0, 23) + other.slice(23);
  for (const wrong of ["", "spk_enrol_unknown1_" + "a".repeat(43), withOtherSecret, token.replace("enrol", "tunnel")]) {
    await assertFails(enrolmentTokens.consume(wrong), "TOKEN_INVALID");
  }
  setup.clock.now += DAY_MS;
  await assertFails(enrolmentTokens.consume(token), "TOKEN_EXPIRED");
  setup.clock.now -= 1;
  await enrolmentTokens.consume(token);
  assert.equal(await enrolmentTokens.remove(record.id), true);
  assert.equal(await enrolmentTokens.remove(record.id), false);
  assert.equal(await enrolmentTokens.remove("../x"), false);
  await assertFails(enrolmentTokens.consume(token), "TOKEN_INVALID");
});

Deno.test("consume() lets a token with 3 uses make exactly 3 tunnels, on two stores at once", async () => {
  const folder = await Deno.makeTempDir();
  {
    await using mine = await openSqliteStore(`${folder}/state.db`);
    await using other = await openSqliteStore(`${folder}/state.db`);
    const { token } = await new EnrolmentTokens(mine).create({ uses: 3 });
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, (_, index) => new EnrolmentTokens(index % 2 === 0 ? mine : other).consume(token)),
    );
    assert.equal(results.filter((result) => result.status === "fulfilled").length, 3);
  }
  await Deno.remove(folder, { recursive: true });
});

Deno.test("the secret of a token is stored nowhere", async () => {
  await using setup = await setUpState();
  const { token } = await setup.state.enrolmentTokens.create({ uses: 2 });
  const issued = await setup.state.enrol(token);
  const everything = JSON.stringify(await setup.store.list(""));
  for (const secret of [token, issued.token]) {
    assert.ok(!everything.includes(secret.slice(-43)));
  }
  assert.ok(!JSON.stringify([await setup.state.enrolmentTokens.list(), setup.state.tunnels.list()]).includes("igest"));
});

const WRONG: readonly [string, CreateEnrolmentTokenOptions][] = [
  ["an owner with a space", { owner: "two words" }],
  ["an empty tag", { tags: [""] }],
  ["no uses", { uses: 0 }],
  ["half a use", { uses: 0.5 }],
  ["an expiry in the past", { expiresInMs: 0 }],
  ["an expiry that is no number", { expiresInMs: NaN }],
  ["a domain that is none", { grants: { domains: ["*.*.org"] } }],
  ["a domain of everything", { grants: { domains: ["*"] } }],
  ["a domain of a whole top level", { grants: { domains: ["*.org"] } }],
  ["a backward port range", { grants: { ports: [{ from: 2, to: 1 }] } }],
  ["a port past 65535", { grants: { ports: [{ from: 1, to: 65_536 }] } }],
  ["a negative quota", { grants: { maxPorts: -1 } }],
];
for (const [title, options] of WRONG) {
  Deno.test(`create() refuses ${title}, and stores nothing`, async () => {
    await using setup = await setUpState();
    await assertFails(setup.state.enrolmentTokens.create(options), "USAGE");
    assert.deepEqual(await setup.store.list(""), []);
  });
}
