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

Deno.test("what has come is read before the peer's end is seen", async () => {
  const [near, far] = await connPair();
  await readAhead(near, far);
  far.close();
  assert.deepEqual(await near.read(), Uint8Array.of(2));
  assert.equal(await near.read(), null);
  near.close();
});

Deno.test("after an end of our own nothing is read any more, also not what has come", async () => {
  for (const end of ["reset", "close"] as const) {
    const [near, far] = await connPair();
    await readAhead(near, far);
    await far.write(Uint8Array.of(3));
    near[end]();
    await assert.rejects(async () => await near.read(), { kind: "STREAM_RESET" });
    assert.equal(near.ready, false);
    far.close();
  }
});
