import assert from "node:assert/strict";
import tls from "node:tls";
import { memoryPair } from "./memory_duplex.ts";
import { peekClientHello } from "./peek_client_hello.ts";
import { TlsCarrier } from "./tls_carrier.ts";

async function clientHello(): Promise<Uint8Array<ArrayBuffer>> {
  const [near, far] = memoryPair({ keep: true });
  const socket = tls.connect({ socket: new TlsCarrier(near) as never, servername: "a.example", ALPNProtocols: ["x"] });
  socket.on("error", () => {}); // Nobody answers.
  const hello = (await far.read())!.slice();
  socket.destroy();
  far.reset();
  return hello;
}

async function readAll(duplex: { read(): unknown }): Promise<number[]> {
  const all: number[] = [];
  for (let bytes = await duplex.read(); bytes !== null; bytes = await duplex.read()) all.push(...bytes as Uint8Array);
  return all;
}

Deno.test("peekClientHello() reads what is asked for, and leaves every byte to be read", async () => {
  const bytes = await clientHello();
  for (const maxRead of [1, 100, 10_000]) {
    const [near, far] = memoryPair({ maxRead });
    await near.write(bytes);
    await near.write(new Uint8Array([1, 2, 3]));
    await near.closeWrite();
    const { hello, duplex } = await peekClientHello(far);
    assert.deepEqual(hello, { kind: "hello", serverName: "a.example", alpn: ["x"] });
    assert.deepEqual(await readAll(duplex), [...bytes, 1, 2, 3]);
  }
});

Deno.test("peekClientHello() stops at what cannot become one, at the end, and at a size", async () => {
  const [plain, seen] = memoryPair();
  await plain.write(new TextEncoder().encode("GET / HTTP/1.1\r\n"));
  assert.equal((await peekClientHello(seen)).hello.kind, "invalid");

  const [short, ended] = memoryPair();
  await short.write((await clientHello()).subarray(0, 50));
  await short.closeWrite();
  const { hello, duplex } = await peekClientHello(ended);
  assert.deepEqual(hello, { kind: "invalid", reason: "the connection ended before it was complete" });
  assert.equal((await readAll(duplex)).length, 50);

  // Records of one byte each make a message of little use, and much to read.
  const [long, fed] = memoryPair({ highWaterMark: 1_000_000 });
  const header = [22, 3, 1, 0, 1];
  const message = [1, 0, 0x3f, 0xf0, ...new Array(16_000).fill(0)];
  await long.write(Uint8Array.from(message.flatMap((byte) => [...header, byte])));
  assert.equal((await peekClientHello(fed)).hello.kind, "invalid");
});
