import { ByteReader } from "../../../protocol/byte_reader.ts";
import { TLS13, TlsAlertError } from "./tls13.ts";

/** What a ClientHello offers, as far as a TLS 1.3 answer needs it. */
export interface ClientOffer {
  readonly sessionId: Uint8Array;
  readonly cipherSuites: readonly number[];
  readonly versions: readonly number[];
  readonly groups: readonly number[];
  readonly signatureAlgorithms: readonly number[];
  readonly protocols: readonly string[];
  /** Public keys by group. */
  readonly keyShares: ReadonlyMap<number, Uint8Array>;
}

/** Reads the body of a ClientHello (RFC 8446 4.1.2). @throws {TlsAlertError} decode_error */
export function parseClientOffer(body: Uint8Array): ClientOffer {
  try {
    return readOffer(new ByteReader(body));
  } catch (cause) {
    if (cause instanceof RangeError) throw new TlsAlertError("decode_error", "The ClientHello is not well formed");
    throw cause;
  }
}

function readOffer(reader: ByteReader): ClientOffer {
  reader.take(2 + 32); // legacy_version, random
  const sessionId = reader.vector(1);
  const cipherSuites = numbers(reader.vector(2));
  reader.vector(1); // legacy_compression_methods
  const extensions = readExtensions(reader.left > 0 ? reader.vector(2) : new Uint8Array());
  reader.end();
  return {
    sessionId,
    cipherSuites,
    versions: numbers(inner(extensions.get(TLS13.extension.supportedVersions), 1)),
    groups: numbers(inner(extensions.get(TLS13.extension.supportedGroups), 2)),
    signatureAlgorithms: numbers(inner(extensions.get(TLS13.extension.signatureAlgorithms), 2)),
    protocols: readProtocols(inner(extensions.get(TLS13.extension.alpn), 2)),
    keyShares: readKeyShares(inner(extensions.get(TLS13.extension.keyShare), 2)),
  };
}

function readExtensions(bytes: Uint8Array): Map<number, Uint8Array> {
  const extensions = new Map<number, Uint8Array>();
  for (const reader = new ByteReader(bytes); reader.left > 0;) extensions.set(reader.number(2), reader.vector(2));
  return extensions;
}

/** The one list that an extension holds; an absent one is empty. */
function inner(extension: Uint8Array | undefined, width: number): Uint8Array {
  if (extension === undefined) return new Uint8Array();
  const reader = new ByteReader(extension);
  const list = reader.vector(width);
  reader.end();
  return list;
}

function numbers(bytes: Uint8Array): number[] {
  const list: number[] = [];
  for (const reader = new ByteReader(bytes); reader.left > 0;) list.push(reader.number(2));
  return list;
}

function readProtocols(bytes: Uint8Array): string[] {
  const list: string[] = [];
  for (const reader = new ByteReader(bytes); reader.left > 0;) list.push(String.fromCharCode(...reader.vector(1)));
  return list;
}

function readKeyShares(bytes: Uint8Array): Map<number, Uint8Array> {
  const shares = new Map<number, Uint8Array>();
  for (const reader = new ByteReader(bytes); reader.left > 0;) shares.set(reader.number(2), reader.vector(2));
  return shares;
}
