import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { join } from "node:path";
import tls from "node:tls";
import { testCertificate } from "../net/testing/certificate.ts";
import { parseProxyHeader } from "../protocol/proxy_protocol.ts";
import { dialTarget, type SocketTarget } from "./dial_target.ts";

const VISITOR = { address: "192.0.2.7", port: 54321 };
const IPV4_HEADER_BYTES = 28;
const IPV6_HEADER_BYTES = 52;

/** A target that gives the first bytes of its one connection. */
interface Target extends AsyncDisposable {
  readonly port: number;
  first(length: number): Promise<Uint8Array>;
}

async function listen(where: { host: string } | { path: string }, secure?: tls.TlsOptions): Promise<Target> {
  const sockets: net.Socket[] = [];
  const taken = Promise.withResolvers<net.Socket>();
  const server = net.createServer((socket) => {
    socket.on("error", () => {}); // The test resets it from the other side.
    sockets.push(socket);
    taken.resolve(socket);
  });
  server.listen("path" in where ? where : { ...where, port: 0 });
  await once(server, "listening");
  return {
    port: "path" in where ? 0 : (server.address() as net.AddressInfo).port,
    async first(length) {
      const socket = await taken.promise;
      for (;;) {
        const bytes = socket.read(length) as Uint8Array | null;
        if (bytes === null) await once(socket, "readable");
        else {
          if (secure !== undefined) sockets.push(new tls.TLSSocket(socket, { ...secure, isServer: true }).resume());
          return bytes;
        }
      }
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** Addresses and ports as they stand in a header. */
function ends(bytes: Uint8Array): string[] {
  const size = bytes.length === IPV4_HEADER_BYTES ? 4 : 16;
  const hex = [...bytes.subarray(16)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 2 * size), hex.slice(2 * size, 4 * size), hex.slice(4 * size)];
}

async function sourceSeenBy(target: Target, dialled: SocketTarget, length: number): Promise<unknown> {
  const socket = await dialTarget(dialled, { proxyFor: VISITOR });
  const header = parseProxyHeader(await target.first(length));
  socket.reset();
  await socket.closed;
  return header.kind === "header" ? { ...header.source, length: header.length } : header;
}

Deno.test("a target is told the visitor's address before all else", async () => {
  await using target = await listen({ host: "127.0.0.1" });
  const socket = await dialTarget({ kind: "tcp", host: "127.0.0.1", port: target.port }, { proxyFor: VISITOR });
  await socket.write(new TextEncoder().encode("hello"));
  const bytes = await target.first(IPV4_HEADER_BYTES + 5);
  const port = target.port.toString(16).padStart(4, "0");
  assert.deepEqual(ends(bytes.subarray(0, IPV4_HEADER_BYTES)), ["c0000207", "7f000001", `d431${port}`]);
  assert.equal(new TextDecoder().decode(bytes.subarray(IPV4_HEADER_BYTES)), "hello");
  socket.reset();
  await socket.closed;
});

Deno.test("visitor and target of two families are both written as IPv6", async () => {
  await using target = await listen({ host: "::1" });
  const dialled = { kind: "tcp", host: "::1", port: target.port } as const;
  assert.deepEqual(await sourceSeenBy(target, dialled, IPV6_HEADER_BYTES), { ...VISITOR, length: IPV6_HEADER_BYTES });
});

Deno.test("a unix socket, which has no address, is told the visitor's", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "target.sock");
    await using target = await listen({ path });
    assert.deepEqual(await sourceSeenBy(target, { kind: "unix", path }, IPV4_HEADER_BYTES), {
      ...VISITOR,
      length: IPV4_HEADER_BYTES,
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the header stands in front of TLS, not in it", async () => {
  const { certificate: cert, key } = await testCertificate("localhost");
  await using target = await listen({ host: "127.0.0.1" }, { cert, key });
  const https = { kind: "https", host: "127.0.0.1", port: target.port } as const;
  const dialling = dialTarget(https, { proxyFor: VISITOR, insecure: true });
  const header = parseProxyHeader(await target.first(IPV4_HEADER_BYTES));
  assert.deepEqual(header.kind === "header" && header.source, VISITOR);
  const socket = await dialling;
  socket.reset();
  await socket.closed;
});

Deno.test("a visitor without an address gets no connection that says nothing of it", async () => {
  await using target = await listen({ host: "127.0.0.1" });
  for (const kind of ["tcp", "https"] as const) {
    const dialled = { kind, host: "127.0.0.1", port: target.port };
    const proxyFor = { address: "somebody", port: 1 };
    await assert.rejects(dialTarget(dialled, { proxyFor }), { kind: "TARGET_UNREACHABLE" });
  }
});
