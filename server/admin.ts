import { Hono } from "hono";
import type { Logger } from "../net/log.ts";
import { isLoopback } from "../net/address.ts";
import { CodedError } from "../protocol/errors.ts";

/** What the admin listener tells. */
export interface AdminParts {
  /** Whether new work is taken; otherwise why not. */
  ready: () => Promise<{ ready: true } | { ready: false; reason: string }>;
  /** Everything that is counted, in the Prometheus text format. */
  metrics: () => string;
  log: Logger;
}

/** An open admin listener. */
export interface AdminListener {
  readonly address: { hostname: string; port: number };
  close(): Promise<void>;
}

/** Health and metrics: nothing else, and never on a public port. */
export function adminApp({ ready, metrics }: AdminParts): Hono {
  const app = new Hono();
  app.get("/healthz", (context) => context.text("ok\n"));
  app.get("/readyz", async (context) => {
    const state = await ready();
    return state.ready ? context.text("ready\n") : context.text(`${state.reason}\n`, 503);
  });
  app.get("/metrics", (context) => {
    return context.body(metrics(), 200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
  });
  app.notFound((context) => context.text("There are /healthz, /readyz and /metrics here\n", 404));
  return app;
}

/** Opens the admin listener. @throws {CodedError} LISTEN_FAILED */
export function listenAdmin(address: { hostname: string; port: number }, parts: AdminParts): AdminListener {
  const app = adminApp(parts);
  try {
    const server = Deno.serve({
      ...address,
      onListen: () => {},
      onError: (error) => {
        parts.log.error("admin request failed", { reason: String(error) });
        return new Response("The server has a fault\n", { status: 500 });
      },
    }, (request) => {
      if (!isOwnHost(request, address.hostname)) {
        return new Response("This is not the name of this server\n", { status: 421 });
      }
      return app.fetch(request);
    });
    return { address: { hostname: server.addr.hostname, port: server.addr.port }, close: () => server.shutdown() };
  } catch (cause) {
    const reason = cause instanceof Deno.errors.AddrInUse ? "another program uses it" : String(cause);
    throw new CodedError("LISTEN_FAILED", `Cannot listen on ${address.hostname}:${address.port} (admin): ${reason}`, {
      cause,
    });
  }
}

/** A page that rebinds its name to a loopback address must not read what is here. */
function isOwnHost(request: Request, bound: string): boolean {
  if (!isLoopback(bound)) return true;
  const name = (request.headers.get("host") ?? "").replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  return name === "localhost" || isLoopback(name);
}
