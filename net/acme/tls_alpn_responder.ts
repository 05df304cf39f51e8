import { StreamResetError } from "../../protocol/errors.ts";
import { Deadline } from "../deadline.ts";
import type { Duplex } from "../duplex.ts";
import type { ChallengeCertificate } from "./challenges.ts";
import { TlsAlpnHandshake } from "./tls_alpn/handshake.ts";
import { HandshakeReader } from "./tls_alpn/handshake_reader.ts";
import { TlsAlertError } from "./tls_alpn/tls13.ts";

/** How a validation connection ended. `answered`: the CA was shown the certificate; whether it liked it only the CA knows. */
export type TlsAlpnOutcome = { readonly kind: "answered" } | { readonly kind: "refused"; readonly reason: string };

export interface TlsAlpnOptions {
  readonly challenge: ChallengeCertificate;
  /** From the call to the peer's close, ms. @default 10_000 */
  readonly timeoutMs?: number;
}

/** A validator looks at the certificate and leaves; on the longest way that is a few seconds. */
const TIMEOUT_MS = 10_000;
/** What a validator may still say: its Finished and close_notify are some 100 bytes. */
const MAX_TRAILING_BYTES = 16 * 1024;

/**
 * Answers a CA's tls-alpn-01 validation (RFC 8737 3) on a connection whose ClientHello, still unread, offers `acme-tls/1`; waits for
 * the peer's close and closes the connection. Never throws: whatever the peer does wrong concerns this connection alone.
 */
export async function answerTlsAlpn(duplex: Duplex, options: TlsAlpnOptions): Promise<TlsAlpnOutcome> {
  using _deadline = new Deadline(options.timeoutMs ?? TIMEOUT_MS, () => duplex.reset());
  try {
    return await converse(duplex, options.challenge);
  } catch (error) {
    return { kind: "refused", reason: error instanceof Error ? error.message : String(error) };
  } finally {
    duplex.close();
  }
}

async function converse(duplex: Duplex, challenge: ChallengeCertificate): Promise<TlsAlpnOutcome> {
  const handshake = new TlsAlpnHandshake(challenge);
  const reader = new HandshakeReader(duplex);
  try {
    for (let last = false; !last;) {
      const hello = await reader.clientHello();
      if (hello === null) return { kind: "refused", reason: "The peer left before its ClientHello was complete" };
      const reply = handshake.answer(hello);
      await duplex.write(reply.bytes);
      last = reply.last;
    }
  } catch (error) {
    if (!(error instanceof TlsAlertError)) throw error;
    await duplex.write(error.record);
    await drain(duplex);
    return { kind: "refused", reason: error.message };
  }
  await drain(duplex);
  return { kind: "answered" };
}

/** Closing earlier, with bytes unread, would cut off what we have written. */
async function drain(duplex: Duplex): Promise<void> {
  try {
    let length = 0;
    for (let bytes = await duplex.read(); bytes !== null; bytes = await duplex.read()) {
      length += bytes.length;
      if (length > MAX_TRAILING_BYTES) return;
    }
    await duplex.closeWrite();
  } catch (error) {
    // The peer has left without ceremony, after what it came for.
    if (!(error instanceof StreamResetError)) throw error;
  }
}
