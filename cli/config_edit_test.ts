import { deepEqual, equal, match, rejects } from "node:assert/strict";
import { z } from "zod";
import { editConfig } from "./config_edit.ts";
import { loadConfig } from "./config_file.ts";
import { lockFile } from "./file_lock.ts";
import { privateFile } from "./testing/private_file.ts";

const schema = z.strictObject({ version: z.literal(1), names: z.array(z.string()).default([]) });
const YAML = "# kept: the head\nversion: 1 # kept: beside\nnames:\n  # kept: above\n  - a\n";

Deno.test("editConfig() keeps comments in YAML", async () => {
  await using file = await privateFile("c.yaml", YAML);
  const value = await editConfig(file.path, schema, (document) => document.addIn(["names"], "b"));
  deepEqual(value, { version: 1, names: ["a", "b"] });
  equal(await file.text(), `${YAML}  - b\n`);
});

Deno.test("editConfig() writes JSON as JSON", async () => {
  await using file = await privateFile("c.json", '{"version":1,"names":["a"]}');
  await editConfig(file.path, schema, (document) => document.addIn(["names"], "b"));
  equal(await file.text(), '{\n  "version": 1,\n  "names": [\n    "a",\n    "b"\n  ]\n}\n');
});

Deno.test("editConfig() keeps the mode and leaves nothing beside the file", async () => {
  await using file = await privateFile("c.yaml", YAML);
  await Deno.chmod(file.path, 0o640);
  await editConfig(file.path, schema, (document) => document.addIn(["names"], "b"));
  equal(((await Deno.stat(file.path)).mode ?? 0) & 0o777, 0o640);
  deepEqual(Array.from(Deno.readDirSync(file.folder), (entry) => entry.name), ["c.yaml"]);
});

Deno.test("editConfig() writes nothing when the result would not be valid", async () => {
  await using file = await privateFile("c.yaml", YAML);
  await rejects(editConfig(file.path, schema, (document) => document.setIn(["version"], 2)), {
    kind: "CONFIG_INVALID",
  });
  equal(await file.text(), YAML);
  deepEqual(Array.from(Deno.readDirSync(file.folder), (entry) => entry.name), ["c.yaml"]);
});

Deno.test("editConfig() writes nothing when the change throws", async () => {
  await using file = await privateFile("c.yaml", YAML);
  await rejects(
    editConfig(file.path, schema, () => {
      throw new TypeError("no");
    }),
    TypeError,
  );
  equal(await file.text(), YAML);
});

Deno.test("editConfig() loses no edit of two commands at once", async () => {
  await using file = await privateFile("c.json", '{"version":1}');
  const names = Array.from({ length: 20 }, (_, index) => `n${index}`);
  await Promise.all(
    names.map((name) =>
      editConfig(file.path, schema, (document, value) => document.set("names", [...value.names, name]))
    ),
  );
  deepEqual([...JSON.parse(await file.text()).names].sort(), [...names].sort());
});

Deno.test("editConfig() notices an edit by hand that falls into its own", async () => {
  await using file = await privateFile("c.json", '{"version":1,"names":["a"]}');
  let first = true;
  await editConfig(file.path, schema, (document) => {
    if (first) Deno.writeTextFileSync(file.path, '{"version":1,"names":["by hand"]}');
    first = false;
    document.addIn(["names"], "b");
  });
  deepEqual(JSON.parse(await file.text()).names, ["by hand", "b"]);
});

Deno.test("editConfig() replaces what a link names, not the link", async () => {
  await using file = await privateFile("real.json", '{"version":1}');
  await Deno.symlink(file.path, `${file.folder}/link.json`);
  await editConfig(`${file.folder}/link.json`, schema, (document) => document.set("names", ["a"]));
  equal((await Deno.lstat(`${file.folder}/link.json`)).isSymlink, true);
  deepEqual(JSON.parse(await file.text()).names, ["a"]);
});

const UNSAFE: [mode: number, reason: RegExp][] = [
  [0o622, /others may write it/],
  [0o660, /others may write it/],
  [0o604, /everybody may read it/],
  [0o644, /everybody may read it/],
];

for (const [mode, reason] of UNSAFE) {
  Deno.test(`editConfig() refuses a file of mode 0${mode.toString(8)}`, async () => {
    await using file = await privateFile("c.yaml", YAML);
    await Deno.chmod(file.path, mode);
    await rejects(editConfig(file.path, schema, () => {}), { kind: "CONFIG_UNSAFE", message: reason });
  });
}

Deno.test({
  name: "editConfig() refuses a file of somebody else",
  ignore: Deno.build.os === "windows" || Deno.uid() !== 0,
  async fn() {
    await using file = await privateFile("c.yaml", YAML);
    await Deno.chown(file.path, 12_345, 12_345);
    await rejects(editConfig(file.path, schema, () => {}), { kind: "CONFIG_UNSAFE", message: /belongs to user 12345/ });
  },
});

Deno.test("editConfig() says which file is missing", async () => {
  await using file = await privateFile("c.yaml", YAML);
  await rejects(editConfig(`${file.folder}/none/c.yaml`, schema, () => {}), { kind: "CONFIG_MISSING" });
});

Deno.test("lockFile() names the process that holds it", async () => {
  await using file = await privateFile("c.yaml", YAML);
  const path = `${file.path}.lock`;
  await using _held = await lockFile(path);
  await rejects(lockFile(path, { timeoutMs: 0 }), {
    kind: "CONFIG_LOCKED",
    message: new RegExp(`${Deno.pid} holds it`),
  });
});

Deno.test("lockFile() ignores what a killed process left behind", async () => {
  await using file = await privateFile("c.yaml.lock", "999999\n");
  await using _held = await lockFile(file.path, { timeoutMs: 0 });
  match(await file.text(), new RegExp(`^${Deno.pid}$`, "m"));
});

Deno.test("loadConfig() finds a repeated key in JSON, although JSON.parse() does not", async () => {
  await using file = await privateFile("c.json", '{\n  "version": 1,\n  "names": ["a"],\n  "names": []\n}\n');
  await rejects(loadConfig(file.path, schema), { kind: "CONFIG_INVALID", message: /c\.json:4:3: / });
});

Deno.test("loadConfig() reads what the commands wrote", async () => {
  await using file = await privateFile("c.json", '{"version":1}');
  await editConfig(file.path, schema, (document) => document.set("names", ["a"]));
  deepEqual((await loadConfig(file.path, schema)).value, { version: 1, names: ["a"] });
});
