import { readCertificateFile, readKeyFile } from "../../client/certificates/key_file.ts";
import {
  coverageFault,
  holdsCertificate,
  holdsKey,
  readCertificatePair,
  validityFault,
} from "../../net/certificate.ts";
import { CodedError } from "../../protocol/errors.ts";

/**
 * Checks that a certificate and its key can be read (the key by nobody else), belong together, are for the domain, and are valid now.
 * @throws {CodedError} CERTIFICATE_INVALID, CERTIFICATE_EXPIRED, CERTIFICATE_NAME_MISMATCH
 */
export async function checkCertificateFiles(
  files: { certificate: string; key: string },
  domain: string,
): Promise<void> {
  const what = `the certificate "${files.certificate}"`;
  const certificate = await readCertificateFile(files.certificate);
  if (holdsKey(certificate) && !holdsCertificate(certificate)) {
    throw new CodedError(
      "CERTIFICATE_INVALID",
      `Cannot use ${what}: it holds a private key and no certificate; --ca and --key seem to be swapped`,
    );
  }
  const key = await readKeyFile(files.key);
  const pair = readCertificatePair({ certificate, key }, what);
  const fault = validityFault(pair, { what }) ?? coverageFault(pair, domain, what);
  if (fault !== undefined) throw fault;
}
