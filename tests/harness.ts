/**
 * What system tests are made of: a real server, real clients, targets, visitors and third-party programs. Everything that runs is
 * `await using`; every port is chosen by the kernel and read back.
 *
 * @module
 */
export { CapturedLog, type LogEntry } from "./harness/captured_log.ts";
export { type ServerSetup, startServer, type TestServer } from "./harness/server.ts";
export { startTunnel, type TestTunnel, type TunnelSetup } from "./harness/tunnel.ts";
export { connectTcp, type ReadToEnd, Wire } from "./harness/wire.ts";
export { echoTarget, freePort, type TcpTarget, tcpTarget } from "./harness/tcp_target.ts";
export { type HttpTarget, httpTarget, jsonEcho } from "./harness/http_target.ts";
export {
  type HttpMessage,
  type HttpRequest,
  type HttpResponse,
  readMessage,
  readRequest,
  readResponse,
  request,
  type RequestParts,
  requestText,
} from "./harness/http_message.ts";
export { programTest } from "../net/testing/programs.ts";
export { type Finished, run, type RunOptions, spawn, type Spawned } from "./harness/programs.ts";
export {
  clockAhead,
  type PktriotProcess,
  type PktriotSetup,
  type ProgramProcess,
  runProgram,
  spawnPktriot,
  spawnProgram,
  spawnSpokes,
  type SpokesProcess,
} from "./harness/processes.ts";
export { ACME_PROGRAMS, type Browser, secure, serialShown, startBrowser, stepsOf } from "./harness/acme.ts";
export { SOAK, type TempDir, tempDir } from "./harness/machine.ts";
export { eventually, within } from "./harness/wait.ts";
export { fill, sha256 } from "./harness/bytes.ts";
