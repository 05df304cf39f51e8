import { createHash } from "node:crypto";
import { join } from "node:path";
import { requireHttps } from "./acme_transport.ts";

/**
 * The folder of one CA below `folder`, `acme.example-1a2b3c4d` for example: its account and its certificates, so that who tries a
 * staging CA first does not go on with what that has issued.
 */
export function caFolder(folder: string, directory: string): string {
  const { host } = requireHttps(directory);
  const digest = createHash("sha256").update(directory).digest("hex").slice(0, 8);
  return join(folder, `${host.replaceAll(/[^a-z0-9.-]/g, "_")}-${digest}`);
}
