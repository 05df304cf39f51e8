import { createHash } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { CompileTarget, Program } from "./compile_targets.ts";
import { COMPILE_TARGETS, compileArguments, programFile, PROGRAMS } from "./compile_targets.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const DIST = join(ROOT, "dist");
const SUMS_FILE = "SHA256SUMS";

const USAGE = `Usage: deno task compile [--all]

Writes dist/spokes and dist/pktriot for this machine; with --all, for every platform whose runtime base can be had.
A base is fetched by Deno, or lies in its cache; DENORT_BIN names one for this machine.`;

/** Why a program could not be made: there is no base to put it on (which is a reason to go on), or it is broken. */
type Outcome = { readonly kind: "made" } | { readonly kind: "no base" } | {
  readonly kind: "failed";
  readonly text: string;
};

async function compile(program: Program, target: CompileTarget | undefined): Promise<Outcome> {
  const output = join(DIST, programFile(program, target, Deno.build.target));
  const isHost = target === undefined || target.triple === Deno.build.target;
  // DENORT_BIN overrides --target, so it may only be seen when this machine is meant.
  const { DENORT_BIN: base, ...env } = Deno.env.toObject();
  const command = new Deno.Command(Deno.execPath(), {
    args: compileArguments(program, output, base !== undefined && isHost ? undefined : target),
    cwd: ROOT,
    clearEnv: true,
    env: { ...env, NO_COLOR: "1", ...(base !== undefined && isHost ? { DENORT_BIN: base } : {}) },
    stdout: "null",
  });
  const { success, stderr } = await command.output();
  if (success) return { kind: "made" };
  if (!await hasBase(target, isHost ? base : undefined)) return { kind: "no base" };
  return { kind: "failed", text: new TextDecoder().decode(stderr).trim() };
}

/** Whether there is a runtime base now: Deno, which had to fetch a missing one, has just tried. */
async function hasBase(target: CompileTarget | undefined, base: string | undefined): Promise<boolean> {
  if (base !== undefined) return await exists(base);
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"], cwd: ROOT }).output();
  const { denoDir } = JSON.parse(new TextDecoder().decode(stdout));
  const triple = target?.triple ?? Deno.build.target;
  return await exists(join(denoDir, "dl", "release", `v${Deno.version.deno}`, `denort-${triple}.zip`));
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Empties dist/, so that what lies there was made by this run. */
async function emptyDist(): Promise<void> {
  await Deno.mkdir(DIST, { recursive: true });
  for await (const { name } of Deno.readDir(DIST)) {
    if (name === SUMS_FILE || PROGRAMS.some((program) => name.startsWith(program.name))) {
      await Deno.remove(join(DIST, name));
    }
  }
}

/** Writes SHA256SUMS in the form that `sha256sum --check` reads, and removes what a failed run left. */
async function writeSums(names: readonly string[]): Promise<void> {
  for await (const { name } of Deno.readDir(DIST)) {
    if (name.includes(".tmp-")) await Deno.remove(join(DIST, name));
  }
  const lines = await Promise.all(
    [...names].sort().map(async (name) => `${await sha256(join(DIST, name))}  ${name}\n`),
  );
  await Deno.writeTextFile(join(DIST, SUMS_FILE), lines.join(""));
}

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of (await Deno.open(path)).readable) hash.update(chunk);
  return hash.digest("hex");
}

/** Makes every program for one platform; gives the names of the files, none when there is no base for it. */
async function compileAll(target: CompileTarget | undefined): Promise<string[]> {
  const made: string[] = [];
  for (const program of PROGRAMS) {
    const name = programFile(program, target, Deno.build.target);
    const outcome = await compile(program, target);
    if (outcome.kind === "failed") throw new Error(`Cannot compile ${name}: ${outcome.text}`);
    if (outcome.kind === "no base") {
      const base = `denort-${target?.triple ?? Deno.build.target}`;
      console.error(`Skipped ${target?.name ?? "this machine"}: no runtime base ${base} of Deno ${Deno.version.deno}`);
      return [];
    }
    console.log(`dist/${name}`);
    made.push(name);
  }
  return made;
}

async function main(args: readonly string[]): Promise<number> {
  const unknown = args.find((arg) => arg !== "--all");
  if (unknown !== undefined) {
    console.error(unknown === "--help" ? USAGE : `Cannot understand "${unknown}"\n\n${USAGE}`);
    return unknown === "--help" ? 0 : 2;
  }
  await emptyDist();
  const made: string[] = [];
  // One after the other: each needs a core and a few hundred MB.
  for (const target of args.includes("--all") ? COMPILE_TARGETS : [undefined]) made.push(...await compileAll(target));
  if (made.length > 0) {
    await writeSums(made);
    return 0;
  }
  console.error("Nothing was made: let Deno reach its download host, or set DENORT_BIN to a denort of this version");
  return 1;
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(1);
  }
}
