import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

/** The third-party programs of the tests, and the Debian package that has each. */
const PROGRAMS: Readonly<Record<string, string>> = {
  "chromium": "chromium",
  "curl": "curl",
  "dnsmasq": "dnsmasq-base",
  "faketime": "faketime",
  "iperf3": "iperf3",
  "mariadb": "mariadb-client",
  "mariadbd": "mariadb-server",
  "microsocks": "microsocks",
  "nc": "netcat-openbsd",
  "nginx": "nginx",
  "openssl": "openssl",
  "pebble": "pebble",
  "pebble-challtestsrv": "pebble",
  "proxychains4": "proxychains4",
  "redis-benchmark": "redis-tools",
  "redis-cli": "redis-tools",
  "redis-server": "redis-server",
  "scp": "openssh-client",
  "socat": "socat",
  "ssh": "openssh-client",
  "ssh-keygen": "openssh-client",
  "sshd": "openssh-server",
  "wrk": "wrk",
};

/** A missing program fails a test where all are to be installed, and skips it elsewhere. */
const CI = Deno.env.get("CI") === "true";
/** Where the tests of all files note what was skipped: the last test tells. They share a process, and so its id. */
const SKIPPED = join(tmpdir(), `spokes-tests-${Deno.pid}-skipped`);

/** Where a program is: on PATH, or where a system keeps its servers. */
export function findProgram(name: string): string | undefined {
  const folders = [...(Deno.env.get("PATH") ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];
  return folders.map((folder) => join(folder, name)).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    const { isFile, mode } = Deno.statSync(path);
    return isFile && ((mode ?? 0o111) & 0o111) !== 0;
  } catch {
    return false; // It is not there.
  }
}

/** A test that needs third-party programs: elsewhere than in CI it is skipped, and named at the end, when one is missing. */
export function programTest(name: string, programs: readonly string[], test: () => Promise<void>): void {
  const missing = programs.filter((program) => findProgram(program) === undefined);
  if (missing.length > 0 && !CI) {
    Deno.writeTextFileSync(SKIPPED, `${name} (needs ${missing.join(", ")})\n`, { append: true });
    return Deno.test({ name, ignore: true, fn: test });
  }
  Deno.test(name, async () => {
    if (missing.length > 0) {
      const packages = missing.map((program) => PROGRAMS[program] ?? program);
      throw new Error(`Cannot run without ${missing.join(", ")}: apt-get install ${packages.join(" ")}`);
    }
    await test();
  });
}

/** The tests that were skipped in this run so far; forgets them. */
export async function takeSkipped(): Promise<string[]> {
  try {
    const text = await Deno.readTextFile(SKIPPED);
    await Deno.remove(SKIPPED);
    return text.trim().split("\n");
  } catch {
    return []; // Nothing was.
  }
}
