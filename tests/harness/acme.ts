import assert from "node:assert/strict";
import { once } from "node:events";
import tls from "node:tls";
import { type Pebble, PEBBLE_PROGRAMS } from "../../net/acme/testing/pebble.ts";
import type { ClientEvent } from "../../mod.ts";
import type { TempDir } from "./machine.ts";
import { run } from "./programs.ts";

/** Programs of the tests with a certificate authority. */
export const ACME_PROGRAMS: readonly string[] = [...PEBBLE_PROGRAMS, "curl"];

/** Asks for pages as a browser would that trusts the test CA and finds every name on this machine. */
export interface Browser {
  /** PEM of the root that is trusted. */
  readonly root: string;
  /** What is at a URL without its port, as curl prints it. @throws when curl fails, with what it says */
  get(url: string, ...args: string[]): Promise<string>;
}

/** Takes the CA's root as it is now; the CA may go away then. */
export async function startBrowser(
  ca: Pebble,
  { folder, httpPort, tlsPort }: { folder: TempDir; httpPort: number; tlsPort: number },
): Promise<Browser> {
  const root = await ca.root();
  const file = await folder.write("root.pem", root);
  return {
    root,
    async get(url, ...args) {
      const { protocol, hostname, pathname } = new URL(url);
      const port = protocol === "https:" ? tlsPort : httpPort;
      const resolve = [httpPort, tlsPort].flatMap((each) => ["--resolve", `${hostname}:${each}:127.0.0.1`]);
      const fixed = ["-sS", "--max-time", "20", "--cacert", file, ...resolve, ...args];
      const { code, stdout, stderr } = await run("curl", [...fixed, `${protocol}//${hostname}:${port}${pathname}`]);
      assert.equal(code, 0, `${url}: ${stderr}`);
      return stdout;
    },
  };
}

/** A TLS connection to a name, whose certificate must lead to `ca`. */
export async function secure(
  { tlsPort, name, ca }: { tlsPort: number; name: string; ca: string },
): Promise<tls.TLSSocket> {
  const socket = tls.connect({ host: "127.0.0.1", port: tlsPort, servername: name, ca, ALPNProtocols: ["http/1.1"] });
  try {
    await once(socket, "secureConnect");
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** The serial number of the certificate that a visitor of a name is shown. */
export async function serialShown(where: { tlsPort: number; name: string; ca: string }): Promise<string> {
  const socket = await secure(where);
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

/** The steps on the way to a domain's certificate that a client told. */
export function stepsOf(events: readonly ClientEvent[], domain: string): string[] {
  return events.flatMap((event) => event.kind === "certificate" && event.domain === domain ? [event.step] : []);
}
