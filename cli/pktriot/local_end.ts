import { parsePort } from "../parse_port.ts";
import { checkUnixPath } from "./door_schema.ts";
import type { MapKey } from "./edit_doors.ts";
import { usageOf } from "./usage_of.ts";

/** Reads the local end of a port map as it is typed: `3306` or `unix:/run/db.sock`. @throws {CommandError} USAGE */
export function parseLocalEnd(text: string): MapKey {
  if (text.startsWith("unix:")) {
    const unix = text.slice("unix:".length);
    usageOf("The local end", () => checkUnixPath(unix));
    return { unix };
  }
  usageOf(`"${text}"`, () => parsePort(text));
  return { port: parsePort(text) };
}

/** The same as text. */
export function formatLocalEnd({ port, unix }: MapKey): string {
  return unix === undefined ? `${port}` : `unix:${unix}`;
}
