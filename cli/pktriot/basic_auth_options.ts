import { hashPassword } from "../../net/password.ts";
import { askSecret } from "../ask_secret.ts";
import { usageError } from "../command_error.ts";
import type { CommandContext } from "../command_context.ts";
import { checkUser, type UserEntry } from "./http_schema.ts";
import { usageOf } from "./usage_of.ts";

/** Passwords are lines; what is longer is something else. */
const MAX_INPUT_BYTES = 16 * 1024;

/** Flags of `route http add` that say who may come in. */
export interface BasicAuthOptions {
  /** Users, in order. */
  basicAuth?: readonly string[];
  passwordStdin?: boolean;
  withoutBasicAuth?: boolean;
}

/**
 * Who may come in after the command: those who may now stay, as taking a password away by forgetting a flag would open the rule.
 * Passwords are asked for, or come by standard input or environment; never by the command line, which others can see.
 * @throws {CommandError} USAGE
 */
export async function usersFromOptions(
  context: CommandContext,
  options: BasicAuthOptions,
  before: readonly UserEntry[] | undefined,
): Promise<UserEntry[] | undefined> {
  const { basicAuth: users = [], passwordStdin, withoutBasicAuth } = options;
  if (withoutBasicAuth === true && users.length > 0) {
    throw usageError("--basic-auth and --without-basic-auth cannot be used together", { fix: "Give one of them." });
  }
  if (passwordStdin === true && users.length === 0) {
    throw usageError("--password-stdin is for --basic-auth", { fix: "Add --basic-auth USER." });
  }
  if (withoutBasicAuth === true) return undefined;
  if (users.length === 0) return before === undefined ? undefined : [...before];
  users.forEach(assertUser);
  const passwords = await readPasswords(context, users, { flag: "--basic-auth", fromInput: passwordStdin === true });
  const after = [...before ?? []];
  for (const [index, user] of users.entries()) {
    const entry = { user, hash: await hashPassword(passwords[index] as string) };
    const at = after.findIndex((each) => each.user === user);
    if (at === -1) after.push(entry);
    else after[at] = entry;
  }
  return after;
}

function assertUser(user: string, index: number, users: readonly string[]): void {
  if (user.includes(":")) {
    throw usageError("--basic-auth takes the user alone: others can see what stands in a command", {
      fix: "Leave the password away; it is asked for, or read with --password-stdin or from PKTRIOT_PASSWORD.",
    });
  }
  usageOf("--basic-auth", () => checkUser(user));
  if (users.indexOf(user) !== index) throw usageError(`--basic-auth names "${user}" twice`, { fix: "" });
}

/**
 * Reads one password for each user: from standard input, from the environment, or from the terminal.
 * @throws {CommandError} USAGE
 */
export async function readPasswords(
  { io }: CommandContext,
  users: readonly string[],
  { flag, fromInput }: { flag: string; fromInput: boolean },
): Promise<readonly string[]> {
  const given = fromInput ? linesOf(await io.readInput(MAX_INPUT_BYTES)) : fromEnvironment(io.env("PKTRIOT_PASSWORD"));
  const passwords = given ?? (io.interactive ? await askPasswords(users) : undefined);
  if (passwords === undefined) {
    throw usageError(`There is no password for ${flag}`, {
      fix: "Give it with --password-stdin, or set PKTRIOT_PASSWORD.",
    });
  }
  if (passwords.length !== users.length || passwords.includes("")) {
    throw usageError(`There must be one password for each of ${users.length} users, and none may be empty`, {
      fix: "With several users give --password-stdin and one line for each, in the same order.",
    });
  }
  return passwords;
}

function linesOf(text: string): string[] {
  return text.replace(/\r?\n$/, "").split(/\r?\n/);
}

function fromEnvironment(password: string | undefined): string[] | undefined {
  return password === undefined || password === "" ? undefined : [password];
}

async function askPasswords(users: readonly string[]): Promise<string[]> {
  const passwords: string[] = [];
  for (const user of users) {
    const password = await askSecret(`Password for ${user}`);
    // Nobody saw what was typed.
    if (await askSecret("The same again") !== password) {
      throw usageError("The two passwords are not the same", { fix: "Run the command again." });
    }
    passwords.push(password);
  }
  return passwords;
}
