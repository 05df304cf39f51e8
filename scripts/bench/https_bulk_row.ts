import { startLoopbackTunnel } from "../loopback_tunnel.ts";
import type { Programs } from "../programs.ts";
import { inRounds, medianRatio } from "./in_rounds.ts";
import { median } from "./numbers.ts";
import { pumpDown, pumpUp } from "./pump.ts";
import type { BenchContext, Row, RowResult } from "./row.ts";
import { startScript } from "./targets.ts";
import { clientHello } from "./tls_visitor.ts";

const WARM_UP_SECONDS = 1;

/**
 * Bulk through a rule that passes TLS on, against a plain TCP rule. The server looks at the ClientHello and at no byte after it, so any
 * bytes may follow: neither end spends time on TLS, and what is measured is the way.
 */
export function httpsBulkRow(programs: Programs): Row {
  return {
    name: "https",
    about: "bulk over TLS that is passed on, against a plain TCP rule",
    run: (context) => measure(context, programs),
  };
}

async function measure(context: BenchContext, programs: Programs): Promise<RowResult[]> {
  const { direct, seconds } = context;
  await using stack = new AsyncDisposableStack();
  const services = { up: await startScript(stack, "sink.ts"), down: await startScript(stack, "source.ts") };
  const [sink, source] = [`127.0.0.1:${services.up}`, `127.0.0.1:${services.down}`];
  const tunnel = stack.use(
    await startLoopbackTunnel({
      ...{ programs, http: { up: sink, down: source }, tcp: [sink, source] },
      httpFlags: { up: ["--tls", sink], down: ["--tls", source] },
    }),
  );
  const tcpPorts = { up: tunnel.tcpPorts[0]!, down: tunnel.tcpPorts[1]! };
  const rows: RowResult[] = [];
  for (const [direction, pump] of [["up", pumpUp], ["down", pumpDown]] as const) {
    const head = await clientHello(`${direction}.localhost`);
    for (const port of [tcpPorts[direction], tunnel.tlsPort]) await pump({ port, head, seconds: WARM_UP_SECONDS });
    const { none, tcp, tls } = await inRounds(context, `HTTPS, bulk ${direction}`, {
      none: () => pump({ port: services[direction], head, seconds }),
      tcp: () => pump({ port: tcpPorts[direction], head, seconds }),
      tls: () => pump({ port: tunnel.tlsPort, head, seconds }),
    });
    const way = direction === "up" ? "visitor to service" : "service to visitor";
    rows.push(
      ...[{ title: `TCP rule, bulk, ${way}`, product: tcp }, { title: `TLS passed on, bulk, ${way}`, product: tls }]
        .map(({ title, product }) => {
          const values = { [direct.name]: median(none), product: median(product) };
          return { title, unit: "Gbit/s", values };
        }),
      {
        title: `TLS passed on / TCP rule, ${way}`,
        ...{ unit: "ratio", values: { product: medianRatio(tls, tcp) }, ratios: false },
      },
    );
  }
  return rows;
}
