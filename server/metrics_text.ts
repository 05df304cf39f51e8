import type { Mesh } from "./mesh/mesh.ts";
import type { Metrics } from "./metrics.ts";
import type { Session } from "./session.ts";
import type { Sessions } from "./sessions.ts";

/** Where the numbers come from. */
export interface MetricsSources {
  metrics: Metrics;
  sessions: Sessions;
  /** Visitor connections under way, by edge. */
  visitors: () => { http: number; tls: number; tcp: number; proxies: number };
  mesh: Pick<Mesh, "streams">;
  version: string;
}

/** One line of a metric: its labels, and the number. */
type Sample = readonly [labels: string, value: number];

/**
 * Everything that is counted, in the Prometheus text format 0.0.4. Written here because the usual library brings a statistics package
 * that `deno compile` overflows its stack on, and we have plain numbers only.
 */
export function metricsText({ metrics, sessions, visitors, mesh, version }: MetricsSources): string {
  const all = sessions.all;
  const { http, tls, tcp, proxies } = visitors();
  const refusals = [...metrics.refusals].map(([code, count]): Sample => [`{code="${code}"}`, count]);
  return [
    metric("gauge", "info", "Version of the server", [[`{version="${version}"}`, 1]]),
    metric(
      "gauge",
      "tunnels_online",
      "Tunnels with a serving session",
      count(all, ({ role }) => role === "serve" ? 1 : 0),
    ),
    metric("gauge", "sessions", "Sessions, serving and using", all.length),
    metric(
      "gauge",
      "data_channels",
      "Data channels open",
      count(all, ({ pool, incoming }) => pool.counts.channels + incoming.counts.channels),
    ),
    metric(
      "gauge",
      "data_channels_idle",
      "Data channels idle",
      count(all, ({ pool, incoming }) => pool.counts.idle + incoming.counts.idle),
    ),
    metric("gauge", "streams", "Streams under way to clients", count(all, ({ streams }) => streams)),
    metric(
      "gauge",
      "streams_waiting",
      "Streams that wait for a channel",
      count(all, ({ pool }) => pool.counts.waiting),
    ),
    metric("gauge", "http_visitors", "HTTP visitor connections under way", http),
    metric("gauge", "tls_visitors", "Visitor connections under way whose TLS is passed on", tls),
    metric("gauge", "mesh_streams", "Streams through the mesh under way", mesh.streams),
    metric("gauge", "mesh_proxy_visitors", "Connections under way to the ports of proxies into the mesh", proxies),
    metric("gauge", "tcp_visitors", "TCP visitor connections under way", tcp),
    metric("counter", "http_visitors_total", "HTTP visitor connections taken", metrics.visitors.http),
    metric(
      "counter",
      "tls_visitors_total",
      "Visitor connections taken whose TLS is passed on",
      metrics.visitors.tls,
    ),
    metric("counter", "tcp_visitors_total", "TCP visitor connections taken", metrics.visitors.tcp),
    metric("counter", "mesh_proxy_requests_total", "Requests to the server's own proxies into the mesh", [
      [`{proxy="socks"}`, metrics.proxied.socks],
      [`{proxy="connect"}`, metrics.proxied.connect],
    ]),
    metric("counter", "http_requests_total", "HTTP requests", metrics.requests),
    metric("counter", "tcp_bytes_up_total", "Bytes from visitors of TCP rules", metrics.bytes.up),
    metric("counter", "tcp_bytes_down_total", "Bytes to visitors of TCP rules", metrics.bytes.down),
    metric("counter", "credential_failures_total", "Wrong credentials", metrics.authFailures),
    metric("counter", "refusals_total", "What was refused or cut, by error code", refusals),
    metric("gauge", "resident_memory_bytes", "Resident memory of the process", Deno.memoryUsage().rss),
  ].join("");
}

function metric(type: "gauge" | "counter", name: string, help: string, value: number | readonly Sample[]): string {
  const samples: readonly Sample[] = typeof value === "number" ? [["", value]] : value;
  const lines = samples.map(([labels, number]) => `spokes_${name}${labels} ${number}\n`).join("");
  return `# HELP spokes_${name} ${help}\n# TYPE spokes_${name} ${type}\n${lines}`;
}

function count(sessions: readonly Session[], read: (session: Session) => number): number {
  return sessions.reduce((total, session) => total + read(session), 0);
}
