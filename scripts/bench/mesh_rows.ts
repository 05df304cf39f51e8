import type { CommandLine, Programs } from "../programs.ts";
import { type WithCpu, withCpu } from "./cpu_time.ts";
import { inRounds } from "./in_rounds.ts";
import { iperfGbits } from "./load.ts";
import { type MeshCpu, meshCpuResults, meshResults } from "./mesh_results.ts";
import { type MeshWay, type MeshWays, startMeshTunnels } from "./mesh_tunnels.ts";
import { median, quantile } from "./numbers.ts";
import { redisRequests, startRedis } from "./redis.ts";
import type { BenchContext, Row, RowResult } from "./row.ts";
import { answeredAtOnce, pingPong } from "./small_messages.ts";

/** Requests of each kind for a second of measurement, by how many are on their way at once on a connection. */
const REDIS_LOADS = [[1, 5_000], [16, 40_000]] as const;
const PING_PONG_ROUNDS = 5_000;
const STREAMS = 500;

/** Redis from tunnel to tunnel. */
export function meshRedisRow(programs: Programs): Row {
  return {
    name: "mesh",
    about: "redis-benchmark through a port map and SOCKS5 (with proxychains4), against a TCP rule",
    needs: ["redis-server", "redis-benchmark"],
    async run(context) {
      const { tools, direct, seconds } = context;
      await using stack = new AsyncDisposableStack();
      const service = await startRedis(stack, tools["redis-server"]!);
      const ways = await startMeshTunnels(stack, { programs, service, proxychains: tools.proxychains4 });
      const rows: RowResult[] = [];
      for (const [pipeline, perSecond] of REDIS_LOADS) {
        const requests = perSecond * seconds;
        const title = `Redis, SET and GET, -c 50 -P ${pipeline}`;
        const run = (way: MeshWay): Promise<number> =>
          redisRequests(tools["redis-benchmark"]!, { ...way, pipeline, requests });
        await run(ways.map); // Programs that have just started compile as they go.
        const samples = await inRounds(context, title, eachWay(ways, (way) => withCpu(ways.pids, () => run(way))));
        const rates = mapValues(samples, (values) => values.map(({ result }) => result));
        rows.push(...meshResults(rates, { title, unit: "requests/s", direct: direct.name }));
        const cpu = cpuOf(samples, () => 2 * requests / 1e6);
        rows.push(...meshCpuResults(cpu, { title, unit: "µs/request" }));
      }
      return rows;
    },
  };
}

/** Bulk from tunnel to tunnel. */
export function meshBulkRow(programs: Programs): Row {
  return {
    name: "mesh",
    about: "bulk through a port map and SOCKS5 (iperf3), against a TCP rule",
    needs: ["iperf3"],
    async run(context) {
      const { tools, targets, direct, seconds } = context;
      await using stack = new AsyncDisposableStack();
      const ways = await startMeshTunnels(stack, {
        ...{ programs, service: targets.iperf!, proxychains: tools.proxychains4 },
      });
      const rows: RowResult[] = [];
      for (const direction of ["up", "down"] as const) {
        const title = `Mesh bulk, ${direction === "up" ? "to the service" : "from the service"}`;
        const measured = await inRounds(
          context,
          title,
          eachWay(ways, ({ prefix, host, port }) => {
            const command = [...prefix, tools.iperf3!] as unknown as CommandLine;
            // Nothing is left out, so that CPU time and bytes are of the same seconds.
            return withCpu(ways.pids, () => iperfGbits(command, { host, port, seconds, omitSeconds: 0, direction }));
          }),
        );
        const rates = mapValues(measured, (values) => values.map(({ result }) => result));
        rows.push(...meshResults(rates, { title, unit: "Gbit/s", direct: direct.name }));
        const cpu = cpuOf(measured, (gbits) => gbits / 8 * seconds);
        rows.push(...meshCpuResults(cpu, { title, unit: "s/GB" }));
      }
      return rows;
    },
  };
}

/** Small messages and many streams from tunnel to tunnel. */
export function meshMessageRow(programs: Programs): Row {
  return {
    name: "mesh",
    about: `one-way time of a small message through a port map, and ${STREAMS} streams at once`,
    run: (context) => measureMessages(context, programs),
  };
}

async function measureMessages(context: BenchContext, programs: Programs): Promise<RowResult[]> {
  const { targets, direct } = context;
  await using stack = new AsyncDisposableStack();
  const ways = await startMeshTunnels(stack, { programs, service: targets.echo });
  const title = "Mesh, 64-byte message, one way, p50";
  const times = await inRounds(
    context,
    title,
    eachWay(ways, async ({ port }) => quantile(await pingPong(port, PING_PONG_ROUNDS), 0.5)),
  );
  const streams = `Mesh, ${STREAMS} streams opened and answered at once`;
  const opened = await inRounds(context, streams, eachWay(ways, ({ port }) => answeredAtOnce(port, STREAMS)));
  const rows: RowResult[] = [];
  for (const [way, name] of [["rule", "TCP rule"], ["map", "port map"]] as const) {
    const values = { [direct.name]: median(times.none!), product: median(times[way]!) };
    rows.push({ title: `${title}, ${name}`, unit: "ms", values, ratios: false });
    const added = { product: values.product! - values[direct.name]! };
    rows.push({ title: `${title}, ${name}, added`, unit: "ms", values: added, ratios: false });
  }
  for (const [way, name] of [["rule", "TCP rule"], ["map", "port map"]] as const) {
    const values = { [direct.name]: median(opened.none!), product: median(opened[way]!) };
    rows.push({ title: `${streams}, ${name}`, unit: "ms", values, ratios: false });
  }
  return rows;
}

/** CPU time for each unit of work; `units` says how many units a result stands for. */
function cpuOf(
  samples: Readonly<Record<string, readonly WithCpu<number>[]>>,
  units: (result: number) => number,
): MeshCpu {
  return {
    all: mapValues(samples, (values) => values.map(({ result, cpuSeconds }) => cpuSeconds / units(result))),
    busiest: mapValues(samples, (values) => values.map(({ result, busiestSeconds }) => busiestSeconds / units(result))),
  };
}

/** The measurement of each way that there is. */
function eachWay<Value>(
  { none, rule, map, socks }: MeshWays,
  measure: (way: MeshWay) => Promise<Value>,
): Record<string, () => Promise<Value>> {
  const ways = Object.entries({ none, rule, map, ...(socks === undefined ? {} : { socks }) });
  return Object.fromEntries(ways.map(([name, way]) => [name, () => measure(way)]));
}

function mapValues<From, To>(record: Readonly<Record<string, From>>, map: (value: From) => To): Record<string, To> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value)]));
}
