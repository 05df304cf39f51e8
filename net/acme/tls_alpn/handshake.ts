import { createCipheriv, randomBytes, sign } from "node:crypto";
import type { ChallengeCertificate } from "../challenges.ts";
import { concat, number, vector } from "./bytes.ts";
import { type ClientOffer, parseClientOffer } from "./client_offer.ts";
import { exchangeKeys, GROUPS } from "./key_exchange.ts";
import { finishedData, serverHandshakeKeys, sha256, type TrafficKeys } from "./key_schedule.ts";
import { ACME_TLS_PROTOCOL, TLS13, TlsAlertError } from "./tls13.ts";

/** What to send next. `last`: after it only the peer's close is to come. */
export interface Reply {
  readonly bytes: Uint8Array;
  readonly last: boolean;
}

/** The random of a ServerHello that is a HelloRetryRequest: SHA-256 of that word (RFC 8446 4.1.3). */
const RETRY_RANDOM = sha256(new TextEncoder().encode("HelloRetryRequest"));
const HEADER_BYTES = 4;

/**
 * The server's side of the one handshake that a tls-alpn-01 validation needs (RFC 8737): TLS 1.3, TLS_AES_128_GCM_SHA256, X25519 or
 * P-256, ECDSA P-256, protocol `acme-tls/1`. It exists because the TLS of the runtime refuses a certificate with the critical
 * extension that the RFC asks for. No application byte is ever read or written under these keys, so only the
 * server's handshake keys are derived, and the client's Finished is not looked at: it proves nothing that matters here.
 */
export class TlsAlpnHandshake {
  readonly #challenge: ChallengeCertificate;
  /** The messages so far. */
  #transcript: Uint8Array = new Uint8Array();
  #retried = false;

  constructor(challenge: ChallengeCertificate) {
    this.#challenge = challenge;
  }

  /** What answers a ClientHello: the whole flight, or the question for a key share we can use. @throws {TlsAlertError} */
  answer(clientHello: Uint8Array): Reply {
    const offer = parseClientOffer(clientHello.subarray(HEADER_BYTES));
    checkOffer(offer);
    const shared = GROUPS.find((group) => offer.keyShares.has(group));
    if (shared === undefined) return this.#retry(clientHello, offer);
    const { publicKey, sharedSecret } = exchangeKeys(shared, offer.keyShares.get(shared) ?? new Uint8Array());
    const keyShare = extension(TLS13.extension.keyShare, number(shared, 2), vector(2, publicKey));
    const serverHello = hello(offer, randomBytes(32), keyShare);
    this.#transcript = concat(this.#transcript, clientHello, serverHello);
    const keys = serverHandshakeKeys(sharedSecret, this.#transcript);
    const bytes = concat(record(TLS13.record.handshake, serverHello), this.#changeCipherSpec(offer), this.#seal(keys));
    return { bytes, last: true };
  }

  /** RFC 8446 4.4.1: of the first ClientHello only its hash stays. */
  #retry(clientHello: Uint8Array, offer: ClientOffer): Reply {
    const group = GROUPS.find((candidate) => offer.groups.includes(candidate));
    if (this.#retried || group === undefined) {
      throw new TlsAlertError("handshake_failure", "The client offers neither X25519 nor P-256");
    }
    const request = hello(offer, RETRY_RANDOM, extension(TLS13.extension.keyShare, number(group, 2)));
    this.#transcript = concat(message(TLS13.handshake.messageHash, sha256(clientHello)), request);
    const bytes = concat(record(TLS13.record.handshake, request), this.#changeCipherSpec(offer));
    this.#retried = true;
    return { bytes, last: false };
  }

  /** Once, for middleboxes that look for it when there is a session id (RFC 8446 D.4). */
  #changeCipherSpec(offer: ClientOffer): Uint8Array {
    const wanted = offer.sessionId.length > 0 && !this.#retried;
    return wanted ? record(TLS13.record.changeCipherSpec, Uint8Array.of(1)) : new Uint8Array();
  }

  /** The encrypted rest of the flight, as one record. */
  #seal(keys: TrafficKeys): Uint8Array {
    const start = this.#transcript.length;
    this.#append(encryptedExtensions());
    this.#append(certificateMessage(this.#challenge.certificate));
    this.#append(certificateVerify(this.#transcript, this.#challenge));
    this.#append(message(TLS13.handshake.finished, finishedData(keys.secret, this.#transcript)));
    return sealFirst(keys, concat(this.#transcript.subarray(start), Uint8Array.of(TLS13.record.handshake)));
  }

  #append(bytes: Uint8Array): void {
    this.#transcript = concat(this.#transcript, bytes);
  }
}

function checkOffer(offer: ClientOffer): void {
  if (!offer.versions.includes(TLS13.version)) {
    throw new TlsAlertError("protocol_version", "The client does not offer TLS 1.3");
  }
  if (!offer.protocols.includes(ACME_TLS_PROTOCOL)) {
    throw new TlsAlertError("no_application_protocol", `The client does not offer ${ACME_TLS_PROTOCOL}`);
  }
  if (!offer.cipherSuites.includes(TLS13.cipherSuite.aes128GcmSha256)) {
    throw new TlsAlertError("handshake_failure", "The client does not offer TLS_AES_128_GCM_SHA256");
  }
  if (!offer.signatureAlgorithms.includes(TLS13.signature.ecdsaSecp256r1Sha256)) {
    throw new TlsAlertError("handshake_failure", "The client does not take ECDSA signatures on P-256");
  }
}

function hello(offer: ClientOffer, random: Uint8Array, keyShare: Uint8Array): Uint8Array {
  return message(
    TLS13.handshake.serverHello,
    number(TLS13.legacyVersion, 2),
    random,
    vector(1, offer.sessionId),
    number(TLS13.cipherSuite.aes128GcmSha256, 2),
    number(0, 1), // no compression
    vector(2, extension(TLS13.extension.supportedVersions, number(TLS13.version, 2)), keyShare),
  );
}

function encryptedExtensions(): Uint8Array {
  const protocol = vector(1, new TextEncoder().encode(ACME_TLS_PROTOCOL));
  return message(TLS13.handshake.encryptedExtensions, vector(2, extension(TLS13.extension.alpn, vector(2, protocol))));
}

function certificateMessage(certificate: Uint8Array): Uint8Array {
  const entry = concat(vector(3, certificate), number(0, 2));
  return message(TLS13.handshake.certificate, vector(1), vector(3, entry));
}

/** RFC 8446 4.4.3. */
function certificateVerify(transcript: Uint8Array, { key }: ChallengeCertificate): Uint8Array {
  const context = new TextEncoder().encode(`${" ".repeat(64)}TLS 1.3, server CertificateVerify\0`);
  const signature = sign("sha256", concat(context, sha256(transcript)), key);
  const algorithm = number(TLS13.signature.ecdsaSecp256r1Sha256, 2);
  return message(TLS13.handshake.certificateVerify, algorithm, vector(2, signature));
}

function extension(type: number, ...pieces: readonly Uint8Array[]): Uint8Array {
  return concat(number(type, 2), vector(2, ...pieces));
}

function message(type: number, ...pieces: readonly Uint8Array[]): Uint8Array {
  return concat(number(type, 1), vector(3, ...pieces));
}

function record(type: number, bytes: Uint8Array): Uint8Array {
  return concat(number(type, 1), number(TLS13.legacyVersion, 2), vector(2, bytes));
}

/** The first record under these keys: its sequence number is 0, and so the nonce is the IV itself (RFC 8446 5.2, 5.3). */
function sealFirst({ key, iv }: TrafficKeys, plaintext: Uint8Array): Uint8Array {
  const cipher = createCipheriv("aes-128-gcm", key, iv);
  const tagBytes = 16;
  const length = number(plaintext.length + tagBytes, 2);
  const header = concat(number(TLS13.record.applicationData, 1), number(TLS13.legacyVersion, 2), length);
  cipher.setAAD(header);
  const sealed = concat(cipher.update(plaintext), cipher.final());
  return concat(header, sealed, cipher.getAuthTag());
}
