import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import { AcmeError } from "./acme_error.ts";
import { refusedRequest } from "./acme_problem.ts";
import { type AcmeTransport, requireHttps, retryAfterMs } from "./acme_transport.ts";
import type { RenewalWindow } from "./renewal.ts";

/** What a CA says about the renewal of one certificate. */
export interface RenewalInfo {
  readonly window: RenewalWindow;
  /** When to ask again, ms from now. */
  readonly askAgainMs: number;
}

const MINUTE_MS = 60_000;
/** When the CA does not say when to ask again (RFC 9773 4.3.3 advises 6 hours). */
const ASK_AGAIN_MS = 6 * 3_600_000;

/**
 * The id of the first certificate of a chain for renewal information (RFC 9773 4.1); `undefined` for one without an authority key
 * identifier.
 */
export async function renewalId(chainPem: string): Promise<string | undefined> {
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  const certificate = new x509.X509Certificate(new Uint8Array(new X509Certificate(chainPem).raw));
  const keyId = certificate.getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId;
  if (keyId === undefined) return undefined;
  return `${base64url(keyId)}.${base64url(derInteger(certificate.serialNumber))}`;
}

/**
 * Asks the CA when it would like the certificate with this id to be replaced; `undefined` when it does not say such things.
 * @throws {AcmeError}
 */
export async function fetchRenewalInfo(
  transport: AcmeTransport,
  { directory, id, signal }: { directory: string; id: string; signal: AbortSignal },
): Promise<RenewalInfo | undefined> {
  const { data: resources } = await get(transport, requireHttps(directory).href, signal);
  const { renewalInfo } = resources as { renewalInfo?: unknown };
  if (typeof renewalInfo !== "string") return undefined;
  const { data, headers } = await get(transport, `${renewalInfo}/${id}`, signal);
  const wait = retryAfterMs(headers["retry-after"], Date.now()) ?? ASK_AGAIN_MS;
  return { window: parseWindow(data), askAgainMs: Math.max(wait, MINUTE_MS) };
}

async function get(transport: AcmeTransport, url: string, signal: AbortSignal) {
  const response = await transport.request(url, { method: "GET", signal });
  if (response.status === 200 && typeof response.data === "object" && response.data !== null) return response;
  throw refusedRequest(new URL(url).host, response);
}

function parseWindow(data: unknown): RenewalWindow {
  const { suggestedWindow } = data as { suggestedWindow?: { start?: unknown; end?: unknown } | null };
  const [start, end] = [new Date(String(suggestedWindow?.start)), new Date(String(suggestedWindow?.end))];
  if (start.getTime() < end.getTime()) return { start, end };
  throw new AcmeError("ACME_REFUSED", "the CA's renewal window is not valid");
}

/** The content of the serial number in DER: a leading zero where the first bit would be a sign. */
function derInteger(hex: string): string {
  const even = hex.length % 2 === 0 ? hex : `0${hex}`;
  return /^[89a-f]/i.test(even) ? `00${even}` : even;
}

function base64url(hex: string): string {
  return Buffer.from(hex, "hex").toString("base64url");
}
