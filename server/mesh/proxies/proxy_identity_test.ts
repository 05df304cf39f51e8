import assert from "node:assert/strict";
import { CodedError } from "../../../protocol/errors.ts";
import type { Tunnel } from "../../state/tunnels.ts";
import { ANONYMOUS, fakeIdentity, fakeTunnel } from "../testing/fake_rules.ts";
import { currentIdentity, proxyIdentity, type ProxyIdentityParts, tokenOf } from "./proxy_identity.ts";

const ID = "0a1b2c3d-0000-4000-8000-00112233aabb";
const BARE = ID.replaceAll("-", "");
const SECRET = "s".repeat(43);
const TOKEN = `spk_tunnel_${BARE}_${SECRET}`;
const LAPTOP = fakeTunnel("laptop") as Tunnel;

for (
  const [name, user, password, token] of [
    ["id and token", ID, TOKEN, TOKEN],
    ["id and secret", ID, SECRET, TOKEN],
    ["the token's own parts", BARE, SECRET, TOKEN],
    ["an id in capitals", ID.toUpperCase(), TOKEN, TOKEN],
    ["another tunnel's token", ID.replace("0a", "0b"), TOKEN, ""],
    ["an enrolment token", ID, `spk_enrol_${BARE}_${SECRET}`, `spk_tunnel_${BARE}_spk_enrol_${BARE}_${SECRET}`],
    ["a name in place of the id", "laptop", TOKEN, ""],
    ["an id with some hyphens", ID.replace("-", ""), TOKEN, ""],
    ["a part of the secret as user", `${BARE}_${SECRET.slice(1)}`, "s", ""],
    ["nothing", "", "", ""],
  ] as const
) {
  Deno.test(`tokenOf(): ${name}`, () => assert.equal(tokenOf(user, password), token));
}

/** One tunnel that may be changed; what was checked. */
function parts(now: { tunnel?: Tunnel; admitsAnonymous?: boolean; refusal?: CodedError } = {}) {
  const checked: [token: string, from: string][] = [];
  return {
    checked,
    authenticator: {
      tunnel(token, from) {
        checked.push([token, from]);
        if (now.refusal !== undefined) return Promise.reject(now.refusal);
        return token === TOKEN ? Promise.resolve(LAPTOP) : Promise.reject(new CodedError("TOKEN_INVALID"));
      },
    },
    tunnels: { exists: () => Promise.resolve(now.tunnel !== undefined), get: () => now.tunnel },
    mesh: { admitsAnonymous: now.admitsAnonymous === true },
  } satisfies ProxyIdentityParts & Record<string, unknown>;
}

Deno.test("a token proves a tunnel; what is none takes the same way and has the same price (R47)", async () => {
  const all = parts();
  const { authenticate } = proxyIdentity(all, "192.0.2.1");
  assert.deepEqual(await authenticate(ID, TOKEN), fakeIdentity(LAPTOP));
  for (const [user, password] of [[ID, "wrong"], ["nobody", "wrong"], ["", ""]] as const) {
    assert.equal(await authenticate(user, password), null);
  }
  assert.deepEqual(all.checked.map(([, from]) => from), Array(4).fill("192.0.2.1"));
});

Deno.test("who has to wait, and what cannot be checked, is refused as such", async () => {
  for (const kind of ["TOO_MANY_ATTEMPTS", "STATE_UNAVAILABLE"] as const) {
    const { authenticate } = proxyIdentity(parts({ refusal: new CodedError(kind) }), "192.0.2.1");
    await assert.rejects(async () => await authenticate(ID, TOKEN), { kind });
  }
});

Deno.test("who says nothing of who it is, is anonymous where the policy knows such, and nobody elsewhere", () => {
  assert.equal(proxyIdentity(parts(), "192.0.2.9").anonymous(), null);
  assert.deepEqual(proxyIdentity(parts({ admitsAnonymous: true }), "192.0.2.9").anonymous(), ANONYMOUS);
});

Deno.test("what counts is the tunnel as it is when the destination is known", async () => {
  const laptop = fakeIdentity(LAPTOP);
  const changed = { ...LAPTOP, tags: ["ci"] };
  assert.deepEqual(await currentIdentity(laptop, parts({ tunnel: changed })), fakeIdentity(changed));
  await assert.rejects(currentIdentity(laptop, parts()), { kind: "PROXY_UNAUTHORIZED" });
  assert.equal(await currentIdentity(ANONYMOUS, parts()), ANONYMOUS);
});
