import { CodedError } from "../protocol/errors.ts";

/** Where the bytes of a stream go. */
export type ParsedTarget =
  | { kind: "tcp"; host: string; port: number }
  | { kind: "https"; host: string; port: number }
  | { kind: "unix"; path: string }
  | { kind: "folder"; path: string };

/**
 * Reads a target. The forms:
 *
 * | form                                    | leads to                                         |
 * | --------------------------------------- | ------------------------------------------------ |
 * | `8080`                                  | port 8080 of this machine (127.0.0.1)            |
 * | `host:8080`, `[::1]:8080`               | that port, plain                                 |
 * | `http://host`, `http://host:8080`       | the same; port 80 when none is named             |
 * | `https://host`, `https://host:8443`     | TLS to that port, verified; 443 when none is named |
 * | `unix:/run/app.sock`                    | a unix socket                                    |
 * | `/srv/www`, `./dist`, `C:\www`          | a folder, served as a web site                   |
 *
 * @throws {CodedError} TARGET_INVALID
 */
export function parseTarget(text: string): ParsedTarget {
  if (text.startsWith("unix:")) return parseUnix(text);
  if (/^(\/|\.{1,2}(\/|$)|~\/|[A-Za-z]:[\\/])/.test(text)) return { kind: "folder", path: text };
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase();
  switch (scheme) {
    case undefined:
      return { kind: "tcp", ...parseHostPort(text, text, undefined) };
    case "tcp":
      return { kind: "tcp", ...parseHostPort(text.slice(6), text, undefined) };
    case "http":
      return { kind: "tcp", ...parseHostPort(authority(text, 7), text, 80) };
    case "https":
      return { kind: "https", ...parseHostPort(authority(text, 8), text, 443) };
    default:
      throw invalid(text, `"${scheme}://" is not one of http://, https://, tcp://, unix:`);
  }
}

/** A target as one canonical line, for tables. */
export function describeTarget(target: ParsedTarget): string {
  switch (target.kind) {
    case "tcp":
      return joinHostPort(target.host, target.port);
    case "https":
      return `https://${joinHostPort(target.host, target.port)}`;
    case "unix":
      return `unix:${target.path}`;
    case "folder":
      return target.path;
    default:
      return target satisfies never;
  }
}

function parseUnix(text: string): ParsedTarget {
  const path = text.slice("unix:".length).replace(/^\/\/(?=\/)/, "");
  if (!path.startsWith("/") || path.includes("\0")) throw invalid(text, "a unix socket needs an absolute path");
  return { kind: "unix", path };
}

/** The host and port of a URL without path: a path would silently not be used. */
function authority(text: string, from: number): string {
  const rest = text.slice(from);
  const slash = rest.search(/[/?#]/);
  if (slash >= 0 && rest.slice(slash) !== "/") throw invalid(text, "a path behind the host is not supported");
  return slash >= 0 ? rest.slice(0, slash) : rest;
}

function parseHostPort(text: string, whole: string, defaultPort: number | undefined): { host: string; port: number } {
  if (/^\d+$/.test(text) && defaultPort === undefined) return { host: "127.0.0.1", port: parsePort(text, whole) };
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_.])?))(?::(\d+))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined) throw invalid(whole, "write host:port");
  const port = match?.[4] === undefined ? defaultPort : parsePort(match[4], whole);
  if (port === undefined) throw invalid(whole, "the port is missing");
  return { host, port };
}

function parsePort(text: string, whole: string): number {
  const port = Number(text);
  if (text.length > 5 || port < 1 || port > 65_535) throw invalid(whole, `the port must be 1 to 65535, not ${text}`);
  return port;
}

function joinHostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function invalid(text: string, reason: string): CodedError {
  return new CodedError("TARGET_INVALID", `Cannot use the target "${text}": ${reason}`);
}
