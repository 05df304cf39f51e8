import { dialServer } from "../../client/dial_server.ts";
import { resolveServerAddress } from "../../client/server_address.ts";
import { connect, type ConnectOptions, enrol, parseInvite, type Tunnel } from "../../mod.ts";
import type { Duplex } from "../../net/duplex.ts";
import { requestUpgrade } from "../../net/upgrade.ts";
import { DOORS } from "../../protocol/limits.ts";
import { startLoopbackTunnel } from "../loopback_tunnel.ts";
import type { Programs } from "../programs.ts";
import { makeInvite } from "./invite.ts";
import { slope } from "./numbers.ts";
import { parallel } from "./parallel.ts";
import { keptKiB, withCollector } from "./resident_memory.ts";
import type { BenchContext, Row, RowResult } from "./row.ts";

/** Idle data channels of a session with traffic; the server lets more than 32 beside them go. */
const CHANNELS_PER_TUNNEL = 4;
const EXTRA_CHANNELS = 24;
/** Of the tunnels, how many get extra channels: both ends' file descriptors are limited. */
const EXTRA_SHARE = 0.2;
/** Measurements on the way to the full number. All of it must be over before the first channels are let go, after a minute. */
const STEPS = 4;
/** A server refuses some of many connections that have not yet proved who they are: we wait for the channels of so many tunnels. */
const BATCH = 50;

/** What the server keeps in memory for those who do nothing. */
export function memoryRow(programs: Programs): Row {
  return {
    name: "memory",
    about: "memory of the server for idle tunnels and channels",
    run: (context) => measure(context, withCollector(programs)),
  };
}

async function measure(context: BenchContext, programs: Programs): Promise<RowResult[]> {
  const { tunnels: count, note } = context;
  await using stack = new AsyncDisposableStack();
  // A server of its own: one that was under load has memory to spare.
  const tunnel = stack.use(await startLoopbackTunnel({ programs, http: {}, tcp: [] }));
  const fresh = await keptKiB(tunnel.server);
  const invite = await makeInvite(programs, tunnel.serverConfig, count);
  note(`memory: enrolling ${count} tunnels`);
  const { token, ...server } = parseInvite(invite);
  const enrolments = await parallel(count, () => enrol(server, token, { name: "idle" }));

  note(`memory: connecting ${count} tunnels`);
  const credentials: string[] = [];
  const address: Pick<ConnectOptions, "server" | "sni" | "ca"> = {
    ...server,
    ...(enrolments[0]?.ca === undefined ? {} : { ca: enrolments[0].ca }),
  };
  const step = Math.max(BATCH, Math.ceil(count / STEPS));
  const byTunnels: [tunnels: number, kib: number][] = [];
  for (let done = 0; done < count; done += BATCH) {
    await parallel(Math.min(BATCH, count - done), async (index): Promise<Tunnel> => {
      return stack.use(
        await connect({
          ...address,
          token: enrolments[done + index]!.token,
          onEvent: (event) => {
            if (event.kind === "connected") credentials.push(`${event.welcome.session}.${event.welcome.secret}`);
          },
        }),
      );
    });
    const connected = Math.min(done + BATCH, count);
    await whenChannels(tunnel.adminPort, connected * CHANNELS_PER_TUNNEL);
    if (connected % step === 0 || connected === count) byTunnels.push([connected, await keptKiB(tunnel.server)]);
  }
  const connected = byTunnels.at(-1)?.[1] ?? NaN;

  const chosen = credentials.slice(0, Math.ceil(count * EXTRA_SHARE));
  const extra = chosen.length * EXTRA_CHANNELS;
  note(`memory: opening ${extra} more channels`);
  const target = resolveServerAddress(address);
  const byChannels: [channels: number, kib: number][] = [[0, connected]];
  for (let done = 0; done < extra; done += extra / STEPS) {
    await parallel(extra / STEPS, async (index): Promise<Duplex> => {
      const duplex = await dialServer(target);
      stack.defer(() => duplex.reset());
      const path = `${DOORS.data}?opener=server`;
      await requestUpgrade(duplex, { host: target.sni, path, bearer: chosen[index % chosen.length]! });
      return duplex;
    });
    byChannels.push([done + extra / STEPS, await keptKiB(tunnel.server)]);
  }
  // How memory grows, and not what it is: V8 keeps a part of it for new objects, in steps.
  const perChannel = slope(byChannels);
  const perTunnel = slope(byTunnels) - (CHANNELS_PER_TUNNEL - 1) * perChannel;
  return [
    { title: "Server, fresh", unit: "MiB", values: { product: fresh / 1024 }, ratios: false },
    {
      title: `Server, ${count} idle tunnels with ${CHANNELS_PER_TUNNEL} channels each`,
      ...{ unit: "MiB", values: { product: connected / 1024 }, ratios: false },
    },
    {
      title: `Idle tunnel with ${CHANNELS_PER_TUNNEL} channels`,
      ...{ unit: "KiB", values: { product: slope(byTunnels) }, ratios: false },
    },
    { title: "Idle tunnel with one channel", unit: "KiB", values: { product: perTunnel }, ratios: false },
    { title: "Idle channel", unit: "KiB", values: { product: perChannel }, ratios: false },
  ];
}

/** Waits until the server counts so many data channels. */
async function whenChannels(adminPort: number, wanted: number): Promise<void> {
  let channels = 0;
  for (const end = performance.now() + 30_000; performance.now() < end;) {
    const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
    channels = Number(/^spokes_data_channels (\d+)$/m.exec(text)?.[1]);
    if (channels >= wanted) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`Cannot measure: there are ${channels} channels after 30 s, not ${wanted}`);
}
