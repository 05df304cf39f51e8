import { deepEqual, equal, rejects } from "node:assert/strict";
import { pipe } from "../net/pipe.ts";
import { memoryPair } from "../net/memory_duplex.ts";
import { StreamResetError } from "../protocol/errors.ts";
import { type ByteReader, StdioDuplex } from "./stdio_duplex.ts";

/** Standard input and output whose bytes a test gives and sees. */
class FakeStdio implements ByteReader {
  readonly written: number[] = [];
  /** Most bytes that one write takes. */
  maxWrite = Infinity;
  fail: Error | undefined;
  #waiting = Promise.withResolvers<Uint8Array | null>();

  /** Gives what the read that waits gets. */
  give(bytes: Uint8Array | null): void {
    this.#waiting.resolve(bytes);
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    const bytes = await this.#waiting.promise;
    if (bytes === null) return null;
    this.#waiting = Promise.withResolvers();
    buffer.set(bytes);
    return bytes.length;
  }

  write(bytes: Uint8Array): Promise<number> {
    if (this.fail !== undefined) return Promise.reject(this.fail);
    const count = Math.min(this.maxWrite, bytes.length);
    this.written.push(...bytes.subarray(0, count));
    return Promise.resolve(count);
  }
}

function duplexOf(stdio: FakeStdio, lingerMs = 60_000): StdioDuplex {
  return new StdioDuplex({ input: stdio, output: stdio, lingerMs });
}

Deno.test("StdioDuplex reads until the end of input, and never changes what it gave", async () => {
  const stdio = new FakeStdio();
  const duplex = duplexOf(stdio);
  const given: Uint8Array[] = [];
  for (const size of [1, 64 * 1024, 3]) {
    stdio.give(new Uint8Array(size).fill(size));
    given.push(await duplex.read() ?? new Uint8Array());
  }
  deepEqual(given.map((bytes) => [bytes.length, bytes[0], bytes.at(-1)]), [[1, 1, 1], [64 * 1024, 0, 0], [3, 3, 3]]);
  stdio.give(null);
  equal(await duplex.read(), null);
  duplex.close();
});

Deno.test("StdioDuplex writes all bytes, however few the system takes at once", async () => {
  const stdio = new FakeStdio();
  stdio.maxWrite = 2;
  await duplexOf(stdio).write(new Uint8Array([1, 2, 3, 4, 5]));
  deepEqual(stdio.written, [1, 2, 3, 4, 5]);
});

Deno.test("StdioDuplex says when nobody reads its output any more", async () => {
  const stdio = new FakeStdio();
  stdio.fail = new Deno.errors.BrokenPipe("broken pipe");
  const duplex = duplexOf(stdio);
  const reading = rejects(duplex.read(), /Nobody reads standard output/);
  await rejects(async () => await duplex.write(new Uint8Array(1)), /Nobody reads standard output/);
  await reading;
  duplex.reset();
  await duplex.closed;
});

Deno.test("a pipe whose output nobody reads any more says so, also after the end of input", async () => {
  const stdio = new FakeStdio();
  stdio.fail = new Deno.errors.BrokenPipe("broken pipe");
  const [near, far] = memoryPair();
  const piped = rejects(pipe(duplexOf(stdio), near, { lingerMs: 60_000 }), /Nobody reads standard output/);
  stdio.give(null);
  equal(await far.read(), null);
  await far.write(new Uint8Array(1));
  await piped;
});

Deno.test("a reset ends a read that waits", async () => {
  const duplex = duplexOf(new FakeStdio());
  const reading = rejects(async () => await duplex.read(), /enough/);
  duplex.reset(new StreamResetError("enough"));
  await reading;
});

Deno.test("after the end of output, input goes on while it comes, and ends when it is silent", async () => {
  const stdio = new FakeStdio();
  const duplex = duplexOf(stdio, 20);
  const reading = duplex.read();
  duplex.closeWrite();
  stdio.give(new Uint8Array([7]));
  deepEqual(await reading, new Uint8Array([7]));
  equal(await duplex.read(), null);
  duplex.close();
});

Deno.test("two programs that are joined through it may each end first", async () => {
  for (const first of ["local", "remote"] as const) {
    const stdio = new FakeStdio();
    const [near, far] = memoryPair();
    const piped = pipe(duplexOf(stdio, 20), near, { lingerMs: 60_000 });
    stdio.give(new Uint8Array([1]));
    deepEqual(await far.read(), new Uint8Array([1]));
    if (first === "local") {
      stdio.give(null);
      equal(await far.read(), null);
    }
    await far.write(new Uint8Array([2]));
    await far.closeWrite();
    if (first === "remote") {
      stdio.give(new Uint8Array([3]));
      deepEqual(await far.read(), new Uint8Array([3]));
      equal(await far.read(), null);
    }
    await piped;
    deepEqual(stdio.written, [2]);
  }
});
