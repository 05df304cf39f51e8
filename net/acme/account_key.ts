import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { CodedError } from "../../protocol/errors.ts";
import { preparePrivateFolder, readPrivateFile, writePrivateFile } from "./private_file.ts";

/** Where the key of our account at the CA of the folder is. */
export function accountPath(folder: string): string {
  return join(folder, "account.pem");
}

/**
 * The key of our account at the CA of the folder (P-256, PEM), made when there is none yet. A file that is there but cannot be used is an
 * error, never replaced: a CA may have tied permissions to its key.
 * @throws {CodedError} STATE_UNAVAILABLE
 */
export async function accountKey(folder: string): Promise<string> {
  await preparePrivateFolder(folder);
  const path = accountPath(folder);
  const known = await readPrivateFile(path);
  if (known !== null) return checked(path, known);
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  await writePrivateFile(path, pem);
  return pem;
}

function checked(path: string, pem: string): string {
  try {
    createPrivateKey(pem);
    return pem;
  } catch (cause) {
    const what = `Cannot use "${path}": it is no key in PEM; remove it to register anew`;
    throw new CodedError("STATE_UNAVAILABLE", what, { cause });
  }
}
