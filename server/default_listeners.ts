import { EVERY_ADDRESS } from "../net/listen.ts";
import type { ListenAddress, ServerOptions } from "./options.ts";

/** Where a server listens unless it is told otherwise. */
export const DEFAULT_LISTENERS = {
  http: { hostname: EVERY_ADDRESS, port: 80 },
  tls: { hostname: EVERY_ADDRESS, port: 443 },
  tcp: { bind: EVERY_ADDRESS, from: 22_000, to: 22_999 },
  admin: { hostname: "127.0.0.1", port: 9_400 },
} as const;

/** Where a server listens. */
export interface Listeners {
  readonly http: ListenAddress;
  readonly tls: ListenAddress;
  readonly tcp: { readonly bind: string; readonly from: number; readonly to: number };
  readonly admin: ListenAddress | null;
}

/** Where a server with these options listens. */
export function listenersOf({ http, tls, tcp, admin }: ServerOptions): Listeners {
  return {
    http: { ...DEFAULT_LISTENERS.http, ...http },
    tls: { ...DEFAULT_LISTENERS.tls, ...tls },
    tcp: { ...DEFAULT_LISTENERS.tcp, ...tcp },
    admin: admin === false ? null : { ...DEFAULT_LISTENERS.admin, ...admin },
  };
}
