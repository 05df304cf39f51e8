import assert from "node:assert/strict";
import { parseDestination } from "../../protocol/destination.ts";
import { Router } from "../router.ts";
import { AllowList } from "./allow_list.ts";
import { resolveDestination } from "./resolve_destination.ts";
import { Services } from "./services.ts";
import { fakeTunnel, httpRule, tcpRule } from "./testing/fake_rules.ts";

const DATABASE = fakeTunnel("database");
const REDIS = tcpRule(DATABASE, 22_001, { service: "redis", targetPort: 6_379 });
const SSH = tcpRule(DATABASE, 22_002, { targetPort: 22 });
const WEB = tcpRule(fakeTunnel("web"), 22_003);
const SITE = httpRule(DATABASE, "wiki.example.test", { service: "wiki", private: true });
const OWN = httpRule(fakeTunnel("web"), "web.example.test");

/** The id of the rule that a destination leads to, `outside`, or the kind of the error. */
function resolve(text: string, allow: string[] = []): string {
  const services = new Services();
  const router = new Router(() => false);
  for (const each of [REDIS, SSH, WEB, SITE, OWN]) services.add(each);
  router.add("wiki.example.test", SITE, { below: false, hidden: true });
  router.add("web.example.test", OWN, { below: true });
  try {
    const resolved = resolveDestination(parseDestination(text), { allow: new AllowList(allow), services, router });
    return resolved.kind === "external" ? "outside" : resolved.rules.map(({ id }) => id).join();
  } catch (error) {
    return (error as { kind: string }).kind;
  }
}

/** The order of SP-8, SP-12 and SP-13: every destination, and what it leads to. */
const DESTINATIONS: [destination: string, leadsTo: string][] = [
  ["redis:22001", "tcp/22001"],
  ["whatever.example:22001", "tcp/22001"],
  ["10.9.9.9:22001", "tcp/22001"],
  ["[::1]:22002", "tcp/22002"],
  ["redis:1", "tcp/22001"],
  ["REDIS.:6379", "tcp/22001"],
  ["wiki:80", "http/wiki.example.test"],
  ["wiki:9999", "http/wiki.example.test"],
  ["wiki.example.test:80", "http/wiki.example.test"],
  ["wiki.example.test:443", "http/wiki.example.test"],
  ["wiki.example.test:8080", "DESTINATION_UNKNOWN"],
  ["a.web.example.test:443", "http/web.example.test"],
  ["web.example.test:5432", "tcp/22003"],
  ["a.web.example.test:5432", "tcp/22003"],
  ["database.example.test:22", "tcp/22002"],
  ["a.database.example.test:6379", "tcp/22001"],
  ["database.example.test:80", "DESTINATION_UNKNOWN"],
  ["mysql:3306", "DESTINATION_UNKNOWN"],
  ["10.1.2.3:5432", "DESTINATION_UNKNOWN"],
  ["db.srv.local:5432", "DESTINATION_UNKNOWN"],
  ["127.0.0.1:9400", "DESTINATION_UNKNOWN"],
];

for (const [destination, leadsTo] of DESTINATIONS) {
  Deno.test(`${destination} leads to ${leadsTo}`, () => assert.equal(resolve(destination), leadsTo));
}

Deno.test("the allow-list wins, even over a service, a port or a site of the same name (SP-8)", () => {
  for (
    const [destination, entry] of [
      ["redis:6379", "redis"],
      ["redis:22001", "redis:22001"],
      ["10.9.9.9:22001", "10.0.0.0/8"],
      ["wiki.example.test:80", "*.example.test"],
      ["database.example.test:22", "database.example.test"],
    ] as const
  ) {
    assert.equal(resolve(destination, [entry]), "outside", destination);
  }
  assert.equal(resolve("redis:6379", ["redis:1"]), "tcp/22001", "for another port it says nothing");
});

Deno.test("a hostname that is online, and of whose rules none has the port, is said to be so", () => {
  const services = new Services();
  for (const each of [REDIS, SSH]) services.add(each);
  const resolveThere = (host: string) =>
    resolveDestination(parseDestination(`${host}:80`), {
      ...{ allow: new AllowList([]), services, router: new Router(() => false) },
    });
  const message = /is online with several TCP rules, and none of their targets has the port 80/;
  assert.throws(() => resolveThere("database.example.test"), { kind: "DESTINATION_UNKNOWN", message });
  assert.throws(() => resolveThere("nobody.example.test"), {
    kind: "DESTINATION_UNKNOWN",
    message: /is nothing that is/,
  });
});
