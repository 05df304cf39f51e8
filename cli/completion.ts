import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import type { Command } from "commander";

/** Shells that `completion` writes a script for. */
export const SHELLS = ["bash", "zsh", "fish", "powershell"] as const;

/** Prints the script that makes a shell ask the program itself what may come next. */
export async function printCompletion(program: string, shell: (typeof SHELLS)[number]): Promise<void> {
  const { default: tab } = await import("@bomb.sh/tab");
  tab.setup(program, program, shell);
}

/** Whether a shell asks (`pktriot complete -- route ht`), which is the one thing that needs all commands twice. */
export function isCompletionRequest(args: readonly string[]): boolean {
  return args[0] === "complete" && args[1] === "--";
}

/** Adds the hidden command that answers shells. */
export async function addCompletionAnswers(program: CommandUnknownOpts): Promise<void> {
  const { default: tab } = await import("@bomb.sh/tab/commander");
  shortenDescriptions(program);
  tab(program as unknown as Command, { completionCommandName: "completion-script" });
}

/** A shell shows one line per command: the summary. */
function shortenDescriptions(command: CommandUnknownOpts): void {
  if (command.summary() !== "") command.description(command.summary());
  for (const child of command.commands) shortenDescriptions(child);
}
