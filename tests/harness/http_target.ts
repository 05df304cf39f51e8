import { within } from "./wait.ts";

/** A local web service that is not ours: the runtime's own HTTP server. */
export interface HttpTarget extends AsyncDisposable {
  readonly port: number;
  /** `127.0.0.1:port`, as a rule's target. */
  readonly address: string;
}

/** Serves a handler on a free port. */
export async function httpTarget(
  handler: (request: Request) => Response | Promise<Response>,
  tls: { cert: string; key: string } | Record<never, never> = {},
): Promise<HttpTarget> {
  const ready = Promise.withResolvers<number>();
  const ending = new AbortController();
  const server = Deno.serve({
    ...{ hostname: "127.0.0.1", port: 0, signal: ending.signal },
    ...tls,
    onListen: ({ port }) => ready.resolve(port),
  }, handler);
  const port = await within(ready.promise, "a web service to listen");
  return {
    port,
    address: `127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      ending.abort();
      await server.finished;
    },
  };
}

/** Answers with what it was asked, as JSON. */
export async function jsonEcho(request: Request): Promise<Response> {
  const { pathname, search } = new URL(request.url);
  const body = await request.text();
  return Response.json({
    method: request.method,
    path: pathname + search,
    headers: Object.fromEntries(request.headers),
    body,
  });
}
