import { isLoopback } from "../../net/address.ts";
import { hashPassword } from "../../net/password.ts";
import { CommandError, usageError } from "../command_error.ts";
import type { CommandContext } from "../command_context.ts";
import { readPasswords } from "./basic_auth_options.ts";
import type { ProxyEntry } from "./config.ts";
import { checkUser } from "./http_schema.ts";
import { usageOf } from "./usage_of.ts";

/** Flags that say who may use a local proxy. */
export interface ProxyAuthOptions {
  /** The user, or `false` for `--no-auth`. */
  auth?: string | boolean;
  passwordStdin?: boolean;
}

type AuthEntry = ProxyEntry["auth"];

/**
 * Who may use a proxy after the command. A password that is set stays unless it is said that there shall be none: to forget a flag must
 * not let others in.
 * @throws {CommandError} USAGE, DOOR_UNSAFE
 */
export async function proxyAuthOf(
  context: CommandContext,
  options: ProxyAuthOptions,
  { bind, before }: { bind: string | undefined; before: AuthEntry },
): Promise<AuthEntry> {
  const { auth, passwordStdin } = options;
  const open = bind !== undefined && !isLoopback(bind);
  if (passwordStdin === true && typeof auth !== "string") {
    throw usageError("--password-stdin is for --auth", { fix: "Add --auth USER." });
  }
  if (auth === false) return open ? "none" : undefined;
  if (typeof auth === "string") return await askUser(context, auth, passwordStdin === true);
  if (typeof before === "object") return before;
  if (!open) return undefined;
  throw new CommandError("DOOR_UNSAFE", `Other machines could use ${bind} without a password`, {
    fix: "Set one with --auth USER, leave --bind away, or say --no-auth if that is meant.",
  });
}

async function askUser(context: CommandContext, user: string, fromInput: boolean): Promise<AuthEntry> {
  if (user.includes(":")) {
    throw usageError("--auth takes the user alone: others can see what stands in a command", {
      fix: "Leave the password away; it is asked for, or read with --password-stdin or from PKTRIOT_PASSWORD.",
    });
  }
  usageOf("--auth", () => checkUser(user));
  const [password = ""] = await readPasswords(context, [user], { flag: "--auth", fromInput });
  return { user, hash: await hashPassword(password) };
}
