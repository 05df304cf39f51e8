import { readCertificateFile, readKeyFile } from "../../client/certificates/key_file.ts";
import { coverageFault, readCertificatePair, validityFault } from "../../net/certificate.ts";

/**
 * Checks that a certificate and its key can be read (the key by nobody else), belong together, are for the domain, and are valid now.
 * @throws {CodedError} CERTIFICATE_INVALID, CERTIFICATE_EXPIRED, CERTIFICATE_NAME_MISMATCH
 */
export async function checkCertificateFiles(
  files: { certificate: string; key: string },
  domain: string,
): Promise<void> {
  const [certificate, key] = await Promise.all([
    readCertificateFile(files.certificate),
    readKeyFile(files.key),
  ]);
  const what = `the certificate "${files.certificate}"`;
  const pair = readCertificatePair({ certificate, key }, what);
  const fault = validityFault(pair, { what }) ?? coverageFault(pair, domain, what);
  if (fault !== undefined) throw fault;
}
