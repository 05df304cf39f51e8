import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { scryptSync } from "node:crypto";
import { Fields } from "../../../protocol/http/field.ts";
import { BasicAuth } from "./basic_auth.ts";
import { PasswordChecks } from "./password_checks.ts";

/** Notes for whom passwords are checked. */
class NotedChecks extends PasswordChecks {
  readonly addresses: string[] = [];

  override run(address: string, check: () => Promise<boolean>): Promise<boolean> {
    this.addresses.push(address);
    return super.run(address, check);
  }
}

const SALT = Buffer.alloc(16, 1);
const HASH = scryptSync("wonderland", SALT, 32, { N: 2 ** 14, r: 8, p: 1 });
const [SALT_TEXT, HASH_TEXT] = [SALT, HASH].map((each) => each.toString("base64").replaceAll("=", ""));
const ALICE = { user: "alice", hash: `$scrypt$ln=14,r=8,p=1$${SALT_TEXT}$${HASH_TEXT}` };

function asks(credential: string): Fields {
  return new Fields([{ name: "Authorization", value: `Basic ${Buffer.from(credential).toString("base64")}` }]);
}

function setUp(): { auth: BasicAuth; checks: NotedChecks } {
  const checks = new NotedChecks();
  return { auth: new BasicAuth([ALICE], checks), checks };
}

Deno.test("check() works as much for an unknown user as for a wrong password (security R47)", async () => {
  const { auth, checks } = setUp();
  for (const wrong of ["alice:wrong", "bob:wonderland", "bob:wrong"]) {
    await assert.rejects(async () => await auth.check(asks(wrong), wrong), { kind: "UNAUTHORIZED" });
  }
  assert.deepEqual(checks.addresses, ["alice:wrong", "bob:wonderland", "bob:wrong"]);
});

Deno.test("check() remembers who was right, and nobody who was wrong", async () => {
  const { auth, checks } = setUp();
  await auth.check(asks("alice:wonderland"), "192.0.2.1");
  assert.equal(auth.check(asks("alice:wonderland"), "192.0.2.2"), undefined, "at once, for every address");
  assert.equal(checks.addresses.length, 1);
  for (let count = 0; count < 2; count++) {
    await assert.rejects(async () => await auth.check(asks("alice:wonderlanD"), "192.0.2.1"), { kind: "UNAUTHORIZED" });
  }
  assert.equal(checks.addresses.length, 3);
  const edited = new BasicAuth([ALICE], checks);
  await edited.check(asks("alice:wonderland"), "192.0.2.1");
  assert.equal(checks.addresses.length, 4, "an edit forgets it");
});

Deno.test("check() does the work once for the connections of one visitor, and gives nobody another's answer", async () => {
  const { auth, checks } = setUp();
  const asked = [["alice:wonderland", "192.0.2.1"], ["alice:wrong", "192.0.2.1"], ["alice:wonderland", "192.0.2.2"]];
  const outcomes = await Promise.allSettled(
    [...asked, ...asked].map(async ([credential = "", address = ""]) => await auth.check(asks(credential), address)),
  );
  const expected = ["fulfilled", "rejected", "fulfilled"];
  assert.deepEqual(outcomes.map(({ status }) => status), [...expected, ...expected]);
  assert.deepEqual(checks.addresses, ["192.0.2.1", "192.0.2.1", "192.0.2.2"]);
});

Deno.test("check() asks for a credential without any work", () => {
  const { auth, checks } = setUp();
  assert.throws(() => auth.check(new Fields(), "192.0.2.1"), { kind: "UNAUTHORIZED" });
  assert.throws(() => new BasicAuth([], checks).check(asks("alice:wonderland"), "192.0.2.1"), { kind: "UNAUTHORIZED" });
  assert.deepEqual(checks.addresses, []);
});
