import { isHostName } from "../../protocol/host_name.ts";

/** One name, or with `*.` in front every name below it. */
export interface HostPattern {
  readonly name: string;
  readonly below: boolean;
}

/** Reads `db.srv.local` or `*.srv.local`, which is every name below but not `srv.local` itself; `undefined` when it is neither. */
export function parseHostPattern(text: string): HostPattern | undefined {
  const below = text.startsWith("*.");
  const name = below ? text.slice(2) : text;
  return isHostName(name) ? { name, below } : undefined;
}

/** Whether a canonical host name fits. */
export function matchesHost({ name, below }: HostPattern, host: string): boolean {
  return below ? host.endsWith(`.${name}`) : host === name;
}
