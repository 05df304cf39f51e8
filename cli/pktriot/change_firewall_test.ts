import { deepEqual, throws } from "node:assert/strict";
import { changeFirewall } from "./change_firewall.ts";

Deno.test("changeFirewall() adds a network to its list", () => {
  deepEqual(changeFirewall(undefined, { action: "allow", network: "203.0.113.7" }), {
    allow: ["203.0.113.7"],
    drop: [],
  });
  deepEqual(changeFirewall({ allow: [], drop: ["10.0.0.0/8"] }, { action: "drop", network: "::1" }), {
    allow: [],
    drop: ["10.0.0.0/8", "::1"],
  });
});

Deno.test("changeFirewall() adds nothing twice, however it is spelled", () => {
  const firewall = { allow: ["2001:db8::/32"], drop: [] };
  deepEqual(changeFirewall(firewall, { action: "allow", network: "2001:DB8:0::/32" }), firewall);
});

Deno.test("changeFirewall() moves a network that is in the other list", () => {
  const firewall = { allow: ["10.0.0.1"], drop: ["10.0.0.2"] };
  deepEqual(changeFirewall(firewall, { action: "allow", network: "10.0.0.2" }), {
    allow: ["10.0.0.1", "10.0.0.2"],
    drop: [],
  });
});

Deno.test("changeFirewall() asks before the last allowed network goes", () => {
  const firewall = { allow: ["10.0.0.1"], drop: ["10.0.0.2"] };
  for (const action of ["rm", "drop"] as const) {
    throws(() => changeFirewall(firewall, { action, network: "10.0.0.1" }), { kind: "FIREWALL_WOULD_OPEN" });
  }
  deepEqual(changeFirewall(firewall, { action: "rm", network: "10.0.0.1", open: true }), {
    allow: [],
    drop: ["10.0.0.2"],
  });
  deepEqual(changeFirewall({ allow: [], drop: ["10.0.0.2"] }, { action: "rm", network: "10.0.0.2" }), {
    allow: [],
    drop: [],
  });
});

Deno.test("changeFirewall() says when there is nothing to forget", () => {
  throws(() => changeFirewall(undefined, { action: "rm", network: "10.0.0.1" }), { kind: "RULE_UNKNOWN" });
});

Deno.test("changeFirewall() takes away what is no network, and leaves it alone otherwise", () => {
  const firewall = { allow: ["10.0.0.0/33", "10.0.0.1"], drop: [] };
  deepEqual(changeFirewall(firewall, { action: "rm", network: "10.0.0.0/33" }), { allow: ["10.0.0.1"], drop: [] });
  deepEqual(changeFirewall(firewall, { action: "allow", network: "::1" }).allow, ["10.0.0.0/33", "10.0.0.1", "::1"]);
  throws(() => changeFirewall(firewall, { action: "allow", network: "10.0.0.0/33" }), { kind: "NETWORK_INVALID" });
});
