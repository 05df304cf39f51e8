import { deepEqual } from "node:assert/strict";
import { IDENTITY, pktriotConfig } from "../testing/pktriot_config.ts";
import { toClientRules, toWireTcp } from "./to_client_rules.ts";

const FORWARD = ["route", "tcp", "forward", "--offline"];

Deno.test("route tcp forward of a service that has a port keeps the port, and replaces all else", async () => {
  await using file = await pktriotConfig("config.json", {
    ...IDENTITY,
    tcp: [{ port: 22_001, target: "a:1" }, { port: 22_002, target: "b:2", service: "redis", private: true }],
  });
  const { out, err } = await file.run([...FORWARD, "--service", "redis", "--target", "6379"]);
  deepEqual([out, err], [["TCP traffic rule updated"], []]);
  deepEqual(JSON.parse(await file.text()).tcp[1], { port: 22_002, target: "127.0.0.1:6379", service: "redis" });
  await file.run([...FORWARD, "--port", "22001", "--target", "1", "--private"]);
  deepEqual(JSON.parse(await file.text()).tcp[0], { port: 22_001, target: "127.0.0.1:1", private: true });
});

Deno.test("route http add --service --private is written, and gone without them", async () => {
  await using file = await pktriotConfig("config.json", IDENTITY);
  const add = ["route", "http", "add", "--offline", "--http", "80"];
  await file.run([...add, "--service", "web", "--private"]);
  const rule = { domain: IDENTITY.tunnel.hostname, target: "127.0.0.1:80" };
  deepEqual(JSON.parse(await file.text()).http, [{ ...rule, service: "web", private: true }]);
  await file.run(add);
  deepEqual(JSON.parse(await file.text()).http, [rule]);
});

Deno.test("the rules of a configuration say how they are reached through the mesh", () => {
  const http = [{ domain: "a.example.com", target: "a:1", service: "web" }];
  const entry = { port: 22_001, target: "b:2", service: "redis", private: true };
  const rules = toClientRules({ http, tcp: [entry] });
  deepEqual(rules.map(({ service, private: isPrivate }) => [service, isPrivate]), [
    ...[["web", undefined], ["redis", true]],
  ]);
  const wire = toWireTcp(entry);
  deepEqual([wire.service, wire.private], ["redis", true]);
});
