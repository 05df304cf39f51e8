import { coverageFault, readCertificatePair, validityFault } from "../../net/certificate.ts";
import { CodedError } from "../../protocol/errors.ts";

/**
 * Checks that a certificate and its key can be read, belong together, are for the domain, and are valid now.
 * @throws {CodedError} CERTIFICATE_INVALID, CERTIFICATE_EXPIRED, CERTIFICATE_NAME_MISMATCH
 */
export async function checkCertificateFiles(
  files: { certificate: string; key: string },
  domain: string,
): Promise<void> {
  const [certificate, key] = await Promise.all([readPem(files.certificate), readPem(files.key)]);
  const what = `the certificate "${files.certificate}"`;
  const pair = readCertificatePair({ certificate, key }, what);
  const fault = validityFault(pair, { what }) ?? coverageFault(pair, domain, what);
  if (fault !== undefined) throw fault;
}

async function readPem(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (cause) {
    const reason = cause instanceof Deno.errors.NotFound ? "it does not exist" : "it cannot be read";
    throw new CodedError("CERTIFICATE_INVALID", `Cannot use "${path}": ${reason}`, { cause });
  }
}
