/** A platform that `deno compile` can make programs for. */
export interface CompileTarget {
  /** Our name of it, the last part of the file's name: `linux-x64`. */
  readonly name: string;
  /** Deno's name of it, the value of `--target`. */
  readonly triple: string;
}

/** Every platform that is released. */
export const COMPILE_TARGETS: readonly CompileTarget[] = [
  { name: "linux-x64", triple: "x86_64-unknown-linux-gnu" },
  { name: "linux-arm64", triple: "aarch64-unknown-linux-gnu" },
  { name: "macos-x64", triple: "x86_64-apple-darwin" },
  { name: "macos-arm64", triple: "aarch64-apple-darwin" },
  { name: "windows-x64", triple: "x86_64-pc-windows-msvc" },
  { name: "windows-arm64", triple: "aarch64-pc-windows-msvc" },
];

/** A program of the product and the modules that it loads other than by import (workers). */
export interface Program {
  readonly name: string;
  /** Path of its entry point from the repository's root. */
  readonly entry: string;
  readonly include: readonly string[];
  /** Rights beside those that both have. */
  readonly permissions?: readonly string[];
}

/** What `deno task compile` makes. */
export const PROGRAMS: readonly Program[] = [
  {
    name: "spokes",
    entry: "cli/spokes.ts",
    include: ["server/store/sqlite_worker.ts"],
    // The DNS hook is a program of the operator's, at whatever path; nothing else is started.
    permissions: ["--allow-run"],
  },
  { name: "pktriot", entry: "cli/pktriot.ts", include: [] },
];

/** The file name of a program, for this machine (`spokes`) or for a named platform (`spokes-windows-x64.exe`). */
export function programFile(program: Program, target: CompileTarget | undefined, hostTriple: string): string {
  const name = target === undefined ? program.name : `${program.name}-${target.name}`;
  return (target?.triple ?? hostTriple).includes("windows") ? `${name}.exe` : name;
}

/** The arguments of `deno` that make one program; without a target it is for the machine that runs it. */
export function compileArguments(program: Program, output: string, target?: CompileTarget): string[] {
  return [
    "compile",
    "--quiet",
    "--frozen",
    // Neither program loads native code, and only one starts others: the runtime refuses the rest.
    ...["--allow-net", "--allow-read", "--allow-write", "--allow-env", "--allow-sys"],
    ...(program.permissions ?? []),
    "--no-prompt",
    // Without it every package of the lock file is embedded. (`--bundle` is 7 % smaller, but parses all code at each
    // start: 70 ms and 56 MB instead of 10 ms and 35 MB for a command that needs none of the lazy modules.)
    "--exclude-unused-npm",
    // The code cache would be a file in the shared folder for temporary files, which anybody could prepare.
    "--no-code-cache",
    ...program.include.flatMap((module) => ["--include", module]),
    ...(target === undefined ? [] : ["--target", target.triple]),
    "--output",
    output,
    program.entry,
  ];
}
