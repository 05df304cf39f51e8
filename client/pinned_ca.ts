import { X509Certificate } from "node:crypto";
import { createHash } from "node:crypto";
import tls from "node:tls";
import { CodedError } from "../protocol/errors.ts";
import { INTERNAL_SNI } from "../protocol/limits.ts";
import type { ResolvedServerAddress } from "./server_address.ts";

const TIMEOUT_MS = 10_000;

/**
 * Fetches the CA of a server whose CA pin (SHA-256 of its DER, base64url) is known from an invite. Nothing is sent on that
 * connection but the handshake; whether the server's certificate is really signed by this CA is checked by every later dial.
 * @throws {CodedError} PIN_MISMATCH, SERVER_UNREACHABLE
 */
export async function fetchPinnedCa(address: ResolvedServerAddress, pin: string): Promise<string> {
  const shown = await presentedChain(address);
  // By its public name the server may show a certificate of another authority; what is no server of ours knows no other name.
  const chain = findPinned(shown, pin) === undefined
    ? await presentedChain({ ...address, sni: INTERNAL_SNI }).catch(() => shown)
    : shown;
  const pinned = findPinned(chain, pin);
  if (pinned !== undefined) return new X509Certificate(pinned).toString();
  throw new CodedError(
    "PIN_MISMATCH",
    `The server at ${address.hostname}:${address.port} does not show the certificate authority of the invite`,
  );
}

function findPinned(chain: readonly Uint8Array[], pin: string): Uint8Array | undefined {
  return chain.find((der) => createHash("sha256").update(der).digest("base64url") === pin);
}

function presentedChain({ hostname, port, sni }: ResolvedServerAddress): Promise<Uint8Array[]> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array[]>();
  // WARNING: nothing may be sent on this connection: only the pin, compared by the caller, says whom we are talking to.
  const socket = tls.connect({ host: hostname, port, servername: sni, rejectUnauthorized: false });
  function fail(reason: string, cause?: unknown): void {
    reject(
      new CodedError("SERVER_UNREACHABLE", `Cannot reach the server at ${hostname}:${port}: ${reason}`, { cause }),
    );
  }
  socket.setTimeout(TIMEOUT_MS, () => fail("no answer in 10 s"));
  socket.once("error", (cause: Error) => fail(cause.message, cause));
  socket.once("secureConnect", () => resolve(chainOf(socket)));
  return promise.finally(() => socket.destroy());
}

function chainOf(socket: tls.TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = [];
  let certificate: tls.DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  while (certificate?.raw !== undefined && !chain.some((seen) => certificate!.raw.equals(seen))) {
    chain.push(certificate.raw);
    certificate = certificate.issuerCertificate;
  }
  return chain;
}
