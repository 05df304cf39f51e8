import { memoryPair } from "./memory_duplex.ts";
import { DataChannel } from "./data_channel.ts";
import type { Duplex } from "./duplex.ts";
import { testDuplex } from "./testing/duplex_conformance.ts";
import type { DuplexPair } from "./testing/duplex_conformance.ts";
import { connPair, startTlsPair, tcpPair, tlsPair } from "./testing/socket_pairs.ts";

const MIB = 1024 * 1024;
/** Kernel buffers of a loopback connection grow to several MiB. */
const KERNEL = { resetIsSeen: true, maxHeldBytes: 16 * MIB };

function near([near, far]: readonly [Duplex, Duplex]): DuplexPair {
  return { near, far };
}

function far([far, near]: readonly [Duplex, Duplex]): DuplexPair {
  return { near, far };
}

testDuplex("memoryPair()", () => Promise.resolve(near(memoryPair())), { resetIsSeen: true, maxHeldBytes: MIB });
testDuplex("SocketDuplex over TCP", async () => near(await tcpPair()), KERNEL);
testDuplex("SocketDuplex over TLS, at the client,", async () => near(await tlsPair()), KERNEL);
testDuplex("SocketDuplex over TLS, at the server,", async () => far(await tlsPair()), KERNEL);
testDuplex("ConnDuplex over TCP", async () => near(await connPair()), { ...KERNEL, resetIsSeen: false });
testDuplex("ConnDuplex over TLS", async () => near(await startTlsPair()), { ...KERNEL, resetIsSeen: false });
testDuplex("SocketDuplex over TLS, towards a Deno.Conn,", async () => far(await startTlsPair()), KERNEL);

/** A stream of a fresh channel: as the server opens it towards a client that dialled. */
async function streamPair(
  transports: () => Promise<readonly [client: Duplex, server: Duplex]>,
  secure: boolean,
): Promise<{ opener: Duplex; answerer: Duplex; dispose: () => Promise<void> }> {
  const [client, server] = await transports();
  const answered = Promise.withResolvers<Duplex>();
  const answering = new DataChannel(client, {
    client: true,
    opener: false,
    secure,
    onStream: async (stream) => {
      await stream.accept();
      answered.resolve(stream);
      await stream.closed;
    },
  });
  const opening = new DataChannel(server, { client: false, opener: true, secure });
  const stream = opening.open({
    rule: "tcp/22000",
    revision: 1,
    protocol: "tcp",
    visitor: { address: "192.0.2.1", port: 7 },
  });
  await stream.opened();
  const answerer = await answered.promise;
  async function dispose(): Promise<void> {
    opening.close();
    answering.close();
    await Promise.all([client.closed, server.closed]);
  }
  return { opener: stream, answerer, dispose };
}

for (const [name, transports, secure] of [["TCP", tcpPair, false], ["Deno.Conn in TLS", startTlsPair, true]] as const) {
  testDuplex(`ChannelStream of the opener over ${name}`, async () => {
    const { opener, answerer, dispose } = await streamPair(transports, secure);
    return { near: opener, far: answerer, dispose };
  }, KERNEL);
  testDuplex(`ChannelStream of the answerer over ${name}`, async () => {
    const { opener, answerer, dispose } = await streamPair(transports, secure);
    return { near: answerer, far: opener, dispose };
  }, KERNEL);
}
