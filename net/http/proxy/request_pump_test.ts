import assert from "node:assert/strict";
import { memoryPair } from "../../memory_duplex.ts";
import { latin1Bytes } from "../../../protocol/http/serialise.ts";
import { HttpReader } from "../http_reader.ts";
import { RequestPump } from "./request_pump.ts";

/** Sends a body in pieces, each after so long by a clock of our own; gives how often progress was told. */
async function progressOf(pieces: readonly (readonly [bytes: number, afterMs: number])[]): Promise<number> {
  const [visitor, edge] = memoryPair();
  const [upstream, target] = memoryPair();
  let now = 0;
  let progress = 0;
  const length = pieces.reduce((sum, [bytes]) => sum + bytes, 0);
  const pump = new RequestPump(new HttpReader(edge, "request"), { kind: "length", length }, {
    onProgress: () => progress++,
    onFailure: (error) => assert.fail(String(error)),
    now: () => now,
  });
  await pump.start(upstream, "HEAD\r\n\r\n");
  await target.read();
  for (const [bytes, afterMs] of pieces) {
    now += afterMs;
    await visitor.write(latin1Bytes("x".repeat(bytes)));
    await target.read();
    while (!pump.sent && !pump.waitsForVisitor) await new Promise((resolve) => setTimeout(resolve));
  }
  for (const duplex of [visitor, edge, upstream, target]) duplex.reset();
  return progress;
}

Deno.test("a body of less than 240 bytes a second is no progress any more, once its visitor was waited for 30 s", async () => {
  assert.equal(await progressOf([[100, 10_000], [100, 10_000], [100, 9_000]]), 3, "not judged yet");
  assert.equal(await progressOf([[100, 10_000], [100, 10_000], [100, 11_000], [100, 10_000]]), 2);
  assert.equal(await progressOf([[100, 10_000], [9_000, 25_000], [3_000, 10_000]]), 3, "fast enough on the whole");
});
