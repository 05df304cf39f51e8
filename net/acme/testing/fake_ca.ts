import { testCertificate } from "../../testing/certificate.ts";

/** An HTTPS server that says what a test wants a CA to say. */
export interface FakeCa extends AsyncDisposable {
  /** `https://localhost:PORT` */
  readonly origin: string;
  /** PEM of its authority. */
  readonly ca: string;
  /** Method and path of each request. */
  readonly asked: readonly string[];
}

/** Starts one. */
export async function startFakeCa(answer: (request: Request) => Response | Promise<Response>): Promise<FakeCa> {
  const { authority, certificate, key } = await testCertificate("localhost");
  const asked: string[] = [];
  const options = { hostname: "127.0.0.1", port: 0, cert: certificate, key, onListen: () => {} };
  const server = Deno.serve(options, (request) => {
    asked.push(`${request.method} ${new URL(request.url).pathname}`);
    return answer(request);
  });
  return {
    origin: `https://localhost:${server.addr.port}`,
    ca: authority,
    asked,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}
