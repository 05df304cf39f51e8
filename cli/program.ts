import { Argument, Command, type CommandUnknownOpts, Option } from "@commander-js/extra-typings";
import { CommanderError } from "commander";
import { usageError } from "./command_error.ts";
import { addCompletionAnswers, isCompletionRequest, printCompletion, SHELLS } from "./completion.ts";
import { describeError } from "./describe_error.ts";
import { Answered, EXIT, type ExitCode, exitCodeOf } from "./exit_code.ts";
import type { Io } from "./io.ts";
import { versionLine } from "./version.ts";

/** What both programs tell commander before any command is added. */
export interface ProgramOptions {
  name: string;
  description: string;
  /** Environment variable for `--config`. */
  configEnv: string;
  configHelp: string;
  io: Io;
}

/** An empty program with the global flags of both; it throws where commander would print and exit. */
export function createProgram(options: ProgramOptions): CommandUnknownOpts {
  return new Command(options.name)
    .description(options.description)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => options.io.print(text.trimEnd()),
      writeErr: (text) => options.io.report(text.trimEnd()),
      // runProgram() says it, in one line.
      outputError: () => {},
    })
    .configureHelp({ showGlobalOptions: true })
    .helpCommand("help [command]", "show help for a command")
    .helpOption("-h, --help", "show help, with examples")
    .version(versionLine(options.name), "-V, --version", "print the version")
    .addOption(new Option("--config <file>", options.configHelp).env(options.configEnv))
    .addOption(
      new Option("--log-level <level>", "how much a running program logs (default: info)")
        .choices(["debug", "info", "warn", "error"] as const),
    )
    .addOption(
      new Option("--log-format <format>", "how it logs (default: text)").choices(["text", "json"] as const),
    );
}

/** Values of the global flags. */
export interface GlobalOptions {
  config?: string | undefined;
  logLevel?: "debug" | "info" | "warn" | "error" | undefined;
  logFormat?: "text" | "json" | undefined;
}

/** The global flags as they were given, before or behind the command. */
export function globalOptions(program: CommandUnknownOpts): GlobalOptions {
  return program.opts() as GlobalOptions;
}

/** Adds `completion`, which both programs have. */
export function addCompletion(program: CommandUnknownOpts): void {
  const name = program.name();
  program.command("completion").summary("print a script for shell completion")
    .description("Print a script that completes commands and flags in a shell.")
    .addArgument(new Argument("<shell>", "shell").choices(SHELLS))
    .addHelpText("after", examples(`source <(${name} completion bash)`, `${name} completion fish | source`))
    .action((shell) => printCompletion(name, shell));
}

/** The part of help that shows how the command is typed. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join("\n")}`;
}

/** Parses and runs; the only place where an error is printed and becomes an exit code. */
export async function runProgram(program: CommandUnknownOpts, args: readonly string[], io: Io): Promise<ExitCode> {
  try {
    if (isCompletionRequest(args)) await addCompletionAnswers(program);
    await program.parseAsync([...args], { from: "user" });
    return EXIT.ok;
  } catch (error) {
    if (error instanceof CommanderError) return endOfParsing(program, args, io, error);
    if (error instanceof Answered) return error.exitCode;
    io.report(describeError(error, { program: program.name() }));
    return exitCodeOf(error);
  }
}

function endOfParsing(program: CommandUnknownOpts, args: readonly string[], io: Io, error: CommanderError): ExitCode {
  if (error.exitCode === 0) return EXIT.ok;
  // A group without its command (`pktriot route`): commander has shown its help already.
  if (error.code === "commander.help") return EXIT.usage;
  const [first = "", ...more] = error.message.replace(/^error: /, "").split("\n");
  const hint = more.join(" ").match(/\(Did you mean (.+)\?\)/);
  const fix = hint === null
    ? `Look at \`${commandPath(program, args)} --help\`.`
    : `Did you mean ${hint[1]}? Look at \`${commandPath(program, args)} --help\`.`;
  const message = first.charAt(0).toUpperCase() + first.slice(1);
  io.report(describeError(usageError(message, { fix })));
  return EXIT.usage;
}

/** The deepest command that `args` name: `pktriot route http add`. */
function commandPath(program: CommandUnknownOpts, args: readonly string[]): string {
  let path = program.name();
  let command = program;
  for (const arg of args) {
    const next = command.commands.find((child) => child.name() === arg || child.aliases().includes(arg));
    if (next === undefined) continue;
    command = next;
    path += ` ${next.name()}`;
  }
  return path;
}
