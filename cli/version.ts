import { VERSION } from "../protocol/version.ts";

/** What `version` and `--version` print. */
export function versionLine(program: string): string {
  return `${program} ${VERSION} (${Deno.build.os} ${Deno.build.arch}, deno ${Deno.version.deno})`;
}
