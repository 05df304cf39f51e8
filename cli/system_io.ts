import type { Io } from "./io.ts";

/** The real standard streams and environment. Lines are written synchronously, so that none is lost at exit. */
export function systemIo(): Io {
  return {
    print: (lines) => writeLines(Deno.stdout, lines),
    report: (lines) => writeLines(Deno.stderr, lines),
    readInput,
    env: (name) => Deno.env.get(name),
    interactive: Deno.stdin.isTerminal() && Deno.stdout.isTerminal(),
  };
}

interface SyncWriter {
  writeSync(bytes: Uint8Array): number;
}

/** Writes whole lines; when the reader has gone (`pktriot info | head -1`) the rest is nobody's. */
function writeLines(out: SyncWriter, lines: string | readonly string[]): void {
  const text = typeof lines === "string" ? lines : lines.join("\n");
  const bytes = new TextEncoder().encode(`${text}\n`);
  try {
    for (let sent = 0; sent < bytes.length;) sent += out.writeSync(bytes.subarray(sent));
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}

async function readInput(maxBytes: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of Deno.stdin.readable) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new RangeError(`Cannot read standard input: it is longer than ${maxBytes} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
