import { equal, match, ok } from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { formatDuration } from "../cli/parse_duration.ts";
import { LIMIT_KEYS } from "../cli/spokes/limits_schema.ts";
import { DEFAULT_SERVER_LIMITS } from "../server/limits.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

Deno.test("docs/limits.md has every limit of the server with its key and default", async () => {
  const text = await Deno.readTextFile(join(ROOT, "docs/limits.md"));
  for (const { key, limit, isTime } of LIMIT_KEYS) {
    const value = isTime ? formatDuration(DEFAULT_SERVER_LIMITS[limit]) : `${DEFAULT_SERVER_LIMITS[limit]}`;
    ok(
      new RegExp(`^\\| \`${key}\` +\\| ${value} +\\|`, "m").test(text),
      `there is no line of ${key}: ${value}`,
    );
  }
});

Deno.test("the examples of README.md and docs/embedding.md have right types, and the latter runs and ends", async () => {
  const folder = await Deno.makeTempDir({ prefix: "spokes-docs-" });
  try {
    const readme = await writeExample("README.md", join(folder, "readme.ts"));
    const embedding = await writeExample("docs/embedding.md", join(folder, "embedding.ts"));
    const checked = await deno("check", readme, embedding);
    equal(checked.code, 0, checked.text);
    const { code, text } = await deno("run", "--no-check", "-A", embedding);
    equal(code, 0, text);
    match(text, /reaches this process/);
    match(text, /id: "tcp\/\d+",\s+state: "active"/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** The first TypeScript of a document as a file of its own, which finds the product where it is. */
async function writeExample(document: string, file: string): Promise<string> {
  const text = await Deno.readTextFile(join(ROOT, document));
  const example = /^```ts\n(.*?)^```$/ms.exec(text)?.[1];
  ok(example !== undefined, `${document} has no example`);
  const product = pathToFileURL(join(ROOT, "mod.ts")).href;
  await Deno.writeTextFile(file, example.replace(`"./mod.ts"`, JSON.stringify(product)));
  return file;
}

async function deno(command: string, ...args: string[]): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [command, "--quiet", "--config", join(ROOT, "deno.json"), ...args],
    env: { NO_COLOR: "1" },
    stdin: "null",
    signal: AbortSignal.timeout(60_000),
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}
