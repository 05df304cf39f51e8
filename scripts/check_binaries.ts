import { join, resolve } from "node:path";

/** The compiled programs and what makes each print its version. */
const VERSION_COMMANDS: ReadonlyArray<readonly [program: string, argument: string]> = [
  ["spokes", "--version"],
  ["pktriot", "version"],
];

interface Run {
  readonly code: number;
  readonly text: string;
}

/** A folder for one run; it and its `tmp` must be as they were when the program has ended. */
async function run(
  program: string,
  args: readonly string[],
  folder: string,
  env: Record<string, string>,
): Promise<Run> {
  const command = new Deno.Command(program, {
    args: [...args],
    cwd: join(folder, "cwd"),
    clearEnv: true,
    env: { TMPDIR: join(folder, "tmp"), NO_COLOR: "1", ...env },
    signal: AbortSignal.timeout(RUN_TIMEOUT_MS),
  });
  const { code, stdout, stderr } = await command.output();
  return { code, text: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

/** Far more than a start takes; a debugger that waits would reach it. */
const RUN_TIMEOUT_MS = 20_000;

/** What is wrong with one program, in readable lines. */
async function check(program: string, version: string, folder: string): Promise<string[]> {
  const faults: string[] = [];
  const trace = join(folder, "required");
  const script = join(folder, "required.cjs");
  await Deno.writeTextFile(script, `require("node:fs").writeFileSync(${JSON.stringify(trace)}, "")`);

  const plain = await run(program, [version], folder, {});
  if (plain.code !== 0) faults.push(`does not run in an empty folder without HOME: ${plain.text}`);

  const required = await run(program, [version], folder, { NODE_OPTIONS: `--require ${script}` });
  if (required.text !== plain.text || await names(folder).then((list) => list.includes("required"))) {
    faults.push(`listens to NODE_OPTIONS=--require: ${required.text}`);
  }
  const inspected = await run(program, [version], folder, { NODE_OPTIONS: "--inspect-brk=127.0.0.1:0" });
  if (inspected.text !== plain.text) faults.push(`listens to NODE_OPTIONS=--inspect-brk: ${inspected.text}`);

  for (const flag of ["--inspect", "--inspect-brk=127.0.0.1:0", "--v8-flags=--expose-gc"]) {
    const { code, text } = await run(program, [flag], folder, {});
    if (code !== 2) faults.push(`exits with ${code} instead of 2 for ${flag}: ${text}`);
  }
  for (const place of ["cwd", "tmp"]) {
    const left = await names(join(folder, place));
    if (left.length > 0) faults.push(`leaves files in ${place}: ${left.join(", ")}`);
  }
  return faults;
}

async function names(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
}

async function main(dist: string): Promise<number> {
  const lines: string[] = [];
  for (const [name, version] of VERSION_COMMANDS) {
    const folder = await Deno.makeTempDir({ prefix: "spokes-binaries-" });
    try {
      for (const place of ["cwd", "tmp"]) await Deno.mkdir(join(folder, place));
      const faults = await check(resolve(dist, name), version, folder);
      lines.push(...faults.map((fault) => `${name} ${fault}`));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }
  for (const line of lines) console.error(line);
  if (lines.length === 0) {
    console.log("The compiled programs run alone, leave nothing behind and take no runtime options");
  }
  return lines.length === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args[0] ?? "dist"));
