import { join } from "node:path";
import { startLoopbackTunnel } from "../loopback_tunnel.ts";
import type { Programs } from "../programs.ts";
import { makeCertificates, ownCertificates } from "./certificates.ts";
import { withCpu } from "./cpu_time.ts";
import { withHosts } from "./hosts.ts";
import { inRounds, medianRatio } from "./in_rounds.ts";
import { wrkUrl } from "./load.ts";
import { startNginx } from "./nginx.ts";
import { median } from "./numbers.ts";
import type { BenchContext, Row, RowResult } from "./row.ts";

/** First labels of the rules: TLS ends at the server, with the operator's certificate, and in the client, with files. */
const AT_SERVER = "server";
const IN_CLIENT = "client";
/** Programs that have just started compile as they go. */
const WARM_UP_SECONDS = 2;

/** HTTPS against plain HTTP through the same tunnel, from the same generator; without a tunnel it is what TLS costs nginx. */
export function httpsRequestsRow(programs: Programs): Row {
  return {
    name: "https",
    about: "HTTPS requests a second against plain HTTP (wrk -t1 -c32; needs mount namespaces)",
    needs: ["wrk", "nginx", "openssl", "unshare"],
    run: (context) => measure(context, programs),
  };
}

/** One measurement. */
interface Sample {
  readonly perSecond: number;
  /** CPU time of the programs for one request, µs. */
  readonly cpuMicros: number;
}

async function measure(context: BenchContext, programs: Programs): Promise<RowResult[]> {
  const { targets, seconds } = context;
  const { wrk, nginx, openssl, unshare } = context.tools as Required<typeof context.tools>;
  await using stack = new AsyncDisposableStack();
  const certificates = await makeCertificates(stack, openssl);
  const secure = await startNginx(stack, nginx, { certificates });
  const target = `127.0.0.1:${targets.nginx}`;
  const pair = ["--ca", join(certificates, "cert.pem"), "--key", join(certificates, "key.pem")];
  const tunnel = stack.use(
    await startLoopbackTunnel({
      ...{ programs, tcp: [], http: { [IN_CLIENT]: target, [AT_SERVER]: target }, httpFlags: { [IN_CLIENT]: pair } },
      certificates: await ownCertificates(certificates),
    }),
  );
  const names = [AT_SERVER, IN_CLIENT].map((label) => `${label}.localhost`);
  const generator = [...await withHosts(stack, unshare, names), wrk] as const;
  const pids = [tunnel.server.pid, tunnel.client.pid];
  async function load(url: string): Promise<Sample> {
    const { result, cpuSeconds } = await withCpu(pids, () => wrkUrl(generator, url, seconds));
    return { perSecond: result, cpuMicros: cpuSeconds * 1e6 / (result * seconds) };
  }
  const urls = {
    http: `http://${AT_SERVER}.localhost:${tunnel.httpPort}/`,
    server: `https://${AT_SERVER}.localhost:${tunnel.tlsPort}/`,
    client: `https://${IN_CLIENT}.localhost:${tunnel.tlsPort}/`,
  };
  for (const url of Object.values(urls)) await wrkUrl(generator, url, WARM_UP_SECONDS);
  const measured = await inRounds(context, "HTTPS", {
    "nginx, HTTP": () => load(`http://${AT_SERVER}.localhost:${targets.nginx}/`),
    "nginx, HTTPS": () => load(`https://${AT_SERVER}.localhost:${secure.port}/`),
    "tunnel, HTTP": () => load(urls.http),
    "tunnel, HTTPS at the server": () => load(urls.server),
    "tunnel, HTTPS in the client": () => load(urls.client),
  });
  return results(context.direct.name, {
    http: { direct: measured["nginx, HTTP"], product: measured["tunnel, HTTP"] },
    server: { direct: measured["nginx, HTTPS"], product: measured["tunnel, HTTPS at the server"] },
    client: { product: measured["tunnel, HTTPS in the client"] },
  });
}

interface Ways {
  readonly direct?: readonly Sample[];
  readonly product: readonly Sample[];
}

/** Requests of each, then what HTTPS makes of those of HTTP, then the CPU time behind them. */
function results(direct: string, { http, server, client }: Record<"http" | "server" | "client", Ways>): RowResult[] {
  const rates = ({ direct: samples, product }: Ways): Readonly<Record<string, readonly number[]>> => ({
    ...(samples === undefined ? {} : { [direct]: samples.map(({ perSecond }) => perSecond) }),
    product: product.map(({ perSecond }) => perSecond),
  });
  const ways = [["HTTP, beside HTTPS", http], ["HTTPS, TLS ends at the server", server], [
    "HTTPS, TLS ends in the client",
    client,
  ]] as const;
  const base = rates(http);
  return [
    ...ways.map(([title, way]) => ({ title, unit: "requests/s", values: mapValues(rates(way), median) })),
    ...ways.slice(1).map(([title, way]) => ({
      title: title.replace("HTTPS", "HTTPS / HTTP"),
      unit: "ratio",
      values: mapValues(rates(way), (values, name) => medianRatio(values, base[name] ?? [])),
      ratios: false,
    })),
    ...ways.map(([title, { product }]) => ({
      title: `${title}: CPU of both programs`,
      unit: "µs/request",
      values: { product: median(product.map(({ cpuMicros }) => cpuMicros)) },
      ratios: false,
    })),
  ];
}

function mapValues(
  record: Readonly<Record<string, readonly number[]>>,
  map: (values: readonly number[], name: string) => number,
): Record<string, number> {
  return Object.fromEntries(Object.entries(record).map(([name, values]) => [name, map(values, name)]));
}
