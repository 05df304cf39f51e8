import assert from "node:assert/strict";
import { latin1 } from "../protocol/http/latin1.ts";
import { latin1Bytes } from "../protocol/http/serialise.ts";
import { encodeProxyHeader } from "../protocol/proxy_protocol.ts";
import { memoryPair } from "./memory_duplex.ts";
import { readProxyHeader } from "./proxy_header.ts";

const SOURCE = { address: "192.0.2.1", port: 54321 };
const V1 = latin1Bytes("PROXY TCP4 192.0.2.1 198.51.100.2 54321 80\r\n");
const V2 = encodeProxyHeader({ source: SOURCE, destination: { address: "198.51.100.2", port: 80 } });

Deno.test("readProxyHeader() gives who it is for, and loses nothing behind it", async () => {
  for (const maxRead of [1, 3, 1_000_000]) {
    for (const header of [V1, V2]) {
      const [near, far] = memoryPair({ maxRead });
      await far.write(new Uint8Array([...header, ...latin1Bytes("GET /")]));
      const { source, rest } = await readProxyHeader(near);
      let text = latin1(rest);
      while (text.length < 5) text += latin1(await near.read() as Uint8Array);
      assert.deepEqual([source, text], [SOURCE, "GET /"]);
      near.reset();
    }
  }
});

Deno.test("readProxyHeader() takes the balancer's own connections for what they are", async () => {
  for (const header of [encodeProxyHeader(), latin1Bytes("PROXY UNKNOWN\r\n")]) {
    const [near, far] = memoryPair();
    await far.write(header);
    assert.deepEqual(await readProxyHeader(near), { source: undefined, rest: new Uint8Array(0) });
    far.reset();
  }
});

Deno.test("readProxyHeader() resets a connection without one, at once", async () => {
  for (const first of ["GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n"]) {
    const [near, far] = memoryPair();
    await far.write(latin1Bytes(first));
    await assert.rejects(readProxyHeader(near), { kind: "PROXY_HEADER_INVALID" });
    await assert.rejects(async () => await far.read());
  }
});

Deno.test("readProxyHeader() sees the end and the cut of a connection inside a header, after every byte", async () => {
  for (const header of [V1, V2]) {
    for (let length = 0; length < header.length; length++) {
      const [near, far] = memoryPair();
      if (length > 0) await far.write(header.slice(0, length));
      await far.closeWrite();
      await assert.rejects(readProxyHeader(near), { kind: "PROXY_HEADER_INVALID" });
    }
    const [near, far] = memoryPair();
    await far.write(header.slice(0, 10));
    const reading = readProxyHeader(near);
    far.reset();
    await assert.rejects(reading, { kind: "STREAM_RESET" });
  }
});

Deno.test("readProxyHeader() waits neither for a slow balancer nor when it is stopped", async () => {
  const [slow, silent] = memoryPair();
  await silent.write(V2.slice(0, 20));
  await assert.rejects(readProxyHeader(slow, { timeoutMs: 1 }), { kind: "PROXY_HEADER_INVALID" });
  await assert.rejects(async () => await silent.read());
  const [near, far] = memoryPair();
  const stopping = new AbortController();
  const reading = readProxyHeader(near, { signal: stopping.signal });
  stopping.abort();
  await assert.rejects(reading, { name: "AbortError" });
  await assert.rejects(async () => await far.read());
});
