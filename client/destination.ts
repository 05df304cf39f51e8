import type { FetchHandler } from "../net/http/fetch_server.ts";
import type { CompiledHttpOptions } from "../net/http/proxy/rule_options.ts";
import type { DialTargetOptions, SocketTarget } from "./dial_target.ts";

/** A service that bytes are passed on to. */
export interface SocketDestination {
  readonly kind: "socket";
  readonly target: SocketTarget;
  readonly options: DialTargetOptions;
  /** Every connection begins with the visitor's address. */
  readonly proxyProtocol?: "v2";
  /** What is done to requests that become plain here. */
  readonly http?: CompiledHttpOptions;
}

/** HTTP that is answered in this process. */
export interface HandlerDestination {
  readonly kind: "handler";
  readonly handler: FetchHandler;
  readonly http?: CompiledHttpOptions;
}
