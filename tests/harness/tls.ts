import { once } from "node:events";
import net from "node:net";
import { join } from "node:path";
import tls from "node:tls";
import { SocketDuplex } from "../../net/socket_duplex.ts";
import { type TestCertificate, testCertificate } from "../../net/testing/certificate.ts";
import { tempDir } from "./machine.ts";
import { run } from "./programs.ts";
import { tcpTarget } from "./tcp_target.ts";
import { within } from "./wait.ts";
import { Wire } from "./wire.ts";

/** How a visitor speaks TLS. */
export interface TlsSetup {
  /** The name asked for; none when it is empty. */
  servername: string;
  /** PEM of the authority that is trusted; without it everything is. */
  ca?: string;
  /** The address it comes from. */
  from?: string;
}

/** Connects over TLS as a visitor does. @throws the runtime's error when there is no handshake */
export async function connectTls(port: number, { servername, ca, from }: TlsSetup): Promise<Wire> {
  const raw = net.connect({
    ...{ host: "127.0.0.1", port, noDelay: true },
    ...(from === undefined ? {} : { localAddress: from }),
  });
  const socket = tls.connect({
    socket: raw,
    servername,
    ...(ca === undefined ? { rejectUnauthorized: false } : { ca }),
  });
  const failed = Promise.withResolvers<never>();
  for (const each of [raw, socket]) each.on("error", failed.reject);
  for (const event of ["end", "close"]) raw.once(event, () => failed.reject(new Error("There was no handshake")));
  failed.promise.catch(() => {
    // Nobody waits for the handshake any more.
  });
  socket.once("close", () => raw.destroy());
  try {
    await within(Promise.race([once(socket, "secureConnect"), failed.promise]), `a handshake for "${servername}"`);
    return new Wire(socket, SocketDuplex.secure(socket, raw));
  } catch (error) {
    socket.destroy();
    raw.destroy();
    throw error;
  }
}

/** The fingerprint (SHA-256) of the certificate that is shown for a name. @throws when none is */
export async function certificateShown(port: number, servername: string): Promise<string> {
  await using wire = await connectTls(port, { servername });
  return (wire.socket as tls.TLSSocket).getPeerCertificate().fingerprint256;
}

/** What `openssl s_client` says of a connection. */
export async function sClient(port: number, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await run("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, ...args], {
    stdin: "",
  });
  return stdout + stderr;
}

/** The first flight of a TLS client that asks for a name, and offers these protocols. */
export async function helloFor(servername: string, alpn: readonly string[] = []): Promise<Uint8Array> {
  await using trap = await tcpTarget();
  const socket = tls.connect({
    ...{ host: "127.0.0.1", port: trap.port, servername, rejectUnauthorized: false },
    ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
  });
  socket.on("error", () => {
    // Nobody answers.
  });
  const wire = await trap.accept();
  const hello = await wire.read();
  socket.destroy();
  await once(socket, "close");
  if (hello === null) throw new Error("Cannot find out what a client says first");
  return hello;
}

/** A folder with certificates of the operator's, and the authority that visitors trust. */
export interface CertificateFolder extends AsyncDisposable {
  readonly path: string;
  /** Puts a new certificate for these names into a file, or replaces it, as one that is whole at once. */
  put(file: string, ...names: string[]): Promise<{ pem: TestCertificate; authorityFile: string }>;
}

/** Makes such a folder, with nothing in it. */
export async function certificateFolder(): Promise<CertificateFolder> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir());
  const authorities = stack.use(await tempDir());
  const all = stack.move();
  return {
    path: folder.path,
    async put(file, ...names) {
      const pem = await testCertificate(...names);
      const fresh = await folder.write(`.${file}`, pem.certificate + pem.key);
      await Deno.rename(fresh, join(folder.path, file));
      return { pem, authorityFile: await authorities.write(`${file}.txt`, pem.authority) };
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}
