import { parseArgs } from "node:util";
import { renderTable } from "../cli/table.ts";
import { distanceRow } from "./bench/distance_row.ts";
import { httpsBulkRow } from "./bench/https_bulk_row.ts";
import { httpsHandshakeRow } from "./bench/https_handshake_row.ts";
import { httpsMemoryRow } from "./bench/https_memory_row.ts";
import { httpsRequestsRow } from "./bench/https_requests_row.ts";
import { memoryRow } from "./bench/memory_row.ts";
import { meshBulkRow, meshMessageRow, meshRedisRow } from "./bench/mesh_rows.ts";
import { formatNumber } from "./bench/numbers.ts";
import { startPeers } from "./bench/peers.ts";
import { recoveryRow } from "./bench/recovery_row.ts";
import { type BenchContext, type Row, type RowResult, SkipError } from "./bench/row.ts";
import { bulkRow, connectRow, httpRow, latencyRow, messageRow } from "./bench/speed_rows.ts";
import { directSystem, startProduct, startPrototype, type System, TOOLS } from "./bench/systems.ts";
import { startTargets } from "./bench/targets.ts";
import { findTool, type Tool } from "./bench/tools.ts";
import { type Programs, programsFromSource, programsIn } from "./programs.ts";

/** A full run, and what --quick makes of it. */
const FULL = { rounds: 3, seconds: 4, tunnels: 1_000 } as const;
const QUICK = { rounds: 1, seconds: 2, tunnels: 200 } as const;

async function main(args: string[]): Promise<number> {
  const { quick, only = [], binaries, peers, help } = parseArgs({
    args,
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string", multiple: true },
      binaries: { type: "string" },
      peers: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  }).values;
  const programs = binaries === undefined ? programsFromSource() : programsIn(binaries);
  const rows = allRows(programs);
  if (help) {
    console.log(usage(rows));
    return 0;
  }
  const unknown = only.find((name) => !rows.some((row) => row.name === name));
  if (unknown !== undefined) {
    console.error(`Cannot measure "${unknown}"\n\n${usage(rows)}`);
    return 2;
  }
  const chosen = rows.filter(({ name }) => only.length === 0 || only.includes(name));
  const { results, skipped, failed, columns } = await measure(chosen, {
    ...{ programs, size: quick ? QUICK : FULL },
    ...(peers === undefined ? {} : { peers }),
  });
  for (const line of renderResults(results, columns)) console.log(line);
  for (const line of skipped) console.log(line);
  return failed ? 1 : 0;
}

function allRows(programs: Programs): Row[] {
  return [
    ...[httpRow, bulkRow, latencyRow, messageRow, connectRow],
    ...[httpsRequestsRow(programs), httpsBulkRow(programs)],
    ...[httpsHandshakeRow(programs), httpsMemoryRow(programs)],
    ...[meshRedisRow(programs), meshBulkRow(programs), meshMessageRow(programs)],
    ...[distanceRow(programs), memoryRow(programs), recoveryRow(programs)],
  ];
}

function usage(rows: readonly Row[]): string {
  return `Usage: deno task bench [--quick] [--only ROW]... [--binaries FOLDER] [--peers FOLDER]

Measures the programs against no tunnel on this machine, everything on loopback, and prints a table.
  --quick            one round and short times: to see that it works
  --only ROW         only this row; may be repeated
  --binaries FOLDER  the compiled programs in FOLDER, not those from source
  --peers FOLDER     also those of rathole, frps with frpc, and chisel that are in FOLDER

Rows:
${rows.map(({ name, about }) => `  ${name.padEnd(10)} ${about}`).join("\n")}`;
}

interface Measured {
  results: RowResult[];
  skipped: string[];
  failed: boolean;
  /** Names of the systems, as the columns stand. */
  columns: string[];
}

async function measure(
  rows: readonly Row[],
  { programs, size, peers }: { programs: Programs; size: typeof FULL | typeof QUICK; peers?: string },
): Promise<Measured> {
  await using stack = new AsyncDisposableStack();
  const tools = await findTools();
  note("starting the services, the prototype and the programs");
  const targets = stack.use(await startTargets(tools));
  const direct = directSystem(targets);
  const product = await startProduct(targets, { programs, stack });
  const prototype = tools.openssl && await startPrototype(targets, { openssl: tools.openssl, stack });
  const others = peers !== undefined && tools.openssl !== undefined
    ? await startPeers(targets, { folder: peers, openssl: tools.openssl, stack })
    : [];
  const systems: System[] = [direct, ...others, ...(prototype ? [prototype] : []), product];
  const context: BenchContext = { tools, targets, direct, product, systems, note, ...size };
  const results: RowResult[] = [];
  const skipped: string[] = [];
  let failed = false;
  for (const row of rows) {
    try {
      const missing = row.needs?.filter((name) => tools[name] === undefined) ?? [];
      if (missing.length > 0) throw new SkipError(`${missing.join(" and ")} is not installed`);
      results.push(...await row.run(context));
    } catch (error) {
      failed ||= !(error instanceof SkipError);
      const what = error instanceof SkipError ? "skipped" : "FAILED";
      skipped.push(`${row.name}: ${what}: ${error instanceof Error ? error.message : error}`);
    }
  }
  return { results, skipped, failed, columns: systems.map(({ name }) => name) };
}

async function findTools(): Promise<Partial<Record<Tool, string>>> {
  const found = await Promise.all(TOOLS.map(async (name) => [name, await findTool(name)] as const));
  return Object.fromEntries(found.filter(([, path]) => path !== undefined));
}

/** What is going on, beside the table. */
function note(text: string): void {
  console.error(text);
}

function renderResults(results: readonly RowResult[], columns: readonly string[]): string[] {
  const others = columns.filter((name) => name !== "product");
  const head = ["", "unit", ...columns, ...others.map((name) => `product / ${name}`)];
  return renderTable(
    head,
    results.map(({ title, unit, values, ratios = true }) => [
      title,
      unit,
      ...columns.map((name) => formatNumber(values[name] ?? NaN)),
      ...others.map((name) => ratios ? formatNumber((values["product"] ?? NaN) / (values[name] ?? NaN)) : "-"),
    ]),
  );
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(1);
  }
}
