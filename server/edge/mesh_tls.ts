import { Deadline } from "../../net/deadline.ts";
import type { Duplex } from "../../net/duplex.ts";
import { lingeringClose } from "../../net/http/lingering_close.ts";
import { peekClientHello, type PeekedHello } from "../../net/peek_client_hello.ts";
import { terminateTls } from "../../net/tls_over_duplex.ts";
import { CodedError, toCodedError } from "../../protocol/errors.ts";
import type { ServerCertificates } from "../certificates/server_certificates.ts";
import type { ServerLimits } from "../limits.ts";
import type { PublishedRule } from "../published_rule.ts";
import { type MeshVisit, sourceOf } from "./mesh_visit.ts";
import { type RawVisitParts, serveRawVisit } from "./raw_visit.ts";

/** What serving TLS that comes through the mesh needs. */
export interface MeshTlsParts extends Omit<RawVisitParts, "lingerMs"> {
  readonly certificates: Pick<ServerCertificates, "lookup">;
  readonly limits: Readonly<Pick<ServerLimits, "tlsHandshakeMs" | "lingerMs">>;
  /** Whether the bytes of a rule's visitors go to the client as they are. */
  readonly passesOn: (rule: PublishedRule) => boolean;
  /** Takes it when TLS was ended here. */
  readonly toHttp: (visit: MeshVisit, serverName: string) => Promise<void>;
}

/** A fatal `unrecognized_name` alert (RFC 8446 6.2, RFC 6066 3). */
const ALERT_UNRECOGNIZED_NAME = new Uint8Array([21, 3, 3, 0, 2, 2, 112]);

/** Who was refused gets so long to read the alert. */
const LINGER_MS = 5_000;

/**
 * Serves TLS as the public port does, by the name that it asks for, which the policy must let in: it is passed on as it is, or ended here.
 * @throws {CodedError} why it is served no further; the connection is the caller's to reset
 */
export async function serveMeshTls(visit: MeshVisit, parts: MeshTlsParts): Promise<void> {
  const { limits } = parts;
  const { duplex, serverName, rule } = await readName(visit, limits.tlsHandshakeMs);
  if (parts.passesOn(rule)) {
    const from = { address: visit.address, port: 0 };
    const raw = { visitor: duplex, rule, protocol: "tls", from, mesh: sourceOf(visit) } as const;
    return await serveRawVisit(raw, { ...parts, lingerMs: limits.lingerMs });
  }
  const certificate = parts.certificates.lookup(serverName);
  if (certificate === undefined) return await refuse(duplex, new CodedError("CERTIFICATE_MISSING"));
  const plain = await terminateTls(duplex, {
    context: certificate.context(),
    handshakeMs: limits.tlsHandshakeMs,
    alpn: ["http/1.1"],
  });
  await parts.toHttp({ ...visit, duplex: plain }, serverName);
}

interface Named {
  readonly duplex: Duplex;
  readonly serverName: string;
  readonly rule: PublishedRule;
}

async function readName({ duplex: connection, find }: MeshVisit, timeoutMs: number): Promise<Named> {
  const { hello, duplex } = await peek(connection, timeoutMs);
  const serverName = hello.kind === "hello" ? hello.serverName : undefined;
  if (serverName === undefined) return await refuse(duplex, new CodedError("UNKNOWN_HOST"));
  try {
    return { duplex, serverName, rule: find(serverName).rule };
  } catch (error) {
    return await refuse(duplex, toCodedError(error));
  }
}

async function peek(connection: Duplex, timeoutMs: number): Promise<PeekedHello> {
  using _deadline = new Deadline(timeoutMs, () => connection.reset());
  return await peekClientHello(connection);
}

/** No default host: whoever asks for what it may not have gets an alert, as on the public port. */
async function refuse(duplex: Duplex, error: CodedError): Promise<never> {
  using _deadline = new Deadline(LINGER_MS, () => duplex.reset());
  await duplex.write(ALERT_UNRECOGNIZED_NAME);
  await lingeringClose(duplex);
  throw error;
}
