import type { Metrics } from "./metrics.ts";
import type { Sessions } from "./sessions.ts";

/** Where the numbers come from. */
export interface MetricsSources {
  metrics: Metrics;
  sessions: Sessions;
  /** Visitor connections under way, by edge. */
  visitors: () => { http: number; tcp: number };
  version: string;
}

/** Gives everything that is counted in the Prometheus text format; the numbers are read when somebody asks. */
export async function metricsText(sources: MetricsSources): Promise<() => Promise<string>> {
  const { Counter, Gauge, Registry } = await import("prom-client");
  const registry = new Registry();
  const registers = [registry];
  const { metrics, sessions } = sources;
  function counter(name: string, help: string, read: () => number): void {
    new Counter({
      ...{ name: `spokes_${name}`, help, registers },
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  }
  function gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      ...{ name: `spokes_${name}`, help, registers },
      collect() {
        this.set(read());
      },
    });
  }
  new Gauge({ name: "spokes_info", help: "Version of the server", labelNames: ["version"], registers }).set(
    { version: sources.version },
    1,
  );
  gauge(
    "tunnels_online",
    "Tunnels with a serving session",
    () => sessions.all.filter((each) => each.role === "serve").length,
  );
  gauge("sessions", "Sessions, serving and using", () => sessions.all.length);
  gauge("data_channels", "Data channels open", () => sum(sessions, (each) => each.pool.counts.channels));
  gauge("data_channels_idle", "Data channels idle", () => sum(sessions, (each) => each.pool.counts.idle));
  gauge("streams", "Streams under way", () => sum(sessions, (each) => each.streams));
  gauge("streams_waiting", "Streams that wait for a channel", () => sum(sessions, (each) => each.pool.counts.waiting));
  gauge("http_visitors", "HTTP visitor connections under way", () => sources.visitors().http);
  gauge("tcp_visitors", "TCP visitor connections under way", () => sources.visitors().tcp);
  counter("http_visitors_total", "HTTP visitor connections taken", () => metrics.visitors.http);
  counter("tcp_visitors_total", "TCP visitor connections taken", () => metrics.visitors.tcp);
  counter("http_requests_total", "HTTP requests", () => metrics.requests);
  counter("tcp_bytes_up_total", "Bytes from visitors of TCP rules", () => metrics.bytes.up);
  counter("tcp_bytes_down_total", "Bytes to visitors of TCP rules", () => metrics.bytes.down);
  counter("credential_failures_total", "Wrong credentials", () => metrics.authFailures);
  gauge("resident_memory_bytes", "Resident memory of the process", () => Deno.memoryUsage().rss);
  new Counter({
    ...{
      name: "spokes_refusals_total",
      help: "What was refused or cut, by error code",
      labelNames: ["code"],
      registers,
    },
    collect() {
      this.reset();
      for (const [code, count] of metrics.refusals) this.inc({ code }, count);
    },
  });
  return () => registry.metrics();
}

function sum(sessions: Sessions, read: (session: Sessions["all"][number]) => number): number {
  return sessions.all.reduce((total, session) => total + read(session), 0);
}
