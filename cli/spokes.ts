import { runProgram } from "./program.ts";
import { spokesProgram } from "./spokes/program.ts";
import { systemIo } from "./system_io.ts";

if (import.meta.main) {
  const io = systemIo();
  Deno.exit(await runProgram(spokesProgram(io), Deno.args, io));
}
