import { join, sep } from "node:path";
import { CodedError } from "../../protocol/errors.ts";
import { type ByteRange, evaluateConditions, parseRange, rangeStands, type Version } from "./conditional.ts";
import { contentType } from "./content_type.ts";
import type { FetchHandler } from "./fetch_server.ts";
import { fileBody } from "./file_body.ts";

/** How a folder is served. */
export interface StaticOptions {
  /** What is served for a folder. @default "index.html" */
  readonly index?: string;
  /** Also serve names that begin with a dot (`.git`, `.env`); `.well-known` always is. @default false */
  readonly dotFiles?: boolean;
}

/** What a part of a path may not hold; Windows also knows streams, devices and names that end in nothing. */
const MEANINGFUL = Deno.build.os === "windows"
  ? /[\0/\\:*?"<>|]|[. ]$|^(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)/i
  : /[\0/\\]/;

interface Root {
  readonly folder: string;
  readonly index: string;
  readonly dotFiles: boolean;
}

interface Found {
  readonly path: string;
  readonly info: Deno.FileInfo;
}

/**
 * A handler that serves the files of a folder, and nothing outside it: links that lead out are not found. There are no listings.
 * It throws {@link CodedError} `WEBROOT_UNREADABLE` when the folder itself is gone.
 */
export function staticHandler(
  folder: string,
  { index = "index.html", dotFiles = false }: StaticOptions = {},
): FetchHandler {
  return (request) => serveFile({ folder, index, dotFiles }, request);
}

async function serveFile(root: Root, request: Request): Promise<Response> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return plain(405, "Method Not Allowed", { allow: "GET, HEAD" });
  }
  const { pathname, search } = new URL(request.url);
  const segments = pathSegments(pathname, root.dotFiles);
  if (segments === undefined) return notFound();
  try {
    return await serveSegments(root, segments, { request, search });
  } catch (error) {
    if (error instanceof Deno.errors.PermissionDenied) return plain(403, "Forbidden");
    if (isAbsent(error)) return notFound();
    throw error;
  }
}

async function serveSegments(
  root: Root,
  segments: readonly string[],
  { request, search }: { request: Request; search: string },
): Promise<Response> {
  const base = await realRoot(root.folder);
  const asFolder = segments.at(-1) === "";
  const found = await confined(base, join(base, ...segments));
  if (found === undefined) return notFound();
  if (found.info.isDirectory) {
    // Relative, so that no path can make another host of it.
    if (!asFolder) return redirect(`${encodeURIComponent(segments.at(-1) ?? "")}/${search}`);
    const index = await confined(base, join(found.path, root.index));
    return index?.info.isFile ? await answer(request, index) : notFound();
  }
  // Opening a pipe or device could block or do things.
  return found.info.isFile && !asFolder ? await answer(request, found) : notFound();
}

/** The decoded parts of a path; `undefined` when one of them could mean something to a file system. */
function pathSegments(pathname: string, dotFiles: boolean): string[] | undefined {
  const segments: string[] = [];
  const raw = pathname.split("/").slice(1);
  for (const [at, part] of raw.entries()) {
    const segment = decode(part);
    if (segment === undefined || MEANINGFUL.test(segment) || segment === "." || segment === "..") return undefined;
    if (segment === "" && at < raw.length - 1) return undefined;
    if (segment.startsWith(".") && !dotFiles && segment !== ".well-known") return undefined;
    segments.push(segment);
  }
  return segments;
}

function decode(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    // Not percent-encoded UTF-8: no file has such a name here.
    return undefined;
  }
}

async function realRoot(folder: string): Promise<string> {
  try {
    return await Deno.realPath(folder);
  } catch (cause) {
    throw new CodedError("WEBROOT_UNREADABLE", "The folder of this rule cannot be read", { cause });
  }
}

/** Follows all links, and only then looks where the path leads. */
async function confined(base: string, path: string): Promise<Found | undefined> {
  const real = await Deno.realPath(path);
  const inside = real === base || real.startsWith(base.endsWith(sep) ? base : base + sep);
  return inside ? { path: real, info: await Deno.stat(real) } : undefined;
}

function versionOf({ size, mtime }: Deno.FileInfo): Version {
  const modified = mtime ?? new Date(0);
  return { etag: `"${modified.getTime().toString(16)}-${size.toString(16)}"`, modified };
}

async function answer(request: Request, { path }: Found): Promise<Response> {
  using opened = new DisposableStack();
  const file = opened.use(await Deno.open(path));
  // The name may lead to another file by now: what is described is what was opened.
  const info = await file.stat();
  if (!info.isFile) return notFound();
  const version = versionOf(info);
  const headers = new Headers({
    "accept-ranges": "bytes",
    "cache-control": "no-cache",
    "etag": version.etag,
    "last-modified": version.modified.toUTCString(),
  });
  const condition = evaluateConditions(request.headers, version);
  if (condition === "not-modified") return new Response(null, { status: 304, statusText: "Not Modified", headers });
  if (condition === "failed") return plain(412, "Precondition Failed");
  headers.set("content-type", contentType(path));
  headers.set("x-content-type-options", "nosniff");
  const wanted = request.method === "GET" && rangeStands(request.headers, version);
  const range = wanted ? parseRange(request.headers.get("range"), info.size) : undefined;
  if (range === null) return plain(416, "Range Not Satisfiable", { "content-range": `bytes */${info.size}` });
  const { from, to } = range ?? { from: 0, to: info.size };
  headers.set("content-length", `${to - from}`);
  const body = request.method === "HEAD" || to === from ? null : await bodyOf(opened, file, { from, to });
  if (range === undefined) return new Response(body, { statusText: "OK", headers });
  headers.set("content-range", `bytes ${from}-${to - 1}/${info.size}`);
  return new Response(body, { status: 206, statusText: "Partial Content", headers });
}

/** The body closes its file: at its end, or when nobody wants the rest. */
function bodyOf(opened: DisposableStack, file: Deno.FsFile, range: ByteRange): ReturnType<typeof fileBody> {
  opened.move();
  return fileBody(file, range);
}

function redirect(location: string): Response {
  return plain(301, "Moved Permanently", { location });
}

function notFound(): Response {
  return plain(404, "Not Found");
}

function plain(status: number, statusText: string, more: Record<string, string> = {}): Response {
  const text = `${status} ${statusText}\n`;
  const headers = { "content-type": "text/plain; charset=utf-8", "content-length": `${text.length}`, ...more };
  return new Response(text, { status, statusText, headers });
}

/** A path that is too long, goes through a file, or turns in a circle names nothing. */
function isAbsent(error: unknown): boolean {
  if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return true;
  if (error instanceof Deno.errors.FilesystemLoop) return true;
  return error instanceof Error && "code" in error && (error.code === "ENAMETOOLONG" || error.code === "EINVAL");
}
