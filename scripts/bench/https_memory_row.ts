import net from "node:net";
import type tls from "node:tls";
import { startLoopbackTunnel } from "../loopback_tunnel.ts";
import type { Programs } from "../programs.ts";
import { makeCertificates, ownCertificates } from "./certificates.ts";
import { slope } from "./numbers.ts";
import { parallel } from "./parallel.ts";
import { keptKiB, withCollector } from "./resident_memory.ts";
import type { BenchContext, Row, RowResult } from "./row.ts";
import { connectTls } from "./tls_visitor.ts";

const NAME = "hello.localhost";
/** Idle visitors for each idle tunnel of the memory row. */
const VISITORS_PER_TUNNEL = 2;
/** Measurements on the way to the full number. */
const STEPS = 4;
/** Longer than the measurement. */
const KEEP_ALIVE = "10m";

/** What the server keeps in memory for a visitor who has had an answer and keeps the connection. */
export function httpsMemoryRow(programs: Programs): Row {
  return {
    name: "https",
    about: "memory of the server for an idle HTTPS visitor",
    needs: ["openssl"],
    run: (context) => measure(context, withCollector(programs)),
  };
}

async function measure(context: BenchContext, programs: Programs): Promise<RowResult[]> {
  const count = context.tunnels * VISITORS_PER_TUNNEL;
  const rows: RowResult[] = [];
  for (const [kind, open] of [["HTTP", connectPlain], ["HTTPS", connectTls]] as const) {
    const kib = await kibPerVisitor(context, { programs, kind, open, count });
    rows.push({ title: `Idle ${kind} visitor, of ${count}`, unit: "KiB", values: { product: kib }, ratios: false });
  }
  return rows;
}

interface Visitors {
  readonly programs: Programs;
  readonly kind: "HTTP" | "HTTPS";
  readonly open: (port: number, name: string) => Promise<net.Socket | tls.TLSSocket>;
  readonly count: number;
}

async function kibPerVisitor(
  { targets, tools, note }: BenchContext,
  { programs, kind, open, count }: Visitors,
): Promise<number> {
  await using stack = new AsyncDisposableStack();
  // A server of its own for each kind: one that was under load has memory to spare.
  const tunnel = stack.use(
    await startLoopbackTunnel({
      ...{ programs, tcp: [], http: { hello: `127.0.0.1:${targets.hello}` }, limits: { keep_alive: KEEP_ALIVE } },
      certificates: await ownCertificates(await makeCertificates(stack, tools.openssl!)),
    }),
  );
  const port = kind === "HTTP" ? tunnel.httpPort : tunnel.tlsPort;
  async function visit(): Promise<void> {
    const socket = await open(port, NAME);
    stack.defer(() => void socket.destroy());
    await exchange(socket);
  }
  const points: [visitors: number, kib: number][] = [];
  for (let step = 1; step <= STEPS; step++) {
    note(`HTTPS, memory: ${kind}, step ${step} of ${STEPS}`);
    await parallel(count / STEPS, visit);
    points.push([count * step / STEPS, await keptKiB(tunnel.server)]);
  }
  return slope(points);
}

async function connectPlain(port: number): Promise<net.Socket> {
  const socket = net.connect({ host: "127.0.0.1", port });
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  return socket;
}

/** One request on a connection that stays open; all of the answer is in one piece. */
async function exchange(socket: net.Socket): Promise<void> {
  const answer = new Promise<Uint8Array>((resolve, reject) => socket.once("data", resolve).once("error", reject));
  socket.write(`GET / HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`);
  const text = new TextDecoder().decode(await answer);
  if (!text.startsWith("HTTP/1.1 200 ")) throw new Error(`Cannot measure: ${text.slice(0, 40)}`);
}
