import assert from "node:assert/strict";
import { HEADROOM_BYTES } from "../protocol/allocate.ts";
import { Intake } from "./intake.ts";

/** An intake, and what it gave. */
class Reads {
  readonly given: Uint8Array[] = [];
  readonly #intake = new Intake();
  #buffer = this.#intake.onread.buffer()!;

  constructor() {
    this.#intake.into = { push: (bytes) => void this.given.push(bytes) };
  }

  get room(): number {
    return this.#buffer.length;
  }

  /** As the runtime does it: fills the buffer, tells, and asks for the next one. */
  read(count: number, value: number): void {
    this.#buffer.fill(value, 0, count);
    this.#intake.onread.callback(count, this.#buffer);
    this.#buffer = this.#intake.onread.buffer() ?? this.#buffer;
  }
}

Deno.test("an idle connection holds 1 KiB, a busy one reads as much as one frame carries, and a quiet one holds 4 KiB", () => {
  const reads = new Reads();
  assert.equal(reads.room, 1024);
  reads.read(300, 1);
  assert.equal(reads.room, 1024);
  reads.read(1024, 1);
  assert.equal(reads.room, 4096);
  reads.read(4096, 1);
  assert.equal(reads.room, 65_528);
  reads.read(65_528, 2);
  assert.equal(reads.room, 65_528);
  for (let count = 0; count < 4; count++) reads.read(10, 3);
  assert.equal(reads.room, 4096);
});

Deno.test("what was given is never read into again, unless it was given back", () => {
  const reads = new Reads();
  const counts = [10, 4086, 4096, 65_528, 8, 65_528, 5, 5, 5, 5, 100, 4096, 65_528];
  counts.forEach((count, index) => reads.read(Math.min(count, reads.room), index + 1));
  reads.given.forEach((bytes, index) => assert.ok(bytes.every((byte) => byte === index + 1), `read ${index}`));
});

Deno.test("everything that was read may become a frame where it lies", () => {
  const reads = new Reads();
  for (const count of [10, 4000, 4096, 65_528, 8]) reads.read(Math.min(count, reads.room), 1);
  for (const { byteOffset } of reads.given) assert.ok(byteOffset >= HEADROOM_BYTES);
});

Deno.test("a few bytes do not take a large buffer away", () => {
  const reads = new Reads();
  reads.read(1024, 1);
  reads.read(4096, 1);
  reads.read(8, 2);
  assert.ok(reads.given[2]!.buffer.byteLength < 65_528);
  assert.equal(reads.room, 65_528);
});
