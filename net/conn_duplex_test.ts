import assert from "node:assert/strict";
import type { ConnDuplex } from "./conn_duplex.ts";
import { connPair } from "./testing/socket_pairs.ts";

/** Reads once, and waits until more has come than that. */
async function readAhead(near: ConnDuplex, far: ConnDuplex): Promise<void> {
  await far.write(Uint8Array.of(1));
  assert.deepEqual(await near.read(), Uint8Array.of(1));
  await far.write(Uint8Array.of(2));
  while (!near.ready) await new Promise((resolve) => setTimeout(resolve, 1));
}

Deno.test("what has come while nobody read is given as one", async () => {
  const [near, far] = await connPair();
  await readAhead(near, far);
  await far.write(Uint8Array.of(3, 4));
  await far.closeWrite();
  const rest: number[] = [];
  for (let bytes = await near.read(); bytes !== null; bytes = await near.read()) rest.push(...bytes);
  assert.deepEqual(rest, [2, 3, 4]);
  assert.equal(near.ready, false);
  for (const each of [near, far]) each.close();
});

Deno.test("what has come is read before the peer's cut is seen, and not after a reset of our own", async () => {
  for (const ours of [false, true]) {
    const [near, far] = await connPair();
    await readAhead(near, far);
    if (ours) near.reset();
    else assert.deepEqual(await near.read(), Uint8Array.of(2));
    far.close();
    if (ours) await assert.rejects(async () => await near.read(), { kind: "STREAM_RESET" });
    else assert.equal(await near.read(), null);
    near.close();
  }
});
