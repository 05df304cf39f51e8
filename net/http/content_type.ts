const UTF8 = "; charset=utf-8";

/** The types of what is found in folders of web sites. */
const TYPES: ReadonlyMap<string, string> = new Map([
  ["aac", "audio/aac"],
  ["avif", "image/avif"],
  ["bmp", "image/bmp"],
  ["css", `text/css${UTF8}`],
  ["csv", `text/csv${UTF8}`],
  ["gif", "image/gif"],
  ["gz", "application/gzip"],
  ["htm", `text/html${UTF8}`],
  ["html", `text/html${UTF8}`],
  ["ico", "image/vnd.microsoft.icon"],
  ["ics", `text/calendar${UTF8}`],
  ["jpeg", "image/jpeg"],
  ["jpg", "image/jpeg"],
  ["js", `text/javascript${UTF8}`],
  ["json", "application/json"],
  ["map", "application/json"],
  ["md", `text/markdown${UTF8}`],
  ["mjs", `text/javascript${UTF8}`],
  ["mp3", "audio/mpeg"],
  ["mp4", "video/mp4"],
  ["oga", "audio/ogg"],
  ["ogg", "audio/ogg"],
  ["ogv", "video/ogg"],
  ["otf", "font/otf"],
  ["pdf", "application/pdf"],
  ["png", "image/png"],
  ["svg", "image/svg+xml"],
  ["tar", "application/x-tar"],
  ["ttf", "font/ttf"],
  ["txt", `text/plain${UTF8}`],
  ["wasm", "application/wasm"],
  ["wav", "audio/wav"],
  ["webm", "video/webm"],
  ["webmanifest", "application/manifest+json"],
  ["webp", "image/webp"],
  ["woff", "font/woff"],
  ["woff2", "font/woff2"],
  ["xhtml", "application/xhtml+xml"],
  ["xml", "application/xml"],
  ["zip", "application/zip"],
]);

/** The media type by the end of a file's name; what is unknown is offered for download. */
export function contentType(fileName: string): string {
  const dot = fileName.lastIndexOf(".");
  return TYPES.get(fileName.slice(dot + 1).toLowerCase()) ?? "application/octet-stream";
}
