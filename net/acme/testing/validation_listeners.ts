import { Challenges, challengeToken } from "../challenges.ts";
import { freePorts } from "../../testing/free_port.ts";
import { listenTlsAlpn } from "./tls_alpn_listener.ts";

/** Where a CA looks for the answers in {@link Challenges}, as an edge would give them. */
export interface ValidationListeners extends AsyncDisposable {
  readonly challenges: Challenges;
  readonly httpPort: number;
  readonly tlsPort: number;
  /** Hosts of the http-01 requests that came. */
  readonly httpAsked: readonly string[];
}

/** Opens both listeners. `tlsName` is the only name that tls-alpn-01 is answered for. */
export async function listenForValidation(tlsName = "tls.example.com"): Promise<ValidationListeners> {
  const challenges = new Challenges();
  const [httpPort = 0] = freePorts(1);
  const httpAsked: string[] = [];
  const http = Deno.serve({ hostname: "127.0.0.1", port: httpPort, onListen: () => {} }, (request) => {
    const { hostname, pathname } = new URL(request.url);
    httpAsked.push(hostname);
    const token = challengeToken(pathname);
    const answer = token === undefined ? undefined : challenges.httpAnswer(hostname, token);
    return new Response(answer ?? "nothing here", { status: answer === undefined ? 404 : 200 });
  });
  const tls = await listenTlsAlpn(() => challenges.tlsAlpnAnswer(tlsName));
  return {
    challenges,
    httpPort,
    tlsPort: tls.port,
    httpAsked,
    async [Symbol.asyncDispose]() {
      await tls[Symbol.asyncDispose]();
      await http.shutdown();
    },
  };
}
