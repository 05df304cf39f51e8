import assert from "node:assert/strict";
import { ReadQueue } from "./read_queue.ts";

/** A queue that is full at 4 bytes and has room again at 1, and what it asked for. */
function queue(): { queue: ReadQueue; asked: string[] } {
  const asked: string[] = [];
  const source = { hold: () => void asked.push("hold"), release: () => void asked.push("release") };
  return { queue: new ReadQueue({ highBytes: 4, lowBytes: 1 }, source), asked };
}

Deno.test("a queue holds its source once when it is full, and releases it once it has drained", () => {
  const { queue: unread, asked } = queue();
  for (const length of [3, 2, 1]) unread.push(new Uint8Array(length));
  assert.deepEqual(asked, ["hold"]);
  const lengths = [unread.read(), unread.read()].map((bytes) => (bytes as Uint8Array).length);
  assert.deepEqual([lengths, asked], [[3, 2], ["hold", "release"]]);
  unread.read();
  assert.deepEqual([unread.ready, asked], [false, ["hold", "release"]]);
});

Deno.test("bytes that somebody waits for do not count as unread", async () => {
  const { queue: unread, asked } = queue();
  const reading = unread.read();
  unread.push(new Uint8Array(9));
  assert.equal((await reading)?.length, 9);
  assert.deepEqual([unread.ready, asked], [false, []]);
});

Deno.test("what came before the end or a failure is read before it; the first failure counts", async () => {
  const { queue: unread } = queue();
  unread.push(Uint8Array.of(2));
  unread.unread(Uint8Array.of(1));
  unread.fail(new Error("first"));
  unread.fail(new Error("second"));
  assert.deepEqual([unread.read(), unread.read()], [Uint8Array.of(1), Uint8Array.of(2)]);
  assert.throws(() => unread.read(), /first/);
  const { queue: other } = queue();
  const reading = other.read();
  other.end();
  assert.deepEqual([await reading, other.read(), other.ended], [null, null, true]);
});

Deno.test("a failure reaches who waits", async () => {
  const { queue: unread } = queue();
  const reading = unread.read();
  unread.fail(new Error("gone"));
  await assert.rejects(async () => await reading, /gone/);
});
