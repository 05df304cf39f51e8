import assert from "node:assert/strict";
import { Services } from "./services.ts";
import { fakeTunnel, httpRule, tcpRule } from "./testing/fake_rules.ts";

const LAPTOP = fakeTunnel("laptop");
const DATABASE = fakeTunnel("database");
const STRANGER = fakeTunnel("stranger", { owner: "bob" });

Deno.test("a TCP rule is found by its port, its service name, and its tunnel's hostname, as long as it is there", () => {
  const services = new Services();
  const redis = tcpRule(DATABASE, 22_001, { service: "redis", targetPort: 6_379 });
  services.add(redis);
  const found = () => [
    services.byPort(22_001),
    services.byName("redis")[0],
    services.byHostname("database.example.test", 6_379),
    services.byHostname("a.b.database.example.test", 1),
  ];
  assert.deepEqual(found(), [redis, redis, redis, redis]);
  assert.deepEqual(services.all, [redis]);
  services.remove(redis);
  services.remove(redis);
  assert.deepEqual(found(), [undefined, undefined, undefined, undefined]);
  assert.deepEqual(services.all, []);
});

Deno.test("of several rules of a tunnel its hostname leads to that of the target port, and to none by another", () => {
  const services = new Services();
  const rules = [tcpRule(DATABASE, 22_003, { targetPort: 22 }), tcpRule(DATABASE, 22_001, { targetPort: 22 })];
  for (const each of [...rules, tcpRule(DATABASE, 22_002, { targetPort: 80 })]) services.add(each);
  assert.equal(services.byHostname("database.example.test", 22), rules[1], "the lowest port, always the same");
  assert.equal(services.byHostname("database.example.test", 5_432), undefined);
  assert.equal(services.byHostname("example.test", 22), undefined);
  assert.equal(services.byHostname("xdatabase.example.test", 22), undefined);
});

Deno.test("tunnels of one owner that offer a service take turns", () => {
  const services = new Services();
  const offered = [LAPTOP, DATABASE, DATABASE].map((tunnel, index) =>
    tcpRule(tunnel, 22_001 + index, { service: "redis" })
  );
  for (const each of offered) services.add(each);
  const firsts = Array.from({ length: 6 }, () => services.byName("redis")[0]);
  assert.deepEqual(new Set(firsts), new Set(offered));
  assert.deepEqual(firsts.slice(0, 3), firsts.slice(3));
  assert.equal(services.byName("redis").length, 3, "the others follow, for when it cannot be reached");
});

Deno.test("a service name that another owner offers now is refused", () => {
  const services = new Services();
  const redis = tcpRule(DATABASE, 22_001, { service: "redis" });
  services.add(redis);
  const other = tcpRule(STRANGER, 22_002, { service: "redis" });
  assert.throws(() => services.add(other), { kind: "SERVICE_TAKEN" });
  assert.deepEqual([services.byPort(22_002), services.byName("redis")], [undefined, [redis]]);
  assert.throws(() => services.assertFree("bob", "redis"), { kind: "SERVICE_TAKEN" });
  services.assertFree("alice", "redis");
  services.assertFree("bob", undefined);
  services.remove(redis);
  services.add(other);
  assert.deepEqual(services.byName("redis"), [other]);
});

Deno.test("an edit gives a rule another service name; one that is taken changes nothing", () => {
  const services = new Services();
  const [redis, web] = [tcpRule(DATABASE, 22_001, { service: "redis" }), httpRule(STRANGER, "a.example.test")];
  services.add(redis);
  services.add(web);
  services.rename(web, "web");
  assert.deepEqual(services.byName("web"), [web]);
  assert.throws(() => services.rename(web, "redis"), { kind: "SERVICE_TAKEN" });
  assert.deepEqual([services.byName("web"), services.byName("redis")], [[web], [redis]]);
  services.rename(web, undefined);
  services.rename(redis, "web");
  assert.deepEqual([services.byName("web"), services.byName("redis")], [[redis], []]);
});

Deno.test("a port that another session publishes is refused", () => {
  const services = new Services();
  services.add(tcpRule(DATABASE, 22_001));
  assert.throws(() => services.add(tcpRule(LAPTOP, 22_001)), { kind: "PORT_IN_USE" });
});
