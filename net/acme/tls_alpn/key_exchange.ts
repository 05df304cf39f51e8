import { Buffer } from "node:buffer";
import { createECDH, createPublicKey, diffieHellman, generateKeyPairSync } from "node:crypto";
import { TLS13, TlsAlertError } from "./tls13.ts";

/** One side's half of a key exchange, and what both then know. */
export interface KeyExchange {
  readonly publicKey: Uint8Array;
  readonly sharedSecret: Uint8Array;
}

/** The groups spoken here, best first: with these two every validator that is known finishes in one round trip. */
export const GROUPS: readonly number[] = [TLS13.group.x25519, TLS13.group.secp256r1];

/** Makes a key of our own for the group and combines it with the peer's. @throws {TlsAlertError} illegal_parameter */
export function exchangeKeys(group: number, peerKey: Uint8Array): KeyExchange {
  try {
    return group === TLS13.group.x25519 ? exchangeX25519(peerKey) : exchangeP256(peerKey);
  } catch {
    // Whatever the library finds wrong with it: no point of the curve, a wrong length.
    throw new TlsAlertError("illegal_parameter", "The key share is not valid");
  }
}

function exchangeX25519(peerKey: Uint8Array): KeyExchange {
  const peer = { kty: "OKP", crv: "X25519", x: Buffer.from(peerKey).toString("base64url") };
  const { publicKey, privateKey } = generateKeyPairSync("x25519");
  const own = publicKey.export({ format: "jwk" });
  const sharedSecret = diffieHellman({ privateKey, publicKey: createPublicKey({ key: peer, format: "jwk" }) });
  // RFC 8446 7.4.2: a peer's key of small order gives a secret that everybody knows.
  if (sharedSecret.every((byte) => byte === 0)) throw new RangeError("Cannot use a key of small order");
  return { publicKey: Buffer.from(own.x ?? "", "base64url"), sharedSecret };
}

function exchangeP256(peerKey: Uint8Array): KeyExchange {
  const own = createECDH("prime256v1");
  const publicKey = own.generateKeys();
  return { publicKey, sharedSecret: own.computeSecret(peerKey) };
}
