import assert from "node:assert/strict";
import { watchNetwork } from "./watch_network.ts";

/** Runs `script` with a clock and interfaces of its own; `tick` looks once, `lateMs` late. */
function withMachine(
  script: (machine: { tick: (lateMs?: number) => void; addresses: string[]; seen: string[] }) => void,
): void {
  const real = { setInterval: globalThis.setInterval, now: Date.now, interfaces: Deno.networkInterfaces };
  let now = 1_000_000;
  let look = (): void => {};
  const addresses = ["192.0.2.1"];
  const seen: string[] = [];
  globalThis.setInterval = ((action: () => void) => {
    look = action;
    return 0;
  }) as unknown as typeof setInterval;
  Date.now = () => now;
  Deno.networkInterfaces = () => addresses.map((address) => ({ name: "eth0", address }) as Deno.NetworkInterfaceInfo);
  try {
    using _watch = watchNetwork((reason) => seen.push(reason));
    script({
      tick(lateMs = 0) {
        now += 2_000 + lateMs;
        look();
      },
      addresses,
      seen,
    });
  } finally {
    globalThis.setInterval = real.setInterval;
    Date.now = real.now;
    Deno.networkInterfaces = real.interfaces;
  }
}

Deno.test("watchNetwork() tells of a change of the interfaces, once", () => {
  withMachine(({ tick, addresses, seen }) => {
    tick();
    assert.deepEqual(seen, []);
    addresses.push("198.51.100.7");
    tick();
    tick();
    assert.deepEqual(seen, ["network"]);
    addresses.splice(0, 1);
    tick();
    assert.deepEqual(seen, ["network", "network"]);
  });
});

Deno.test("watchNetwork() does not care for the order in which the system lists interfaces", () => {
  withMachine(({ tick, addresses, seen }) => {
    addresses.push("198.51.100.7");
    tick();
    addresses.reverse();
    tick();
    assert.deepEqual(seen, ["network"]);
  });
});

Deno.test("watchNetwork() takes a timer that fires over 5 s late for a sleep, and a busy machine for none", () => {
  withMachine(({ tick, seen }) => {
    tick(4_000);
    assert.deepEqual(seen, []);
    tick(3_600_000);
    assert.deepEqual(seen, ["sleep"]);
    tick();
    assert.deepEqual(seen, ["sleep"]);
  });
});

Deno.test("watchNetwork() goes on where the system does not tell its interfaces", () => {
  withMachine(({ tick, seen }) => {
    Deno.networkInterfaces = () => {
      throw new Deno.errors.NotCapable("no");
    };
    tick();
    tick();
    assert.deepEqual(seen, ["network"], "what was known is unknown now");
    tick(10_000);
    assert.deepEqual(seen, ["network", "sleep"]);
  });
});
