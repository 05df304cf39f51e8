import assert from "node:assert/strict";
import { CodedError } from "../../protocol/errors.ts";
import { expiryWarning, withExpiry } from "./expiry.ts";

const DAY_MS = 86_400_000;
const pair = { notBefore: new Date(0), notAfter: new Date(100 * DAY_MS) };

Deno.test("expiryWarning() begins with the last fifth of the lifetime, and says when it is over", () => {
  const at = (days: number): string | undefined => expiryWarning(pair, days * DAY_MS)?.code;
  assert.deepEqual([at(0), at(80), at(80.1), at(99.9), at(100), at(200)], [
    ...[undefined, undefined, "E6009", "E6009", "E6006", "E6006"],
  ]);
  assert.match(expiryWarning(pair, 81 * DAY_MS)?.message ?? "", /^The certificate expires on 1970-04-11T/);
  assert.match(expiryWarning(pair, 100 * DAY_MS)?.message ?? "", /expired on 1970-04-11T.*served all the same/);
});

Deno.test("withExpiry() tells the trouble first, and the time that is left with it", () => {
  const trouble = new CodedError("ACME_UNREACHABLE", "The CA is away");
  assert.equal(withExpiry(trouble, undefined), trouble);
  const both = withExpiry(trouble, expiryWarning(pair, 90 * DAY_MS));
  assert.equal(both.code, "E7002");
  assert.match(both.message, /^The CA is away\. The certificate expires on 1970/);
});
