/** The numbers of TLS 1.3 (RFC 8446 appendix B) that are used here. */
export const TLS13 = {
  record: { changeCipherSpec: 20, alert: 21, handshake: 22, applicationData: 23 },
  handshake: {
    clientHello: 1,
    serverHello: 2,
    encryptedExtensions: 8,
    certificate: 11,
    certificateVerify: 15,
    finished: 20,
    messageHash: 254,
  },
  extension: { supportedGroups: 10, signatureAlgorithms: 13, alpn: 16, supportedVersions: 43, keyShare: 51 },
  version: 0x0304,
  /** What records and messages say for the sake of old middleboxes. */
  legacyVersion: 0x0303,
  cipherSuite: { aes128GcmSha256: 0x1301 },
  group: { secp256r1: 0x0017, x25519: 0x001d },
  signature: { ecdsaSecp256r1Sha256: 0x0403 },
} as const;

/** The alerts (RFC 8446 6.2) that end a handshake here. */
const ALERTS = {
  unexpected_message: 10,
  handshake_failure: 40,
  illegal_parameter: 47,
  decode_error: 50,
  protocol_version: 70,
  internal_error: 80,
  missing_extension: 109,
  no_application_protocol: 120,
} as const;

/** The protocol of a tls-alpn-01 validation (RFC 8737 4). */
export const ACME_TLS_PROTOCOL = "acme-tls/1";

/** The peer asks for what is not spoken here; the alert tells it. */
export class TlsAlertError extends Error {
  override readonly name = "TlsAlertError";
  readonly alert: keyof typeof ALERTS;

  constructor(alert: keyof typeof ALERTS, message: string) {
    super(message);
    this.alert = alert;
  }

  /** The record that tells the peer. */
  get record(): Uint8Array {
    return Uint8Array.of(TLS13.record.alert, 3, 3, 0, 2, 2, ALERTS[this.alert]);
  }
}
