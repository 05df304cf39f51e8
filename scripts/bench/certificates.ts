import { join } from "node:path";
import { runTool } from "./tools.ts";

/**
 * Makes `ca.pem`, `cert.pem`, `key.pem` and `identity.pfx` for localhost, all names right below it, and 127.0.0.1; gives their folder,
 * which goes with the stack.
 */
export async function makeCertificates(stack: AsyncDisposableStack, openssl: string): Promise<string> {
  const cwd = await Deno.makeTempDir({ prefix: "spokes-bench-certificates-" });
  stack.defer(() => Deno.remove(cwd, { recursive: true }));
  const options = { cwd, timeoutMs: 10_000 };
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  await runTool(openssl, ["req", "-x509", ...key, "-keyout", "ck.pem", "-out", "ca.pem", "-subj", "/CN=ca"], options);
  await runTool(openssl, ["req", ...key, "-keyout", "key.pem", "-out", "l.csr", "-subj", "/CN=localhost"], options);
  await Deno.writeTextFile(
    join(cwd, "ext"),
    "subjectAltName=DNS:localhost,DNS:*.localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n",
  );
  const sign = ["x509", "-req", "-in", "l.csr", "-CA", "ca.pem", "-CAkey", "ck.pem", "-CAcreateserial"];
  await runTool(openssl, [...sign, "-out", "cert.pem", "-days", "2", "-extfile", "ext"], options);
  const bundle = ["pkcs12", "-export", "-in", "cert.pem", "-inkey", "key.pem", "-certfile", "ca.pem"];
  await runTool(openssl, [...bundle, "-out", "identity.pfx", "-passout", `pass:${PFX_PASSWORD}`], options);
  return cwd;
}

/** Of `identity.pfx`, which lives as long as a run. */
export const PFX_PASSWORD = "bench";

/** A folder below with the one pair, as an operator would have it: no authority, and its key for nobody else. */
export async function ownCertificates(folder: string): Promise<string> {
  const own = join(folder, "own");
  await Deno.mkdir(own);
  for (const name of ["cert.pem", "key.pem"]) await Deno.copyFile(join(folder, name), join(own, name));
  await Deno.chmod(join(own, "key.pem"), 0o600);
  return own;
}
