import { parseAddress } from "../../net/address.ts";
import { EVERY_ADDRESS } from "../../net/listen.ts";
import { DEFAULT_LISTENERS } from "../../server/default_listeners.ts";
import { formatHostPort, type HostPort } from "../parse_listen.ts";
import type { MeshOptions } from "../../server/mesh/access.ts";

/** The keys of `spokes.yaml` with a place to listen in them. */
interface Listening {
  readonly http?: { readonly listen?: HostPort | undefined } | undefined;
  readonly tls?: { readonly listen?: HostPort | undefined } | undefined;
  readonly admin?: { readonly listen: HostPort } | "off" | false | undefined;
  readonly mesh?: MeshOptions | false | undefined;
}

/** What cannot be: two keys that ask for the same port of the same address. */
export interface ListenerClash {
  /** Of the key that the file has, where one has its default. */
  readonly path: readonly string[];
  readonly message: string;
}

interface Listener {
  readonly path: readonly string[];
  readonly place: HostPort;
  readonly isDefault: boolean;
}

/** The first clash among the listeners, those with defaults too; the system would only say that another program is there. */
export function listenerClash(
  config: Listening,
): ListenerClash | undefined {
  const all = listenersOf(config);
  for (const [index, second] of all.entries()) {
    const first = all.slice(0, index).find(({ place }) => overlap(place, second.place));
    if (first === undefined) continue;
    const [shown, other] = second.isDefault ? [first, second] : [second, first];
    const message = `${formatHostPort(shown.place)} is taken by ${describe(other)}; give each a port of its own`;
    return { path: shown.path, message };
  }
  return undefined;
}

function listenersOf({ http, tls, admin, mesh }: Listening): Listener[] {
  const { socks, connectTlsListen } = mesh || {};
  const proxies: [string, Partial<HostPort> | undefined][] = [
    ["mesh.socks.listen", socks?.listen],
    ["mesh.socks.tls_listen", socks?.tlsListen],
    ["mesh.connect_tls_listen", connectTlsListen],
  ];
  return [
    listener("http.listen", http?.listen, DEFAULT_LISTENERS.http),
    listener("tls.listen", tls?.listen, DEFAULT_LISTENERS.tls),
    ...admin === "off" || admin === false ? [] : [listener("admin.listen", admin?.listen, DEFAULT_LISTENERS.admin)],
    ...proxies.flatMap(([key, place]) =>
      place === undefined ? [] : [listener(key, { hostname: "", port: 0, ...place })]
    ),
  ];
}

function listener(key: string, place: HostPort | undefined, otherwise: HostPort = { hostname: "", port: 0 }): Listener {
  return { path: key.split("."), place: place ?? otherwise, isDefault: place === undefined };
}

function describe({ path, place, isDefault }: Listener): string {
  return `${path.join(".")}, which ${isDefault ? "has the default" : "is"} ${formatHostPort(place)}`;
}

/** Port 0 is another one each time. `:80` and `[::]:80` take the port of all addresses, `0.0.0.0:80` that of IPv4. */
function overlap(a: HostPort, b: HostPort): boolean {
  if (a.port === 0 || a.port !== b.port) return false;
  const [one, other] = [canonical(a), canonical(b)];
  if (one === other || one === EVERY_ADDRESS || other === EVERY_ADDRESS) return true;
  return isEveryV4(one, other) || isEveryV4(other, one);
}

function isEveryV4(every: string, one: string): boolean {
  return every === "0.0.0.0" && parseAddress(one)?.family === 4;
}

function canonical({ hostname }: HostPort): string {
  return hostname === "" ? EVERY_ADDRESS : parseAddress(hostname)?.text ?? hostname.toLowerCase();
}
