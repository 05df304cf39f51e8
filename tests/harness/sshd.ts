import { join } from "node:path";
import { findProgram } from "../../net/testing/programs.ts";
import { type TempDir, tempDir } from "./machine.ts";
import { run, spawn } from "./programs.ts";
import { freePort } from "./tcp_target.ts";

/** A real sshd with its own keys, and the options with which ssh and scp get in. */
export interface Sshd extends AsyncDisposable {
  readonly address: string;
  readonly folder: TempDir;
  readonly options: string[];
}

/** Starts it on a free port of loopback. */
export async function startSshd(): Promise<Sshd> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempDir());
  const [host, user] = [join(folder.path, "host"), join(folder.path, "user")];
  for (const key of [host, user]) await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
  const authorized = await folder.write("authorized", await Deno.readTextFile(`${user}.pub`));
  const port = await freePort();
  const config = await folder.write(
    "sshd_config",
    `Port ${port}\nListenAddress 127.0.0.1\nHostKey ${host}\nAuthorizedKeysFile ${authorized}\nPidFile none\n` +
      "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPermitRootLogin yes\n" +
      "Subsystem sftp internal-sftp\nMaxStartups 100:30:100\n",
  );
  // Where it goes as root after the start; packages make the folder only when their service runs.
  if (Deno.uid() === 0) await Deno.mkdir("/run/sshd", { recursive: true, mode: 0o755 });
  const sshd = stack.use(spawn(findProgram("sshd") ?? "sshd", ["-D", "-e", "-f", config]));
  await sshd.printed(/Server listening on 127\.0\.0\.1/);
  const known = await folder.write("known", `* ${await Deno.readTextFile(`${host}.pub`)}`);
  const all = stack.move();
  return {
    ...{ address: `127.0.0.1:${port}`, folder },
    options: [
      ...["-F", "none", "-i", user, "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"],
      ...["-o", `UserKnownHostsFile=${known}`, "-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=ERROR"],
    ],
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}
