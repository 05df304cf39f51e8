/** In Deno 2.9.6 about one run in 150 with a plugin dies of SIGSEGV as it ends; three in a row is another fault. */
const ATTEMPTS_MAX = 3;

/** Runs `deno lint`, again when a signal killed it; gives its exit code. */
async function lint(args: readonly string[]): Promise<number> {
  for (let attempt = 1; attempt < ATTEMPTS_MAX; attempt++) {
    const status = await new Deno.Command(Deno.execPath(), { args: ["lint", ...args] }).spawn().status;
    if (status.signal === null) return status.code;
    console.error(`deno lint was killed by ${status.signal}: trying again`);
  }
  return (await new Deno.Command(Deno.execPath(), { args: ["lint", ...args] }).spawn().status).code;
}

if (import.meta.main) Deno.exit(await lint(Deno.args));
