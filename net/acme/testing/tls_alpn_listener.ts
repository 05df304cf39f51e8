import { listen } from "../../listen.ts";
import { SocketDuplex } from "../../socket_duplex.ts";
import type { ChallengeCertificate } from "../challenges.ts";
import { answerTlsAlpn, type TlsAlpnOutcome } from "../tls_alpn_responder.ts";

/** A listener all of whose connections are validations. */
export interface TlsAlpnListener extends AsyncDisposable {
  readonly port: number;
  /** How each connection ended, in order. */
  readonly outcomes: readonly TlsAlpnOutcome[];
  /** Settles with the next outcome. */
  next(): Promise<TlsAlpnOutcome>;
}

/** Answers on `port` of every loopback address with what `challenge` gives; without any the connection is reset. */
export async function listenTlsAlpn(
  challenge: () => ChallengeCertificate | undefined,
  port: number = 0,
): Promise<TlsAlpnListener> {
  const outcomes: TlsAlpnOutcome[] = [];
  let waiting = Promise.withResolvers<TlsAlpnOutcome>();
  const running = new Set<Promise<void>>();
  const bound = await listen({ hostname: "::", port }, (socket) => {
    const certificate = challenge();
    if (certificate === undefined) return void socket.resetAndDestroy();
    const task = answerTlsAlpn(SocketDuplex.plain(socket), { challenge: certificate }).then((outcome) => {
      running.delete(task);
      outcomes.push(outcome);
      waiting.resolve(outcome);
      waiting = Promise.withResolvers();
    });
    running.add(task);
  });
  return {
    port: bound.address.port,
    outcomes,
    next: () => waiting.promise,
    async [Symbol.asyncDispose]() {
      await bound[Symbol.asyncDispose]();
      await Promise.all(running);
    },
  };
}
