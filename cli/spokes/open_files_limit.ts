/** How many files and sockets this process may have open, where the platform tells (Linux). */
export async function openFilesLimit(): Promise<number | undefined> {
  if (Deno.build.os !== "linux") return undefined;
  try {
    const limits = await Deno.readTextFile("/proc/self/limits");
    const [, soft] = /^Max open files\s+(\d+)/m.exec(limits) ?? [];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    // No /proc, as in a sandbox: then nothing is said about it.
    return undefined;
  }
}
