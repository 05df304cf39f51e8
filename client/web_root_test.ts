import assert from "node:assert/strict";
import { join } from "node:path";
import { WebRoot } from "./web_root.ts";

Deno.test("a folder that is not there, or is none, has a fault that goes away with its reason", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "site");
    const root = new WebRoot(path);
    await root.look();
    assert.equal(root.fault?.kind, "WEBROOT_UNREADABLE");
    assert.match(root.fault.message, /site": it does not exist/);
    await Deno.writeTextFile(path, "");
    await root.look();
    assert.match(root.fault?.message ?? "", /it is not a folder/);
    await Deno.remove(path);
    await Deno.mkdir(path);
    await root.look();
    assert.equal(root.fault, undefined);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
