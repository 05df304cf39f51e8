import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { accountKey } from "./account_key.ts";
import { AcmeSession } from "./acme_session.ts";
import { Challenges } from "./challenges.ts";
import { issueCertificate } from "./issue_certificate.ts";
import type { ChallengeType } from "./proof.ts";
import { type Pebble, PEBBLE_PROGRAMS, startPebble } from "./testing/pebble.ts";
import { programTest } from "../testing/programs.ts";
import { listenForValidation, type ValidationListeners } from "./testing/validation_listeners.ts";

const VALIDITY_S = 60;

/** A CA and the places where it looks. */
async function withCa(
  test: (ca: Pebble, places: ValidationListeners, folder: string) => Promise<void>,
  options: Partial<Parameters<typeof startPebble>[0]> = {},
): Promise<void> {
  await using places = await listenForValidation();
  const { httpPort, tlsPort } = places;
  await using ca = await startPebble({ httpPort, tlsPort, validityPeriodSeconds: VALIDITY_S, ...options });
  const folder = await Deno.makeTempDir();
  try {
    await test(ca, places, folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

interface Issue {
  readonly ca: Pebble;
  readonly places: ValidationListeners;
  readonly folder: string;
  readonly names: readonly string[];
  readonly type: ChallengeType;
  readonly eab?: { keyId: string; hmacKey: string };
  readonly signal?: AbortSignal;
}

async function issue({ ca, places, folder, names, type, eab, signal = new AbortController().signal }: Issue) {
  const account = {
    directory: ca.directory,
    ca: ca.ca,
    accountKey: await accountKey(folder),
    email: "admin@example.com",
    ...(eab === undefined ? {} : { eab }),
  };
  using session = await AcmeSession.open(account, signal);
  const steps: string[] = [];
  const request = {
    names,
    type,
    places,
    pollMs: 50,
    now: Date.now,
    signal,
    onStep: (step: string) => steps.push(step),
  };
  return { pair: await issueCertificate(session, request), steps };
}

programTest(
  "issueCertificate() proves names by http-01 and by tls-alpn-01",
  PEBBLE_PROGRAMS,
  () =>
    withCa(async (ca, places, folder) => {
      const names = ["a.example.com", "b.example.com"];
      const { pair, steps } = await issue({ ca, places, folder, names, type: "http-01" });
      assert.deepEqual([...pair.names].sort(), names);
      assert.deepEqual(steps, ["ordering", "challenge http-01 ready", "challenge http-01 ready", "validated"]);
      assert.deepEqual([...new Set(places.httpAsked)].sort(), names);
      const root = new X509Certificate(await ca.root());
      const chain = pair.certificate.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g)!;
      assert.ok(new X509Certificate(chain.at(-1)!).verify(root.publicKey));
      assert.ok(Math.abs(pair.notAfter.getTime() - Date.now() - VALIDITY_S * 1000) < VALIDITY_S * 1000);
      const tls = await issue({ ca, places, folder, names: ["tls.example.com"], type: "tls-alpn-01" });
      assert.deepEqual(tls.pair.names, ["tls.example.com"]);
      assert.ok(!places.challenges.hasHttp("a.example.com"), "an answer was left");
      assert.equal(places.challenges.tlsAlpnAnswer("tls.example.com"), undefined);
    }),
);

programTest(
  "issueCertificate() says in a sentence what the CA refuses",
  PEBBLE_PROGRAMS,
  () =>
    withCa(async (ca, places, folder) => {
      await assert.rejects(issue({ ca, places, folder, names: ["x.blocked.example"], type: "http-01" }), {
        kind: "ACME_REFUSED",
        problem: "rejectedIdentifier",
        message: /^the CA localhost:\d+ refuses: .*(policy|block).* \(rejectedIdentifier\); use a name/i,
      });
      // Nothing answers for this one.
      await assert.rejects(issue({ ca, places, folder, names: ["other.example.com"], type: "tls-alpn-01" }), {
        kind: "ACME_CHALLENGE_FAILED",
        problem: "unauthorized",
        message: /^tls-alpn-01 of other\.example\.com failed: Failed to connect .*; check that the name points here/,
      });
      await assert.rejects(issue({ ca, places, folder, names: ["*.example.com"], type: "http-01" }), {
        kind: "ACME_CHALLENGE_FAILED",
        message: /dns-01 needs a DNS hook/,
      });
    }, { blocklist: ["blocked.example"] }),
);

programTest("an account with external account binding is registered, and refused without", PEBBLE_PROGRAMS, () => {
  const eab = { keyId: "kid-1", hmacKey: "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W" };
  return withCa(async (ca, places, folder) => {
    const order = { ca, places, folder, names: ["a.example.com"], type: "http-01" } as const;
    await assert.rejects(issue(order), {
      kind: "ACME_REFUSED",
      problem: "externalAccountRequired",
      message: /configure the key id and HMAC key/,
    });
    assert.deepEqual((await issue({ ...order, eab })).pair.names, ["a.example.com"]);
    // The same key finds its account again.
    assert.deepEqual((await issue({ ...order, eab })).pair.names, ["a.example.com"]);
  }, { eab });
});

programTest(
  "issueCertificate() stops at once when it is told to",
  PEBBLE_PROGRAMS,
  () =>
    withCa(async (ca, places, folder) => {
      const controller = new AbortController();
      const reason = new Error("told to");
      places.challenges.setHttp = () => {
        controller.abort(reason);
        return { [Symbol.dispose]: () => {} };
      };
      const order = {
        ca,
        places,
        folder,
        names: ["a.example.com"],
        type: "http-01",
        signal: controller.signal,
      } as const;
      await assert.rejects(issue(order), reason);
    }),
);

Deno.test("a CA that asks for a proof of a name that was not ordered gets none (R48)", async () => {
  for (const [asked, refused] of [["b.example.com", true], ["a.example.com", false], ["example.com", true]] as const) {
    const proofs: string[] = [];
    const challenge = { type: "dns-01", url: "", status: "pending", token: "token" };
    const authorization = { status: "pending", identifier: { value: asked }, challenges: [challenge] };
    const session = {
      order: () => Promise.resolve({}),
      authorizations: () => Promise.resolve([authorization]),
      client: { getChallengeKeyAuthorization: () => Promise.resolve("token.thumbprint") },
    } as unknown as AcmeSession;
    const publish = (record: string): Promise<never> => {
      proofs.push(record);
      return Promise.reject(new Error("the hook was called"));
    };
    const issued = issueCertificate(session, {
      ...{ names: ["a.example.com"], type: "dns-01", now: Date.now, signal: new AbortController().signal },
      places: { challenges: new Challenges(), dns: { publish, seen: () => Promise.resolve() } },
      onStep() {},
    });
    await assert.rejects(issued, refused ? { kind: "ACME_REFUSED", message: /was not ordered/ } : /hook was called/);
    assert.deepEqual(proofs, refused ? [] : ["_acme-challenge.a.example.com"]);
  }
});
