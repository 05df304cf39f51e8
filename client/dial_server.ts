import { ConnDuplex } from "../net/conn_duplex.ts";
import { CodedError, toCodedError } from "../protocol/errors.ts";
import { INTERNAL_SNI } from "../protocol/limits.ts";
import type { ResolvedServerAddress } from "./server_address.ts";

/** TCP connect, and after it the TLS handshake: each within this time. */
const DIAL_TIMEOUT_MS = 10_000;

/** Servers that show us a certificate that we trust by their internal name only. */
const internal = new WeakSet<ResolvedServerAddress>();

/**
 * Connects to the server over TLS, verified against the public roots and the pinned CA. By its public name a server may show
 * a certificate of an authority that we do not know; by the internal name it always shows one of the pinned CA, which is then
 * asked for instead.
 * @throws {CodedError} SERVER_UNREACHABLE, SERVER_TLS
 */
export async function dialServer(address: ResolvedServerAddress, signal?: AbortSignal): Promise<ConnDuplex> {
  const byInternalName = { ...address, sni: INTERNAL_SNI };
  try {
    return await dial(internal.has(address) ? byInternalName : address, signal);
  } catch (error) {
    const isOver = internal.delete(address) || signal?.aborted === true || address.ca === undefined ||
      address.sni === INTERNAL_SNI || !(error instanceof CodedError) || error.kind !== "SERVER_TLS";
    if (isOver) throw error;
    const duplex = await dial(byInternalName, signal).catch(() => null);
    // What the server said by its own name tells more.
    if (duplex === null) throw error;
    internal.add(address);
    return duplex;
  }
}

async function dial(address: ResolvedServerAddress, signal: AbortSignal | undefined): Promise<ConnDuplex> {
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(new Error("no answer in 10 s")), DIAL_TIMEOUT_MS);
  const either = signal === undefined ? timeout.signal : AbortSignal.any([signal, timeout.signal]);
  try {
    const tcp = await connectTcp(address, either);
    return new ConnDuplex(await startTls(tcp, address, either));
  } finally {
    clearTimeout(timer);
  }
}

async function connectTcp({ hostname, port }: ResolvedServerAddress, signal: AbortSignal): Promise<Deno.TcpConn> {
  try {
    const tcp = await Deno.connect({ hostname, port, signal });
    tcp.setNoDelay(true);
    return tcp;
  } catch (cause) {
    const reason = signal.aborted ? reasonOf(signal.reason) : reasonOf(cause);
    throw new CodedError("SERVER_UNREACHABLE", `Cannot reach the server at ${hostname}:${port}: ${reason}`, { cause });
  }
}

async function startTls(
  tcp: Deno.TcpConn,
  { sni, ca }: ResolvedServerAddress,
  signal: AbortSignal,
): Promise<Deno.TlsConn> {
  let secure: Deno.TlsConn | undefined;
  function abort(): void {
    try {
      (secure ?? tcp).close();
    } catch {
      // The runtime has taken the connection for TLS, and closed it when that failed.
    }
  }
  signal.addEventListener("abort", abort, { once: true });
  try {
    secure = await Deno.startTls(tcp, {
      hostname: sni,
      alpnProtocols: ["http/1.1"],
      ...(ca === undefined ? {} : { caCerts: [ca] }),
    });
    await secure.handshake();
    signal.throwIfAborted();
    return secure;
  } catch (cause) {
    if (!signal.aborted) abort();
    const reason = signal.aborted ? reasonOf(signal.reason) : reasonOf(cause);
    throw new CodedError("SERVER_TLS", `Cannot establish TLS with the server as "${sni}": ${reason}`, { cause });
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function reasonOf(error: unknown): string {
  return toCodedError(error).message.replace(/ \(os error \d+\)$/, "");
}
