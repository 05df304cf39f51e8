import assert from "node:assert/strict";
import { run, spawn } from "./programs.ts";
import { freePort } from "./tcp_target.ts";

/** Far more than the largest number of bytes takes. */
const RUN_TIMEOUT_MS = 300_000;

/** A port that leads to a target. */
export interface Way extends AsyncDisposable {
  readonly port: number;
}

/** Sends bytes with iperf3 over the ways that `open` makes to its servers: there, back, and on four connections at once. */
export async function iperf3BothWays(bytes: number, open: (target: string) => Promise<Way>): Promise<void> {
  for (const direction of [[], ["--reverse"], ["--parallel", "4"]]) {
    // One of its own for each: it is busy for a moment after a test.
    const port = await freePort();
    await using service = spawn("iperf3", ["-s", "-1", "-B", "127.0.0.1", "-p", `${port}`, "--forceflush"]);
    await service.printed(/Server listening/);
    await using way = await open(`127.0.0.1:${port}`);
    const options = ["-c", "127.0.0.1", "-p", `${way.port}`, "-n", `${bytes}`, "--json", ...direction];
    const { code, stdout, stderr } = await run("iperf3", options, { timeoutMs: RUN_TIMEOUT_MS });
    assert.equal(code, 0, `${stdout}${stderr}`);
    const { end, error } = JSON.parse(stdout);
    assert.equal(error, undefined, stdout);
    assert.ok(end.sum_sent.bytes >= bytes, stdout);
    // Its receiver stops when the sender says so, on another connection: what is on the way then is not counted.
    assert.ok(end.sum_received.bytes > bytes / 2, `${end.sum_received.bytes} of ${bytes} bytes`);
  }
}
