import { deepEqual, equal, match } from "node:assert/strict";
import { join } from "node:path";
import { memoryIo } from "../testing/memory_io.ts";
import { privateFile } from "../testing/private_file.ts";
import { acmeOptionsOf } from "./acme_options.ts";

Deno.test("acmeOptionsOf() keeps certificates where the environment says, else beside the configuration", async () => {
  const places: [env: Record<string, string>, folder: string][] = [
    [{}, "/etc/pktriot/acme"],
    [{ STATE_DIRECTORY: "/var/lib/pktriot" }, "/var/lib/pktriot/acme"],
    [{ STATE_DIRECTORY: "/var/lib/one:/var/lib/two" }, "/var/lib/one/acme"],
    [{ STATE_DIRECTORY: "/var/lib/pktriot", PKTRIOT_STATE: "/srv/state" }, "/srv/state/acme"],
  ];
  for (const [env, folder] of places) {
    const context = { io: memoryIo({ env }), global: {} };
    deepEqual(await acmeOptionsOf(context, "/etc/pktriot/config.json"), { folder });
  }
});

Deno.test("acmeOptionsOf() knows words for directories, and reads the root of a private authority", async () => {
  await using file = await privateFile("root.pem", "PEM");
  const context = { io: memoryIo(), global: {} };
  const config = join(file.folder, "config.json");
  const staging = await acmeOptionsOf(context, config, { directory: "letsencrypt-staging", email: "a@example.org" });
  deepEqual(staging, {
    folder: join(file.folder, "acme"),
    directory: "https://acme-staging-v02.api.letsencrypt.org/directory",
    email: "a@example.org",
  });
  // A path is one beside the configuration, wherever the command runs.
  for (const ca of [file.path, "root.pem"]) {
    const own = await acmeOptionsOf(context, config, { directory: "https://ca.example/dir", ca });
    deepEqual([own.directory, own.ca], ["https://ca.example/dir", "PEM"]);
  }
  deepEqual(context.io.err, []);
});

Deno.test("acmeOptionsOf() reports a root that cannot be read, and goes on without trusting it", async () => {
  const context = { io: memoryIo(), global: {} };
  equal("ca" in await acmeOptionsOf(context, "/nowhere/config.json", { ca: "/nowhere/root.pem" }), false);
  match(context.io.err.join("\n"), /^warning: acme\.ca: \/nowhere\/root\.pem cannot be read/);
});
