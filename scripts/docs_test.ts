import { ok } from "node:assert/strict";
import { formatDuration } from "../cli/parse_duration.ts";
import { LIMIT_KEYS } from "../cli/spokes/limits_schema.ts";
import { DEFAULT_SERVER_LIMITS } from "../server/limits.ts";

Deno.test("docs/limits.md has every limit of the server with its key and default", async () => {
  const text = await Deno.readTextFile(new URL("../docs/limits.md", import.meta.url));
  for (const { key, limit, isTime } of LIMIT_KEYS) {
    const value = isTime ? formatDuration(DEFAULT_SERVER_LIMITS[limit]) : `${DEFAULT_SERVER_LIMITS[limit]}`;
    ok(new RegExp(`^\\| \`${key}\` +\\| ${value} +\\|`, "m").test(text), `there is no line of ${key}: ${value}`);
  }
});
