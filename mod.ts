/**
 * Embed the server or the client in another program.
 *
 * ```ts
 * import { connect, enrol, parseInvite, serve } from "./mod.ts";
 *
 * await using server = await serve({
 *   domain: "tunnels.localhost",
 *   address: "127.0.0.1:8443",
 *   http: { port: 8080 },
 *   tls: { port: 8443 },
 * });
 * const invite = parseInvite(await server.invite());
 * const { token, ca } = await enrol(invite, invite.token);
 * await using tunnel = await connect({
 *   ...invite,
 *   ...(ca && { ca }),
 *   token,
 *   rules: [{ kind: "http", domain: "hello.tunnels.localhost", target: () => new Response("hello") }],
 * });
 * console.log(`${tunnel.hostname} answers at http://hello.tunnels.localhost:8080`);
 * await tunnel.closed;
 * ```
 *
 * @module
 */
export { serve, type SpokesServer } from "./server/server.ts";
export type { ListenAddress, ServerOptions } from "./server/options.ts";
export { DEFAULT_SERVER_LIMITS, type ServerLimits } from "./server/limits.ts";
export type { CreateEnrolmentTokenOptions } from "./server/state/enrolment_tokens.ts";
export { connect, type Tunnel } from "./client/client.ts";
export type { Duplex } from "./net/duplex.ts";
export { type Destination, formatDestination, parseDestination } from "./protocol/destination.ts";
export { createChild, enrol, type Enrolment } from "./client/enrol.ts";
export type {
  ClientAcmeOptions,
  ClientEvent,
  ClientHttpRule,
  ClientRule,
  ClientTcpRule,
  ConnectOptions,
  FetchHandler,
  ServerAddress,
  Target,
  TlsEnd,
} from "./client/options.ts";
export type { Door, DoorAddress, DoorAuth, DoorState, PortMap, ProxyDoor } from "./client/doors/door.ts";
export { encodeInvite, type Invite, parseInvite } from "./protocol/invite.ts";
export { CodedError, type ErrorName, ERRORS } from "./protocol/errors.ts";
export type { RuleState, Welcome } from "./protocol/message.ts";
export type { HttpOptions } from "./protocol/http_options.ts";
export type { FirewallRule } from "./protocol/rule.ts";
export { hashPassword } from "./net/password.ts";
export type { CertificatePem } from "./net/certificate.ts";
export type { CertificatePaths } from "./server/certificates/certificate_files.ts";
export type { GivenCertificate } from "./server/certificates/given_certificate.ts";
export type { Logger } from "./net/log.ts";
export { VERSION } from "./protocol/version.ts";
