import assert from "node:assert/strict";
import { DataChannel } from "../net/data_channel.ts";
import { SILENT } from "../net/log.ts";
import { Channels, type ChannelsOptions } from "./channels.ts";
import { resolveServerAddress } from "./server_address.ts";
import { type FakeServer, fakeServer } from "./testing/fake_server.ts";

function channelsOf(server: FakeServer, options: Partial<ChannelsOptions> = {}): Channels {
  return new Channels({
    address: resolveServerAddress(server.address),
    credential: "session-1.secret-1",
    onStream: (stream) => {
      stream.reset();
      return Promise.resolve();
    },
    log: SILENT,
    ...options,
  });
}

async function until(holds: () => boolean): Promise<void> {
  for (let look = 0; !holds(); look++) {
    assert.ok(look < 2_000, "it never came to that");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

Deno.test("open() dials as many as are asked for, each with the session's credential", async () => {
  await using server = await fakeServer();
  const channels = channelsOf(server);
  channels.open(20);
  const bearers = new Set<string>();
  for (let count = 0; count < 20; count++) bearers.add((await server.dataChannel()).bearer);
  assert.deepEqual([...bearers], ["session-1.secret-1"]);
  await until(() => channels.counts.channels === 20);
  await channels.end();
  assert.equal(channels.counts.channels, 0);
});

Deno.test("open() never has more than 1,024 under way or open", async () => {
  const logged: string[] = [];
  // Nobody listens: every dial fails at once, and is not repeated.
  const channels = new Channels({
    address: resolveServerAddress({ server: "127.0.0.1:9" }),
    credential: "x",
    onStream: () => Promise.resolve(),
    log: { ...SILENT, warn: (event) => logged.push(event) },
  });
  channels.open(5_000);
  await until(() => logged.length === 1_024);
  await channels.end();
  assert.equal(logged.length, 1_024);
});

Deno.test("a dial that is refused lets its connection go", async () => {
  await using server = await fakeServer();
  server.data = "refuse";
  const codes: unknown[] = [];
  const channels = channelsOf(server, { log: { ...SILENT, warn: (_event, fields) => codes.push(fields?.code) } });
  channels.open(3);
  await until(() => codes.length === 3 && server.open === 0);
  assert.deepEqual(codes, ["E3010", "E3010", "E3010"]);
  await channels.end();
});

Deno.test("dials that are not answered do not keep their places for ever", async () => {
  await using server = await fakeServer();
  server.data = "ignore";
  const failed: string[] = [];
  const channels = channelsOf(server, { upgradeMs: 100, log: { ...SILENT, warn: (event) => failed.push(event) } });
  channels.open(9);
  await until(() => failed.length >= 8);
  server.data = "accept";
  await until(() => failed.length === 9 || channels.counts.channels === 1);
  channels.open(1);
  await until(() => channels.counts.channels >= 1);
  await channels.end();
});

Deno.test("end() does not wait for dials that are not answered", async () => {
  await using server = await fakeServer();
  server.data = "ignore";
  const channels = channelsOf(server, { upgradeMs: 3_600_000 });
  channels.open(9);
  await until(() => server.open === 8);
  await channels.end();
  await until(() => server.open === 0);
});

Deno.test("retire() lets what was sent last arrive, takes no new streams, and settles when the server has closed", async () => {
  await using server = await fakeServer();
  const begun = Promise.withResolvers<void>();
  const channels = channelsOf(server, {
    onStream: async (stream) => {
      begun.resolve();
      await stream.accept();
      await stream.write(new TextEncoder().encode("last words"));
      await stream.closeWrite();
      while (await stream.read() !== null);
    },
  });
  channels.open(1);
  const { duplex, initial } = await server.dataChannel();
  const channel = new DataChannel(duplex, { client: false, opener: true, secure: true, initial });
  const visitor = { address: "192.0.2.1", port: 1 };
  const stream = channel.open({ rule: "tcp/1", revision: 1, protocol: "tcp", visitor });
  await stream.closeWrite();
  await begun.promise;
  await channels.idle();
  const retired = channels.retire();
  channels.open(5);
  let text = "";
  for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
    text += new TextDecoder().decode(bytes);
  }
  assert.equal(text, "last words");
  await retired;
  assert.equal(channels.counts.channels, 0);
  await channels.idle();
  await channels.end();
});
