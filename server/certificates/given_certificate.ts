import { type CertificatePair, type CertificatePem, readCertificatePair } from "../../net/certificate.ts";
import { certificateFileAt, type CertificatePaths } from "./certificate_files.ts";
import { readCertificateFile } from "./read_certificate_file.ts";

/** The certificate of the tunnel endpoint that the operator gave, as text or in files. */
export type GivenCertificate = CertificatePem | CertificatePaths;

/** Reads it once. @throws {CodedError} CERTIFICATE_INVALID */
export async function readGivenCertificate(given: GivenCertificate): Promise<CertificatePair> {
  if (!("certificateFile" in given)) return readCertificatePair(given, "the certificate of the tunnel endpoint");
  const reading = await readCertificateFile(await certificateFileAt(given));
  if (reading.kind === "pair") return reading.pair;
  // With a path for the key there is a reason whenever there is no pair.
  throw reading.kind === "fault" ? reading.fault : new Error(`No certificate in "${given.certificateFile}"`);
}
