import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import tls from "node:tls";
import { CodedError } from "../protocol/errors.ts";
import { isHostName } from "../protocol/host_name.ts";
import { parseAddress } from "./address.ts";

/** A certificate chain, leaf first, and its key, PEM. */
export interface CertificatePem {
  readonly certificate: string;
  readonly key: string;
}

/** A certificate and its key, which belong together; whether they are valid now is another question. */
export interface CertificatePair extends CertificatePem {
  /** Host names (subjectAltName), lower case; a wildcard is `*.example.com`. The common name means nothing to today's clients. */
  readonly names: readonly string[];
  /** IP addresses (subjectAltName), canonical. */
  readonly addresses: readonly string[];
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Whether it is for this canonical host name or address: exactly, or by a wildcard, which stands for one label. */
  covers(name: string): boolean;
  /** What TLS takes; made when it is first asked for. */
  context(): tls.SecureContext;
}

const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]+?-----END \1-----/g;
/** Written by OpenSSL within a key of the old format; the new one has a label of its own. */
const ENCRYPTED_KEY = /^-----BEGIN ENCRYPTED |^Proc-Type: 4,ENCRYPTED/m;

/**
 * Reads a pair and checks what would otherwise hang or fail in every handshake. Both texts may hold more than is asked of
 * them, so one file with chain and key can be given as both. `what` names it in errors, a quoted path for example.
 * @throws {CodedError} CERTIFICATE_INVALID: what is wrong, and what to do
 */
export function readCertificatePair(pem: CertificatePem, what: string = "the certificate"): CertificatePair {
  const blocks = { certificate: certificateBlocks(pem.certificate), key: keyBlock(pem.key, what) };
  const chain = blocks.certificate.map((block) => parseCertificate(block, what));
  const leaf = leafOf(chain, parseKey(blocks.key, what), what);
  if (leaf.ca) {
    const remedy =
      "with `openssl req -x509` add -addext basicConstraints=critical,CA:FALSE, which is what clients take";
    throw invalid(what, `it is one of an authority (CA:TRUE); ${remedy}`);
  }
  return new Pair({ certificate: blocks.certificate.join("\n") + "\n", key: blocks.key + "\n" }, leaf);
}

/**
 * Checks that certificate and key belong together, of a leaf or an authority, and returns the first certificate.
 * @throws {CodedError} CERTIFICATE_INVALID
 */
export function readKeyPair(pem: CertificatePem, what: string = "the certificate"): X509Certificate {
  const chain = certificateBlocks(pem.certificate).map((block) => parseCertificate(block, what));
  return leafOf(chain, parseKey(keyBlock(pem.key, what), what), what);
}

/** Whether the text holds a private key in PEM, of whatever kind. */
export function holdsKey(text: string): boolean {
  return blocksOf(text, isKeyLabel).length > 0;
}

/** Whether the text holds a certificate in PEM or several, and all can be read. */
export function holdsCertificate(text: string): boolean {
  const blocks = certificateBlocks(text);
  return blocks.length > 0 && blocks.every(isReadable);
}

/** Whether the text holds certificates in PEM, and all are of authorities. */
export function holdsOnlyAuthorities(text: string): boolean {
  const blocks = certificateBlocks(text);
  return blocks.length > 0 && blocks.every((block) => parseCertificate(block, "the certificate").ca);
}

/** Whether the certificate's time is over; `now` is ms since the epoch. */
export function isExpired({ notAfter }: Pick<CertificatePair, "notAfter">, now: number): boolean {
  return notAfter.getTime() <= now;
}

/** Whether the certificate's time is still to come. */
export function isNotYetValid({ notBefore }: CertificatePair, now: number): boolean {
  return notBefore.getTime() > now;
}

/** Whether clients take it now, as far as time goes. */
export function isCurrent(pair: CertificatePair, now: number): boolean {
  return !isExpired(pair, now) && !isNotYetValid(pair, now);
}

/** Whoever renews in time does so with a third of the life left: with less than a fifth something is wrong. */
const LATE_SHARE = 1 / 5;

/** Whether the certificate should have been renewed by now. */
export function expiresSoon(
  { notBefore, notAfter }: Pick<CertificatePair, "notBefore" | "notAfter">,
  now: number,
): boolean {
  return notAfter.getTime() - now < (notAfter.getTime() - notBefore.getTime()) * LATE_SHARE;
}

/** What is wrong with the certificate's time; undefined when nothing is. */
export function validityFault(
  pair: CertificatePair,
  { what = "the certificate", now = Date.now() }: { what?: string; now?: number } = {},
): CodedError | undefined {
  if (isExpired(pair, now)) {
    return new CodedError("CERTIFICATE_EXPIRED", `Cannot use ${what}: it expired on ${pair.notAfter.toISOString()}`);
  }
  if (!isNotYetValid(pair, now)) return undefined;
  const from = pair.notBefore.toISOString();
  return new CodedError("CERTIFICATE_EXPIRED", `Cannot use ${what}: it is not valid before ${from}`);
}

/** That the certificate is not for `name`; undefined when it is. */
export function coverageFault(
  pair: CertificatePair,
  name: string,
  what: string = "the certificate",
): CodedError | undefined {
  if (pair.covers(name)) return undefined;
  const names = [...pair.names, ...pair.addresses].join(", ") || "no name";
  return new CodedError("CERTIFICATE_NAME_MISMATCH", `Cannot use ${what} for ${name}: it is for ${names}`);
}

/** The name whose wildcard covers `name`: `*.example.com` for `blog.example.com`; undefined for a name of one label. */
export function wildcardOf(name: string): string | undefined {
  const dot = name.indexOf(".");
  return dot <= 0 ? undefined : "*" + name.slice(dot);
}

class Pair implements CertificatePair {
  readonly certificate: string;
  readonly key: string;
  readonly names: readonly string[];
  readonly addresses: readonly string[];
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly #covered: ReadonlySet<string>;
  #context: tls.SecureContext | undefined;

  constructor(pem: CertificatePem, leaf: X509Certificate) {
    this.certificate = pem.certificate;
    this.key = pem.key;
    const alternatives = leaf.subjectAltName?.split(", ") ?? [];
    this.names = valuesOf(alternatives, "DNS:", canonicalName);
    this.addresses = valuesOf(alternatives, "IP Address:", (address) => parseAddress(address)?.text);
    this.notBefore = new Date(leaf.validFrom);
    this.notAfter = new Date(leaf.validTo);
    this.#covered = new Set([...this.names, ...this.addresses]);
  }

  covers(name: string): boolean {
    const wildcard = wildcardOf(name);
    return this.#covered.has(name) || (wildcard !== undefined && this.#covered.has(wildcard));
  }

  context(): tls.SecureContext {
    this.#context ??= tls.createSecureContext({ cert: this.certificate, key: this.key, minVersion: "TLSv1.2" });
    return this.#context;
  }
}

/** The certificate of the key, which must be the first: what is sent first is what clients look at. */
function leafOf(chain: readonly X509Certificate[], key: KeyObject, what: string): X509Certificate {
  const [leaf, ...others] = chain;
  if (leaf === undefined) throw invalid(what, "it holds no certificate in PEM; convert it with `openssl x509`");
  if (leaf.checkPrivateKey(key)) return leaf;
  if (others.some((certificate) => certificate.checkPrivateKey(key))) {
    throw invalid(what, "its chain begins with an authority; put the certificate of the key first");
  }
  throw invalid(what, "the key does not belong to it; take the key that it was requested with");
}

function certificateBlocks(text: string): string[] {
  return blocksOf(text, (label) => label === "CERTIFICATE");
}

function keyBlock(text: string, what: string): string {
  const [key, ...others] = blocksOf(text, isKeyLabel);
  if (key === undefined) throw invalid(what, "there is no private key in PEM with it");
  if (others.length > 0) throw invalid(what, "there is more than one private key with it");
  if (ENCRYPTED_KEY.test(key)) throw invalid(what, "its key has a password; take that off with `openssl pkey`");
  return key;
}

function isKeyLabel(label: string): boolean {
  return label.endsWith("PRIVATE KEY");
}

function blocksOf(text: string, wanted: (label: string) => boolean): string[] {
  return [...text.matchAll(PEM_BLOCK)].filter(([, label]) => wanted(label!)).map(([block]) => block);
}

function parseCertificate(block: string, what: string): X509Certificate {
  try {
    return new X509Certificate(block);
  } catch (cause) {
    throw invalid(what, "it is damaged and cannot be read", cause);
  }
}

function isReadable(block: string): boolean {
  try {
    new X509Certificate(block);
    return true;
  } catch {
    return false; // That is the answer.
  }
}

function parseKey(block: string, what: string): KeyObject {
  try {
    return createPrivateKey(block);
  } catch (cause) {
    throw invalid(what, "its key is damaged and cannot be read", cause);
  }
}

function invalid(what: string, reason: string, cause?: unknown): CodedError {
  return new CodedError("CERTIFICATE_INVALID", `Cannot use ${what}: ${reason}`, { cause });
}

function valuesOf(
  alternatives: readonly string[],
  prefix: string,
  canonical: (value: string) => string | undefined,
): string[] {
  const values = alternatives.filter((value) => value.startsWith(prefix)).map((value) =>
    canonical(value.slice(prefix.length))
  );
  return [...new Set(values.filter((value) => value !== undefined))];
}

/** Undefined for what no visitor can ask for. */
function canonicalName(name: string): string | undefined {
  const lower = name.toLowerCase();
  const host = lower.startsWith("*.") ? lower.slice(2) : lower;
  return isHostName(host) ? lower : undefined;
}
