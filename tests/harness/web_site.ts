import { join } from "node:path";

/** Seconds of silence in a sound file; with the rates below larger than a browser reads ahead, so that seeking asks for a range. */
const SILENCE_SECONDS = 120;
const SAMPLES_PER_SECOND = 44_100;
const BYTES_PER_SAMPLE = 4;
const WAV_HEAD_BYTES = 44;
const SILENCE_BYTES = SILENCE_SECONDS * SAMPLES_PER_SECOND * BYTES_PER_SAMPLE;

/** Size of `/silence.wav`. */
export const SOUND_BYTES: number = WAV_HEAD_BYTES + SILENCE_BYTES;

/** What a browser asks for when it shows the page. */
export const SITE_FILES: readonly string[] = [
  "/",
  "/style.css",
  "/scripts/page.js",
  "/scripts/lib/sum.js",
  "/images/pixel.png",
  "/images/drawing.svg",
  "/images/a%20drawing%20%C3%BC.svg",
  "/silence.wav",
];

/** A PNG of one pixel. */
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>A site in a folder</title>
<link rel="icon" href="images/drawing.svg">
<link rel="stylesheet" href="style.css">
<script type="module" src="scripts/page.js"></script>
<h1 id="heading">Grüße</h1>
<img id="pixel" src="images/pixel.png" alt="">
<img id="drawing" src="images/a%20drawing%20%C3%BC.svg" alt="">
<audio id="sound" src="silence.wav" preload="metadata"></audio>
`;

const SCRIPT = `import { sum } from "./lib/sum.js";

/** A row of requests, each after the end of the one before, uses connections that are open. */
async function askInRow(url, count) {
  for (let at = 0; at < count; at++) await (await fetch(url + "?" + at, { cache: "no-store" })).text();
  const entries = performance.getEntriesByType("resource").filter(({ name }) => name.includes(url + "?"));
  const connections = entries.filter((each) => each.connectEnd > each.connectStart).length;
  return { requests: entries.length, kept: connections <= 1 };
}

async function partOf(url, range) {
  const response = await fetch(url, { headers: { range }, cache: "no-store" });
  return [response.status, response.headers.get("content-range"), (await response.arrayBuffer()).byteLength];
}

async function seek(sound, seconds) {
  if (sound.readyState === 0) await new Promise((done, failed) => {
    sound.onloadedmetadata = done;
    sound.onerror = () => failed(new Error(sound.error.message));
  });
  sound.currentTime = seconds;
  await new Promise((done) => sound.onseeked = done);
  return [Math.round(sound.duration), sound.currentTime];
}

function echo(url, ...messages) {
  return new Promise((done, failed) => {
    const socket = new WebSocket(url);
    const answers = [];
    socket.onerror = () => failed(new Error("WebSocket"));
    socket.onopen = () => messages.forEach((message) => socket.send(message));
    socket.onmessage = ({ data }) => {
      answers.push(data);
      if (answers.length === messages.length) socket.close(1000);
    };
    socket.onclose = ({ code, wasClean }) => done([code, wasClean, ...answers.map((each) => each.length)]);
  });
}

const byId = (id) => document.getElementById(id);
globalThis.loaded = new Promise((done) => addEventListener("load", () => done()));

globalThis.look = async (echoUrl) => {
  await loaded;
  return {
    sum: sum(1, 2),
    heading: byId("heading").textContent,
    colour: getComputedStyle(byId("heading")).color,
    images: [byId("pixel").naturalWidth, byId("drawing").naturalWidth],
    secure: isSecureContext,
    protocols: [...new Set(performance.getEntriesByType("resource").map((each) => each.nextHopProtocol))],
    row: await askInRow("data.json", 10),
    part: await partOf("silence.wav", "bytes=1000-1999"),
    sound: await seek(byId("sound"), ${SILENCE_SECONDS - 10}),
    echo: await echo(echoUrl, "hello", "x".repeat(100_000)),
  };
};
`;

/** Writes the folder of a web site: a page with style, modules, images, data and a sound, whose script gives `look()` and
 * `loaded` to the page. */
export async function writeWebSite(folder: string): Promise<void> {
  await Deno.mkdir(join(folder, "images"), { recursive: true });
  await Deno.mkdir(join(folder, "scripts", "lib"), { recursive: true });
  const files: Record<string, string | Uint8Array> = {
    "index.html": PAGE,
    "style.css": "h1 { color: rgb(1, 2, 3) }",
    "data.json": '{"a": 1}',
    "scripts/page.js": SCRIPT,
    "scripts/lib/sum.js": "export function sum(a, b) {\n  return a + b;\n}\n",
    "images/pixel.png": Uint8Array.fromBase64(PIXEL),
    "images/drawing.svg": svg(16),
    "images/a drawing ü.svg": svg(32),
    "silence.wav": silence(),
  };
  for (const [name, content] of Object.entries(files)) {
    await Deno.writeFile(join(folder, name), typeof content === "string" ? new TextEncoder().encode(content) : content);
  }
}

function svg(size: number): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}"><rect width="9" height="9"/></svg>`;
}

/** A WAV file: two channels of 16 bits. */
function silence(): Uint8Array {
  const bytes = new Uint8Array(SOUND_BYTES);
  const view = new DataView(bytes.buffer);
  const ascii = (at: number, text: string) => bytes.set(new TextEncoder().encode(text), at);
  ascii(0, "RIFF");
  view.setUint32(4, bytes.length - 8, true);
  ascii(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 2, true);
  view.setUint32(24, SAMPLES_PER_SECOND, true);
  view.setUint32(28, SAMPLES_PER_SECOND * BYTES_PER_SAMPLE, true);
  view.setUint16(32, BYTES_PER_SAMPLE, true);
  view.setUint16(34, 16, true);
  ascii(36, "data");
  view.setUint32(40, SILENCE_BYTES, true);
  return bytes;
}
