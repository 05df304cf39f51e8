import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { echoTarget, eventually, freePort, request, run, spawn, tempDir } from "./harness.ts";

const MODULE = new URL("../mod.ts", import.meta.url);

/** The code in the module's documentation, whose lines begin with ` * `. */
async function exampleOf(module: URL): Promise<string> {
  const text = await Deno.readTextFile(module);
  const block = /```ts\n([\s\S]*?) \* ```/.exec(text)?.[1] ?? "";
  return block.split("\n").map((line) => line.replace(/^ \* ?/, "")).join("\n");
}

Deno.test("the example of mod.ts runs as it is written", async () => {
  await using folder = await tempDir();
  const example = await exampleOf(MODULE);
  const [http, tls, admin] = [await freePort(), await freePort(), await freePort()];
  assert.match(example, /127\.0\.0\.1:8443[\s\S]*port: 8080\b[\s\S]*port: 8443\b/);
  const here = example
    .replaceAll('"./mod.ts"', JSON.stringify(MODULE.href))
    .replaceAll("8080", `${http}`)
    .replaceAll("8443", `${tls}`)
    // The usual ports of the rest may be in use on this machine.
    .replace("await serve({", `await serve({ admin: { port: ${admin} },`);
  const file = await folder.write("example.ts", here);
  const config = fileURLToPath(new URL("../deno.json", import.meta.url));
  await using program = spawn(Deno.execPath(), ["run", "-A", "--check", "--config", config, file]);
  await program.printed(/^[a-z]+-[a-z]+-\d{5}\.tunnels\.localhost answers at http:/);
  // It is connected now; that its rule is published follows.
  const answer = await eventually(async () => {
    const response = await request(http, { host: "hello.tunnels.localhost" });
    return response.status === 200 ? response : undefined;
  }, "the example to answer");
  assert.equal(answer.text, "hello");
});

Deno.test("the examples of embedding.md run as they are written, one after the other", async () => {
  await using folder = await tempDir();
  await using echo = await echoTarget();
  const text = await Deno.readTextFile(new URL("../docs/embedding.md", import.meta.url));
  const blocks = [...text.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([, block]) => block);
  assert.equal(blocks.length, 2);
  const [socks, map] = [await freePort(), await freePort()];
  const file = await folder.write(
    "embedding.ts",
    blocks.join("\n")
      .replaceAll('"./mod.ts"', JSON.stringify(MODULE.href))
      .replace("127.0.0.1:7", echo.address)
      .replace("7007", `${map}`)
      .replace("1080", `${socks}`),
  );
  const config = fileURLToPath(new URL("../deno.json", import.meta.url));
  const { code, stdout, stderr } = await run(Deno.execPath(), ["run", "-A", "--check", "--config", config, file]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, new RegExp(`\nhello\n[^]*map/127.0.0.1:${map} open\nsocks/127.0.0.1:${socks} open\n$`));
});
