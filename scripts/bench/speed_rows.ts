import { interleave } from "./interleave.ts";
import { iperfGbits, wrkRequests } from "./load.ts";
import { quantile } from "./numbers.ts";
import { openLoopLatencies } from "./open_loop.ts";
import type { BenchContext, Row, RowResult } from "./row.ts";
import { newConnections, pingPong } from "./small_messages.ts";

/** Connections of the open loop: more than are busy at half load, so that a request seldom waits for one. */
const OPEN_LOOP_CONNECTIONS = 64;
const PING_PONG_ROUNDS = 5_000;

/** HTTP requests a second, for two kinds of targets. */
export const httpRow: Row = {
  name: "http",
  about: "HTTP requests a second (wrk -t1 -c32)",
  needs: ["wrk"],
  async run(context) {
    const rows: RowResult[] = [];
    for (const [service, target] of [["nginx", "nginx, one worker"], ["hello", "Deno.serve"]] as const) {
      const title = `HTTP, target ${target}`;
      const values = await interleave(context, {
        ...{ title, service },
        measure: (entrance) => wrkRequests(context.tools.wrk!, entrance, context.seconds),
      });
      rows.push({ title, unit: "requests/s", values });
    }
    return rows;
  },
};

/** One TCP connection, as fast as it goes. */
export const bulkRow: Row = {
  name: "bulk",
  about: "bulk over one TCP connection (iperf3)",
  needs: ["iperf3"],
  async run(context) {
    const rows: RowResult[] = [];
    for (const direction of ["up", "down"] as const) {
      const title = direction === "up" ? "TCP bulk, visitor to service" : "TCP bulk, service to visitor";
      const values = await interleave(context, {
        ...{ title, service: "iperf" },
        measure: ({ port }) => iperfGbits([context.tools.iperf3!], { port, seconds: context.seconds, direction }),
      });
      rows.push({ title, unit: "Gbit/s", values });
    }
    return rows;
  },
};

/** How much longer a request takes at half of what the product can do. */
export const latencyRow: Row = {
  name: "latency",
  about: "HTTP latency at half of the product's load (open loop)",
  needs: ["wrk"],
  async run(context) {
    const full = await wrkRequests(context.tools.wrk!, context.product.entrances.hello!, 2);
    const ratePerSecond = Math.round(full / 2);
    const title = `HTTP latency at ${ratePerSecond} requests/s`;
    const p99s = new Map<string, number[]>();
    const p50 = await interleave(context, {
      ...{ title, service: "hello" },
      measure: async (entrance, { name }) => {
        const times = await openLoopLatencies(entrance, {
          ...{ ratePerSecond, seconds: context.seconds, connections: OPEN_LOOP_CONNECTIONS },
        });
        p99s.set(name, [...p99s.get(name) ?? [], quantile(times, 0.99)]);
        return quantile(times, 0.5);
      },
    });
    const p99 = Object.fromEntries([...p99s].map(([name, values]) => [name, quantile(values, 0.5)]));
    return [...withAdded(context, `${title}, p50`, p50), ...withAdded(context, `${title}, p99`, p99)];
  },
};

/** Small messages on an open connection. */
export const messageRow: Row = {
  name: "message",
  about: "one-way time of a small message through a TCP rule",
  async run(context) {
    const title = "64-byte message, one way";
    const p99s = new Map<string, number[]>();
    const p50 = await interleave(context, {
      ...{ title, service: "echo" },
      measure: async ({ port }, { name }) => {
        const times = await pingPong(port, PING_PONG_ROUNDS);
        p99s.set(name, [...p99s.get(name) ?? [], quantile(times, 0.99)]);
        return quantile(times, 0.5);
      },
    });
    const p99 = Object.fromEntries([...p99s].map(([name, values]) => [name, quantile(values, 0.5)]));
    return [...withAdded(context, `${title}, p50`, p50), ...withAdded(context, `${title}, p99`, p99)];
  },
};

/** Connections that carry one message. */
export const connectRow: Row = {
  name: "connect",
  about: "new TCP connections a second",
  async run(context) {
    const title = "New TCP connections, 16 at a time";
    // The prototype never ends a TCP stream.
    const systems = context.systems.filter(({ name }) => name !== "prototype");
    const values = await interleave({ ...context, systems }, {
      ...{ title, service: "echo" },
      measure: ({ port }) => newConnections(port, context.seconds),
    });
    return [{ title, unit: "connections/s", values }];
  },
};

/** A row, and a second one with what each system adds to no tunnel. */
function withAdded({ direct }: BenchContext, title: string, values: Record<string, number>): RowResult[] {
  const base = values[direct.name] ?? NaN;
  const others = Object.entries(values).filter(([name]) => name !== direct.name);
  const added = Object.fromEntries(others.map(([name, value]) => [name, value - base]));
  return [
    { title, unit: "ms", values, ratios: false },
    { title: `${title}, added`, unit: "ms", values: added, ratios: false },
  ];
}
