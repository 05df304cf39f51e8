import { createHash, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { parseAddress } from "../net/address.ts";
import { type CertificatePem, readKeyPair } from "../net/certificate.ts";
import { CodedError } from "../protocol/errors.ts";
import { INTERNAL_SNI } from "../protocol/limits.ts";
import { createCa, type SignedCertificate, signLeaf } from "./sign_certificate.ts";
import { readStateFile, writeStateFile } from "./store/state_folder.ts";

/** The server's own certificate authority, and what it signed for the tunnel endpoint. PEM. */
export interface Authority {
  readonly ca: SignedCertificate;
  /** The endpoint's key, and its chain: leaf and CA, so that a client finds the pinned CA in what was sent. */
  readonly pair: CertificatePem;
  /** SHA-256 of the CA certificate, base64url: what invites carry. */
  readonly pin: string;
}

export interface AuthorityOptions {
  /** The endpoint's name or address. */
  readonly hostname: string;
  /** ms since the epoch. @default now */
  readonly now?: number;
}

/** Certificate and key in one file each, so that a pair can never be half replaced. */
const CA_FILE = "authority.pem";
const LEAF_FILE = "endpoint.pem";

const PEM_BLOCK = /-----BEGIN ([A-Z ]+)-----[\s\S]+?-----END \1-----\n?/g;

/** Makes an authority that nobody stores: for a server without a state folder. */
export async function createAuthority({ hostname, now = Date.now() }: AuthorityOptions): Promise<Authority> {
  return await renewLeaf(await createCa(now), { hostname, now });
}

/** Signs a new leaf with a new key. */
export async function renewLeaf(ca: SignedCertificate, options: AuthorityOptions): Promise<Authority> {
  const leaf = await signLeaf(ca, options.hostname, options.now ?? Date.now());
  return toAuthority(ca, { certificate: leaf.certificate.trimEnd() + "\n" + ca.certificate, key: leaf.key });
}

/** Whether the leaf should be signed again: less than a third of its life is left, or it is not for `hostname`. */
export function needsRenewal(authority: Authority, { hostname, now = Date.now() }: AuthorityOptions): boolean {
  return !isFresh(readKeyPair(authority.pair), hostname, now);
}

/**
 * Loads the authority of a state folder, makes what is missing and renews what is due, so calling it once a day keeps the
 * endpoint's certificate valid. Several processes may do so at once.
 * @throws {CodedError} STATE_UNAVAILABLE, CERTIFICATE_INVALID for a CA that cannot sign (it is never replaced by itself)
 */
export async function openAuthority(folder: string, options: AuthorityOptions): Promise<Authority> {
  const now = options.now ?? Date.now();
  const ca = await loadCa(folder) ?? await makeCa(folder, now);
  const loaded = await loadLeaf(folder, ca, options.hostname, now);
  if (loaded !== null) return loaded;
  const renewed = await renewLeaf(ca, { ...options, now });
  await writeStateFile(join(folder, LEAF_FILE), renewed.pair.key + renewed.pair.certificate);
  return renewed;
}

/** The pin of a CA: SHA-256 of its certificate (DER), base64url. `pem` is the certificate, or begins with it. */
export function caPin(pem: string): string {
  return createHash("sha256").update(new X509Certificate(pem).raw).digest("base64url");
}

/** The pin of the authority in a state folder; null when it has none. Throws as `openAuthority` does. */
export async function loadPin(folder: string): Promise<string | null> {
  const ca = await loadCa(folder);
  return ca === null ? null : caPin(ca.certificate);
}

async function loadCa(folder: string): Promise<SignedCertificate | null> {
  const path = join(folder, CA_FILE);
  const text = await readStateFile(path);
  if (text === null) return null;
  const ca = splitPem(text);
  const certificate = readKeyPair(ca, `the certificate authority in "${path}"`);
  if (!certificate.ca) throw new CodedError("CERTIFICATE_INVALID", `The certificate in "${path}" is no authority`);
  return ca;
}

async function makeCa(folder: string, now: number): Promise<SignedCertificate> {
  const ca = await createCa(now);
  await writeStateFile(join(folder, CA_FILE), ca.key + ca.certificate, { ifMissing: true });
  // Read back: another process may have been first, and there must be one pin.
  return await loadCa(folder) ?? ca;
}

/** The stored leaf, unless it is missing, damaged, of another CA or due: then a new one costs nothing. */
async function loadLeaf(
  folder: string,
  ca: SignedCertificate,
  hostname: string,
  now: number,
): Promise<Authority | null> {
  const text = await readStateFile(join(folder, LEAF_FILE));
  if (text === null) return null;
  const pair = splitPem(text);
  try {
    const leaf = readKeyPair(pair);
    const issuer = readKeyPair(ca);
    const isOurs = leaf.checkIssued(issuer) && leaf.verify(issuer.publicKey);
    return isOurs && isFresh(leaf, hostname, now) ? toAuthority(ca, pair) : null;
  } catch (error) {
    if (error instanceof CodedError && error.kind === "CERTIFICATE_INVALID") return null;
    throw error;
  }
}

function isFresh(leaf: X509Certificate, hostname: string, now: number): boolean {
  const from = Date.parse(leaf.validFrom);
  const to = Date.parse(leaf.validTo);
  const covers = parseAddress(hostname) === null ? leaf.checkHost(hostname) : leaf.checkIP(hostname);
  return now >= from && to - now >= (to - from) / 3 && covers !== undefined &&
    leaf.checkHost(INTERNAL_SNI) !== undefined;
}

function splitPem(text: string): CertificatePem {
  const blocks = [...text.matchAll(PEM_BLOCK)];
  const select = (isKey: boolean): string =>
    blocks.filter(([, label]) => label!.endsWith("PRIVATE KEY") === isKey).map(([block]) => block).join("");
  return { certificate: select(false), key: select(true) };
}

function toAuthority(ca: SignedCertificate, pair: CertificatePem): Authority {
  return { ca, pair, pin: caPin(ca.certificate) };
}
