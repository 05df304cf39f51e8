import { pktriotProgram } from "./pktriot/program.ts";
import { runProgram } from "./program.ts";
import { systemIo } from "./system_io.ts";

if (import.meta.main) {
  const io = systemIo();
  Deno.exit(await runProgram(pktriotProgram(io), Deno.args, io));
}
