import { usageError } from "./command_error.ts";

/** Asks for a line on the terminal, without showing what is typed. @throws {CommandError} USAGE when nothing was entered */
export async function askSecret(message: string): Promise<string> {
  const { isCancel, password } = await import("@clack/prompts");
  const answer = await password({ message });
  if (isCancel(answer) || answer === "") throw usageError("Nothing was entered", { fix: "Run the command again." });
  return answer;
}
