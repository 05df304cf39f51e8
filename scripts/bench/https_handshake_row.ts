import { startLoopbackTunnel } from "../loopback_tunnel.ts";
import type { Programs } from "../programs.ts";
import { makeCertificates, ownCertificates } from "./certificates.ts";
import { withCpu } from "./cpu_time.ts";
import { inRounds } from "./in_rounds.ts";
import { startNginx } from "./nginx.ts";
import { median } from "./numbers.ts";
import type { BenchContext, Row, RowResult } from "./row.ts";
import { newHandshakes } from "./tls_visitor.ts";

const NAME = "hello.localhost";
const WARM_UP_SECONDS = 1;

/** Full TLS handshakes at the server's edge; without a tunnel those of nginx with the same certificate (ECDSA P-256, TLS 1.3). */
export function httpsHandshakeRow(programs: Programs): Row {
  return {
    name: "https",
    about: "full TLS handshakes a second",
    needs: ["nginx", "openssl"],
    run: (context) => measure(context, programs),
  };
}

async function measure(context: BenchContext, programs: Programs): Promise<RowResult[]> {
  const { targets, tools, direct, seconds } = context;
  await using stack = new AsyncDisposableStack();
  const certificates = await makeCertificates(stack, tools.openssl!);
  const nginx = await startNginx(stack, tools.nginx!, { certificates });
  const tunnel = stack.use(
    await startLoopbackTunnel({
      ...{ programs, tcp: [], http: { hello: `127.0.0.1:${targets.hello}` } },
      certificates: await ownCertificates(certificates),
    }),
  );
  await newHandshakes(tunnel.tlsPort, NAME, WARM_UP_SECONDS);
  async function handshakes(port: number, pid: number): Promise<{ perSecond: number; cpuMs: number }> {
    const { result, cpuSeconds } = await withCpu([pid], () => newHandshakes(port, NAME, seconds));
    return { perSecond: result, cpuMs: cpuSeconds * 1e3 / (result * seconds) };
  }
  const measured = await inRounds(context, "HTTPS, handshakes", {
    nginx: () => handshakes(nginx.port, nginx.pid),
    product: () => handshakes(tunnel.tlsPort, tunnel.server.pid),
  });
  function medians(of: "perSecond" | "cpuMs"): Record<string, number> {
    const [none, product] = [measured.nginx, measured.product].map((samples) => median(samples.map((s) => s[of])));
    return { [direct.name]: none!, product: product! };
  }
  return [
    { title: "Full TLS handshakes, 16 at a time", unit: "handshakes/s", values: medians("perSecond") },
    {
      title: "Full TLS handshake: CPU of nginx, of the server",
      ...{ unit: "ms", values: medians("cpuMs"), ratios: false },
    },
  ];
}
