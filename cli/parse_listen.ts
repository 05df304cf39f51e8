/** A place to listen, or a place to dial. */
export interface HostPort {
  hostname: string;
  port: number;
}

const HOST_PORT = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/?#@]*)):([0-9]{1,5})$/;

/** `host:port`, `[v6]:port`, and, with an empty host, `:port`; `undefined` when it is none. */
export function parseHostPort(text: string): HostPort | undefined {
  const [, v6, name = "", digits] = HOST_PORT.exec(text) ?? [];
  if (digits === undefined || Number(digits) > 65_535) return undefined;
  return { hostname: v6 ?? name, port: Number(digits) };
}

/** `host:port` with brackets where they belong. */
export function formatHostPort({ hostname, port }: HostPort): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}
